//! The results as Markdown: one table a suite, one line for each row and side.
//!
//! A line has what a time needs to be believed: its spread, and how far the result is from that of
//! the reference. Where a result is wrong there is no time.

use std::fmt::Write as _;

use super::baseline::{change, differences};
use super::plan::REFERENCE;
use super::results::{Cell, Outcome, Results, Row};
use super::stats::{digits, time};

/// Where others use more of the machine than this, they decide the times.
const BUSY: f64 = 0.1;

/// The whole report.
pub(super) fn markdown(results: &Results, baseline: Option<&Results>) -> String {
    let mut text = String::from("# Benchmark\n\n");
    conditions(&mut text, results, baseline);
    sides(&mut text, results);
    for suite in results.suites() {
        let _ = write!(text, "\n## {suite}\n\n");
        let rows: Vec<&Row> = results.of_suite(suite).collect();
        table(&mut text, &header(baseline), &body(&rows, baseline));
        reasons(&mut text, &rows);
        ratios(&mut text, results, &rows);
    }
    text
}

fn conditions(text: &mut String, results: &Results, baseline: Option<&Results>) {
    let host = &results.host;
    let _ = writeln!(text, "- {}, {} hardware threads, {}", host.cpu, host.threads, host.system);
    let _ = writeln!(text, "- Inocula {} ({}), {}", host.version, host.commit, host.rustc);
    let _ = writeln!(
        text,
        "- {} threads for each side, f32; median of {} rounds, in which the sides take turns, with half \
         the distance of the quartiles; every run waits for its device",
        results.threads, results.rounds
    );
    let _ = writeln!(
        text,
        "- deviation: largest difference from {REFERENCE}, relative to the largest value; in \
         brackets the share of values that may follow the other sign and do"
    );
    if let Some(others) = results.others {
        let share =
            format!("in the pauses, other programs used {:.0} % of the machine", others * 100.0);
        let _ = match others > BUSY {
            true => writeln!(text, "- **{share}: do not trust the times**"),
            false => writeln!(text, "- {share}"),
        };
    }
    if results.sides.iter().any(|about| about.peer) {
        text.push_str("- other tools keep their defaults, but for the number of threads\n");
    }
    if results.smoke {
        text.push_str("- **small sizes: the times mean nothing**\n");
    }
    if let Some(baseline) = baseline {
        let _ = write!(
            text,
            "- baseline: Inocula {} ({})",
            baseline.host.version, baseline.host.commit
        );
        let other = differences(baseline, results);
        let _ = writeln!(text, "{}{other}", if other.is_empty() { "" } else { "; " });
    }
}

fn sides(text: &mut String, results: &Results) {
    text.push('\n');
    let header = ["side", "version", "device", "threads"].map(String::from);
    let line = |about: &super::results::About| {
        let hello = &about.hello;
        let threads = hello.threads.to_string();
        vec![about.side.clone(), hello.version.clone(), hello.device.clone(), threads]
    };
    let lines: Vec<Vec<String>> = results.sides.iter().map(line).collect();
    table(text, &header, &lines);
    if !results.absent.is_empty() {
        text.push_str("\nNot measured:\n\n");
        for absent in &results.absent {
            let _ = writeln!(text, "- {}: {}", absent.side, absent.reason);
        }
    }
}

fn header(baseline: Option<&Results>) -> Vec<String> {
    let mut header =
        vec!["work", "side", "time >", "spread >", "relative >", "deviation >", "GFLOP/s >"];
    header.extend(baseline.map(|_| "baseline >"));
    header.into_iter().map(String::from).collect()
}

fn body(rows: &[&Row], baseline: Option<&Results>) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for row in rows {
        for (i, cell) in row.cells.iter().enumerate() {
            let name = if i == 0 { row.name.clone() } else { String::new() };
            let mut line = vec![name, cell.side.clone()];
            line.extend(figures(row, cell));
            if let Some(baseline) = baseline {
                line.push(moved(baseline, row, cell));
            }
            lines.push(line);
        }
    }
    lines
}

/// Time, spread, time relative to the reference, deviation, arithmetic.
fn figures(row: &Row, cell: &Cell) -> [String; 5] {
    let only = |what: &str| {
        let mut figures = [const { String::new() }; 5];
        figures[0] = what.into();
        figures
    };
    let (agreement, summary) = match (&cell.outcome, cell.summary()) {
        (Outcome::Disagrees(_), _) => return only("disagrees"),
        (Outcome::Timed { agreement, .. }, Some(summary)) => (agreement, summary),
        _ => return only("failed"),
    };
    let over = row.limit.is_some_and(|limit| summary.median > limit);
    let limit = row.limit.map_or_else(String::new, |limit| {
        format!(" ({} {})", if over { "over the limit of" } else { "limit" }, time(limit))
    });
    let relative = row.median(REFERENCE).map(|base| format!("{}x", digits(summary.median / base)));
    let deviation = agreement.map(|a| {
        let inside = if a.deviation == 0.0 { "0".into() } else { format!("{:.0e}", a.deviation) };
        match a.outliers {
            0.0 => inside,
            share => format!("{inside} ({:.3} %)", share * 100.0),
        }
    });
    let gflops = (row.flops > 0.0).then(|| digits(row.flops / summary.median / 1e9));
    [
        time(summary.median) + &limit,
        format!("±{:.0} %", summary.spread() * 100.0),
        relative.unwrap_or_default(),
        deviation.unwrap_or_default(),
        gflops.unwrap_or_default(),
    ]
}

/// Why sides have no time.
fn reasons(text: &mut String, rows: &[&Row]) {
    let mut first = true;
    for row in rows {
        for cell in &row.cells {
            let why = match &cell.outcome {
                Outcome::Timed { .. } => continue,
                Outcome::Disagrees(why) => format!("disagrees: {why}"),
                Outcome::Failed(why) => format!("failed: {why}"),
            };
            text.push_str(if std::mem::take(&mut first) { "\n" } else { "" });
            let _ = writeln!(text, "- {}, {} {why}", row.name, cell.side);
        }
    }
}

fn moved(baseline: &Results, row: &Row, cell: &Cell) -> String {
    let Some(change) = change(baseline, row, &cell.side) else { return String::new() };
    let ratio = format!("{}x", digits(change.ratio));
    match (change.moved, change.ratio > 1.0) {
        (false, _) => ratio,
        (true, true) => format!("**{ratio} slower**"),
        (true, false) => format!("**{ratio} faster**"),
    }
}

/// A line for each row and peer: its time over that of each backend of the suite.
fn ratios(text: &mut String, results: &Results, rows: &[&Row]) {
    let here = |side: &str| rows.iter().any(|row| row.cell(side).is_some());
    let sides = results.sides.iter().filter(|about| !about.peer && here(&about.side));
    let backends: Vec<&str> = sides.map(|about| about.side.as_str()).collect();
    let mut lines = Vec::new();
    for row in rows {
        for peer in row.cells.iter().filter(|cell| results.is_peer(&cell.side)) {
            let Some(summary) = peer.summary() else { continue };
            let ratio = |median: f64| format!("{}x", digits(summary.median / median));
            let mut line = vec![row.name.clone(), peer.side.clone()];
            line.extend(backends.iter().map(|s| row.median(s).map_or_else(String::new, ratio)));
            lines.push(line);
        }
    }
    if lines.is_empty() {
        return;
    }
    text.push_str(
        "\nTime of the other tool over that of the backend; above 1 the backend is faster:\n\n",
    );
    let mut header = vec!["work".to_owned(), "tool".to_owned()];
    header.extend(backends.iter().map(|side| format!("{side} >")));
    table(text, &header, &lines);
}

/// A table with columns as wide as their longest text. A header that ends in `>` has its column
/// aligned to the right.
fn table(text: &mut String, header: &[String], lines: &[Vec<String>]) {
    let right: Vec<bool> = header.iter().map(|h| h.ends_with(" >")).collect();
    let header: Vec<String> = header.iter().map(|h| h.trim_end_matches(" >").to_owned()).collect();
    let escaped = |line: &Vec<String>| line.iter().map(|t| t.replace('|', "\\|")).collect();
    let lines: Vec<Vec<String>> = lines.iter().map(escaped).collect();
    let width = |i: usize| {
        let texts = std::iter::once(&header).chain(&lines).filter_map(|line| line.get(i));
        texts.map(|t| t.chars().count()).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut row = |line: &[String]| {
        for ((cell, &width), &right) in line.iter().zip(&widths).zip(&right) {
            let _ = if right {
                write!(text, "| {cell:>width$} ")
            } else {
                write!(text, "| {cell:<width$} ")
            };
        }
        text.push_str("|\n");
    };
    row(&header);
    let rule = |(&width, &right): (&usize, &bool)| {
        if right { "-".repeat(width - 1) + ":" } else { "-".repeat(width) }
    };
    row(&widths.iter().zip(&right).map(rule).collect::<Vec<_>>());
    lines.iter().for_each(|line| row(line));
}

#[cfg(test)]
mod tests {
    use super::super::agree::Agreement;
    use super::super::results::Absent;
    use super::super::results::tests::{about, cell, results, row};
    use super::*;

    fn sample() -> Results {
        let bad = |side: &str, outcome: Outcome| Cell { side: side.into(), outcome };
        let agreement = Some(Agreement { deviation: 2e-7, outliers: 1e-4 });
        let seconds = vec![1e-3, 2e-3, 3e-3];
        let cells = vec![
            cell("ndarray", &[4e-3, 4e-3, 4e-3]),
            bad("pytorch", Outcome::Timed { seconds, agreement }),
            bad("tch", Outcome::Disagrees("y: shape [1] instead of [2]".into())),
            bad("burn", Outcome::Failed("the | process ended".into())),
        ];
        let mut add = row("ops", "add", cells);
        add.flops = 8e6;
        let mut listing = row("overhead", "list", vec![cell("program", &[0.2])]);
        listing.limit = Some(0.1);
        let mut results = results(vec![add, listing]);
        results.sides.push(about("tch", false));
        results.absent.push(Absent { side: "art".into(), reason: "no module".into() });
        results
    }

    #[test]
    fn lines_have_times_only_where_results_agree() {
        let text = markdown(&sample(), None);
        let line = |side: &str| {
            let has = |l: &&str| l.contains(&format!("| {side} ")) && l.matches('|').count() > 6;
            let found = text.lines().find(has).unwrap();
            found.split(" | ").map(str::trim).collect::<Vec<_>>().join(" ; ")
        };
        assert!(line("ndarray").contains("4.00 ms ; ±0 % ; 1.00x ;  ; 2.00"), "{text}");
        assert!(
            line("pytorch").contains("2.00 ms ; ±25 % ; 0.50x ; 2e-7 (0.010 %) ; 4.00"),
            "{text}"
        );
        assert!(line("tch").contains("disagrees ;  ;"), "{text}");
        assert!(line("burn").contains("failed ;  ;"), "{text}");
        assert!(text.contains("200 ms (over the limit of 100 ms)"), "{text}");
        assert!(text.contains("- add, tch disagrees: y: shape [1] instead of [2]\n"), "{text}");
        assert!(text.contains("- add, burn failed: the | process ended\n"), "{text}");
        assert!(text.contains("- art: no module"));
        assert!(text.contains("some cpu, 4 hardware threads"));
    }

    #[test]
    fn a_machine_that_did_not_rest_is_told() {
        let text = |others| markdown(&Results { others, ..sample() }, None);
        assert!(
            text(Some(0.02)).contains("- in the pauses, other programs used 2 % of the machine")
        );
        assert!(text(Some(0.4)).contains("used 40 % of the machine: do not trust the times**"));
        assert!(!text(None).contains("pauses"));
    }

    #[test]
    fn peers_are_set_against_every_backend() {
        let text = markdown(&sample(), None);
        let found = text.lines().find(|l| l.starts_with("| add") && l.contains("pytorch")).unwrap();
        assert_eq!(found.split('|').map(str::trim).collect::<Vec<_>>()[3..5], ["0.50x", ""]);
    }

    #[test]
    fn the_baseline_marks_what_moved() {
        let (now, mut old) = (sample(), sample());
        old.rows[0].cells[0] = cell("ndarray", &[2e-3, 2e-3, 2e-3]);
        old.rows[1].cells[0] = cell("program", &[0.1, 0.3]);
        old.threads = 1;
        let text = markdown(&now, Some(&old));
        assert!(text.contains("**2.00x slower**") && text.contains(" 1.00x |\n"), "{text}");
        assert!(text.contains("baseline: Inocula 0.1.0 (abc); threads 1, now 2"), "{text}");
    }
}
