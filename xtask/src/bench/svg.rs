//! A suite as a picture: for each row a group of bars, one for each side.
//!
//! Rows differ by a factor of a million, so each has a scale of its own, from zero to its slowest
//! side: lengths are comparable within a row, which is the comparison that is asked for. A
//! logarithmic axis over all rows would make twice as slow look like next to nothing.

use std::fmt::Write as _;

use super::results::{Cell, Outcome, Results, Row};
use super::stats::time;

/// Colours that remain distinct to most eyes (Okabe and Ito 2008), in the order of the sides.
const COLOURS: &[&str] =
    &["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6bb1", "#7f7f7f"];

const WIDTH: f64 = 820.0;
const MARGIN: f64 = 20.0;
/// Where the bars begin.
const LEFT: f64 = 190.0;
/// Length of the longest bar; its time follows.
const LONGEST: f64 = 460.0;
const BAR: f64 = 13.0;
const PITCH: f64 = 16.0;
/// Between two rows.
const GAP: f64 = 12.0;
/// A legend's entry.
const KEY: f64 = 18.0;

pub(super) const STYLE: &str = "\
    text { font: 12px system-ui, sans-serif; fill: #222 }
    .title { font-size: 16px; font-weight: 600 }
    .note { font-size: 11px; fill: #666 }
    .page { fill: #fff }
    .axis { stroke: #999 }
    .spread { stroke: #222; stroke-width: 1.5 }
    @media (prefers-color-scheme: dark) {
      text { fill: #ddd }
      .note { fill: #999 }
      .page { fill: #16181c }
      .spread { stroke: #eee }
    }";

/// The picture of a suite.
pub(super) fn picture(results: &Results, suite: &str) -> String {
    let rows: Vec<&Row> = results.of_suite(suite).collect();
    let all = sides(results);
    let here = |side: &&str| rows.iter().any(|row| row.cell(side).is_some());
    let legend: Vec<(usize, &str)> =
        all.iter().copied().enumerate().filter(|(_, side)| here(side)).collect();
    let mut drawing = Drawing { body: String::new(), y: MARGIN + 14.0 };
    drawing.text(MARGIN, "title", suite);
    drawing.y += 18.0;
    let small = if results.smoke { " Small sizes: the times mean nothing." } else { "" };
    drawing.text(
        MARGIN,
        "note",
        &format!(
            "Shorter is faster; the slowest side of each row fills its width. Lines: quartiles of {} \
             rounds.{small}",
            results.rounds
        ),
    );
    drawing.y += 10.0;
    drawing.legend(&legend);
    for row in rows {
        drawing.row(row, &all);
    }
    drawing.y += 26.0;
    let host = &results.host;
    drawing.text(
        MARGIN,
        "note",
        &format!(
            "{}, {} threads for each side, f32. Inocula {} ({})",
            host.cpu, results.threads, host.version, host.commit
        ),
    );
    drawing.finish()
}

/// Every side of any suite, so that a side has one colour in all pictures.
fn sides(results: &Results) -> Vec<&str> {
    let mut sides: Vec<&str> = results.sides.iter().map(|about| about.side.as_str()).collect();
    for cell in results.rows.iter().flat_map(|row| &row.cells) {
        if !sides.contains(&cell.side.as_str()) {
            sides.push(&cell.side);
        }
    }
    sides
}

pub(super) fn colour(at: usize) -> &'static str {
    COLOURS[at % COLOURS.len()]
}

/// A picture in progress, drawn downwards.
struct Drawing {
    body: String,
    y: f64,
}

impl Drawing {
    fn text(&mut self, x: f64, class: &str, text: &str) {
        let (y, text) = (self.y, escaped(text));
        let _ = writeln!(self.body, r#"<text class="{class}" x="{x}" y="{y}">{text}</text>"#);
    }

    fn legend(&mut self, sides: &[(usize, &str)]) {
        let mut x = MARGIN;
        self.y += 14.0;
        for &(i, side) in sides {
            let width = KEY + 7.5 * side.chars().count() as f64 + 12.0;
            if x + width > WIDTH - MARGIN && x > MARGIN {
                (x, self.y) = (MARGIN, self.y + KEY);
            }
            let (top, fill) = (self.y - 10.0, colour(i));
            let _ = writeln!(
                self.body,
                r#"<rect x="{x}" y="{top}" width="12" height="12" fill="{fill}"/>"#
            );
            self.text(x + KEY, "", side);
            x += width;
        }
        self.y += 12.0;
    }

    fn row(&mut self, row: &Row, sides: &[&str]) {
        self.y += GAP;
        let top = self.y;
        let slowest = row.cells.iter().filter_map(Cell::summary).map(|s| s.high.max(s.median));
        let scale = LONGEST / slowest.fold(f64::MIN_POSITIVE, f64::max);
        for cell in &row.cells {
            let at = sides.iter().position(|side| *side == cell.side).unwrap_or_default();
            self.bar(cell, colour(at), scale);
        }
        let bottom = self.y;
        self.y = (top + bottom) / 2.0 + 2.0;
        self.text(MARGIN, "", &row.name);
        self.y = bottom;
        let _ = writeln!(
            self.body,
            r#"<line class="axis" x1="{LEFT}" y1="{}" x2="{LEFT}" y2="{}"/>"#,
            top - 2.0,
            bottom
        );
    }

    fn bar(&mut self, cell: &Cell, fill: &str, scale: f64) {
        let (top, middle) = (self.y, self.y + BAR / 2.0);
        let mut end = LEFT;
        let words = match (&cell.outcome, cell.summary()) {
            (Outcome::Disagrees(_), _) => format!("{} disagrees", cell.side),
            (_, None) => format!("{} failed", cell.side),
            (_, Some(summary)) => {
                let length = summary.median * scale;
                let (from, to) = (LEFT + summary.low * scale, LEFT + summary.high * scale);
                let _ = writeln!(
                    self.body,
                    r#"<rect x="{LEFT}" y="{top}" width="{length:.1}" height="{BAR}" fill="{fill}"/>
<line class="spread" x1="{from:.1}" y1="{middle}" x2="{to:.1}" y2="{middle}"/>"#
                );
                end = to.max(LEFT + length);
                time(summary.median)
            }
        };
        self.y += BAR - 2.5;
        self.text((end + 6.0).round(), "", &words);
        self.y = top + PITCH;
    }

    fn finish(self) -> String {
        let height = (self.y + MARGIN).ceil();
        let body = self.body;
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">
<style>
{STYLE}
</style>
<rect class="page" width="{WIDTH}" height="{height}"/>
{body}</svg>
"#
        )
    }
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::{cell, results, row};
    use super::*;

    fn widths(svg: &str) -> Vec<f64> {
        let bars = svg.lines().filter(|l| l.starts_with("<rect") && l.contains("height=\"13\""));
        let width = |l: &str| l.split("width=\"").nth(1)?.split('"').next()?.parse().ok();
        bars.filter_map(width).collect()
    }

    #[test]
    fn lengths_are_in_proportion_within_a_row() {
        let rows = vec![
            row("ops", "add", vec![cell("ndarray", &[1.0]), cell("pytorch", &[4.0])]),
            row("ops", "mul", vec![cell("ndarray", &[1e-6])]),
            row("dp", "sum", vec![cell("ndarray", &[1.0])]),
        ];
        let svg = picture(&results(rows), "ops");
        assert_eq!(widths(&svg), [LONGEST / 4.0, LONGEST, LONGEST]);
        assert!(svg.contains(">add<") && svg.contains(">mul<") && !svg.contains(">sum<"));
    }

    #[test]
    fn what_has_no_time_has_no_bar() {
        let failed = |outcome: Outcome| Cell { side: "tch <x>".into(), outcome };
        let cells =
            vec![failed(Outcome::Disagrees("y".into())), failed(Outcome::Failed("z".into()))];
        let svg = picture(&results(vec![row("ops", "a & b", cells)]), "ops");
        assert!(widths(&svg).is_empty() && !svg.contains("NaN") && !svg.contains("inf"));
        assert!(svg.contains("tch &lt;x&gt; disagrees") && svg.contains("tch &lt;x&gt; failed"));
        assert!(svg.contains("a &amp; b"));
    }
}
