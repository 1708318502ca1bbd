//! The suite of growth as curves: time against what varies, both on logarithmic axes.
//!
//! Rows named `... batch 64` or `epoch, 1024 samples` are points of one curve: what varies is the
//! number in the name, and the name without it names the curve. On these axes work that doubles with
//! its size is a line of slope 1, which each panel has as a dotted line for comparison.

use std::fmt::Write as _;

use super::results::{Results, Row};
use super::stats::time;
use super::svg::{STYLE, colour, escaped};

const WIDTH: f64 = 820.0;
const MARGIN: f64 = 20.0;
/// A panel's axes: extent, and room for labels at the left and below.
const PANEL: [f64; 2] = [310.0, 200.0];
const LEFT: f64 = 70.0;
const BELOW: f64 = 34.0;
const TITLE: f64 = 26.0;
const HEAD: f64 = 92.0;

/// Points of one side, by ascending number.
type Points = Vec<(f64, f64)>;

/// One name with a number in it, and the curve of each side.
struct Panel {
    title: String,
    curves: Vec<(String, Points)>,
}

/// The picture of a suite whose rows are such series; `None` where no row has a number.
pub(super) fn picture(
    results: &Results,
    baseline: Option<&Results>,
    suite: &str,
) -> Option<String> {
    let panels = panels(results, baseline, suite);
    if panels.is_empty() {
        return None;
    }
    let mut sides: Vec<&str> = Vec::new();
    for (side, _) in panels.iter().flat_map(|panel| &panel.curves) {
        if !sides.contains(&side.as_str()) {
            sides.push(side);
        }
    }
    let mut body = String::new();
    for (i, panel) in panels.iter().enumerate() {
        let across = (i % 2) as f64 * (LEFT + PANEL[0] + MARGIN);
        let down = HEAD + (i / 2) as f64 * (TITLE + PANEL[1] + BELOW);
        panel.draw(&mut body, [MARGIN + LEFT + across, down + TITLE], &sides);
    }
    let height = HEAD + panels.len().div_ceil(2) as f64 * (TITLE + PANEL[1] + BELOW) + MARGIN;
    Some(framed(results, suite, &sides, &body, height))
}

fn framed(results: &Results, suite: &str, sides: &[&str], body: &str, height: f64) -> String {
    let mut legend = String::new();
    let mut x = MARGIN;
    for (i, side) in sides.iter().enumerate() {
        let (fill, name) = (colour(i), escaped(side));
        let _ = writeln!(
            legend,
            r#"<rect x="{x}" y="66" width="12" height="12" fill="{fill}"/>
<text x="{}" y="76">{name}</text>"#,
            x + 18.0
        );
        x += 18.0 + 7.5 * side.chars().count() as f64 + 12.0;
    }
    let host = &results.host;
    let small = if results.smoke { " Small sizes: the times mean nothing." } else { "" };
    let note = format!(
        "Medians of {} rounds on logarithmic axes; dotted: work in proportion. {}, f32, {} ({}).{small}",
        results.rounds, host.cpu, host.version, host.commit
    );
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">
<style>
{STYLE}
    .curve {{ fill: none; stroke-width: 2 }}
    .ideal {{ stroke: #999; stroke-dasharray: 2 4 }}
</style>
<rect class="page" width="{WIDTH}" height="{height}"/>
<text class="title" x="{MARGIN}" y="34">{suite}</text>
<text class="note" x="{MARGIN}" y="52">{}</text>
{legend}{body}</svg>
"#,
        escaped(&note)
    )
}

/// The series of a suite, those of `baseline` beside them under the number of its threads.
fn panels(results: &Results, baseline: Option<&Results>, suite: &str) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    for all in [Some(results), baseline].into_iter().flatten() {
        for row in all.of_suite(suite) {
            let Some((title, number)) = split(row) else { continue };
            for cell in &row.cells {
                let Some(summary) = cell.summary() else { continue };
                let panel = match panels.iter().position(|panel| panel.title == title) {
                    Some(at) => at,
                    None => {
                        panels.push(Panel { title: title.clone(), curves: Vec::new() });
                        panels.len() - 1
                    }
                };
                let plural = if all.threads == 1 { "" } else { "s" };
                let side = format!("{}, {} thread{plural}", cell.side, all.threads);
                panels[panel].add(side, (number, summary.median));
            }
        }
    }
    panels
}

/// The name without its number, and the number.
fn split(row: &Row) -> Option<(String, f64)> {
    let number = row.name.split(' ').find_map(|word| word.parse::<u32>().ok())?;
    let text = number.to_string();
    let rest: Vec<&str> = row.name.split(' ').filter(|word| *word != text).collect();
    Some((rest.join(" "), f64::from(number)))
}

impl Panel {
    fn add(&mut self, side: String, point: (f64, f64)) {
        match self.curves.iter_mut().find(|(known, _)| *known == side) {
            Some((_, points)) => points.push(point),
            None => self.curves.push((side, vec![point])),
        }
    }

    /// Draws the panel with the lower left corner of its axes below `[x, y]`.
    fn draw(&self, out: &mut String, [x, y]: [f64; 2], sides: &[&str]) {
        let all = || self.curves.iter().flat_map(|(_, points)| points.iter().copied());
        let range = |of: fn((f64, f64)) -> f64| {
            let values = || all().map(of);
            let low = values().fold(f64::INFINITY, f64::min);
            let high = values().fold(f64::MIN_POSITIVE, f64::max);
            // A series of one point has a width all the same.
            if low < high { (low, high) } else { (low / 2.0, high * 2.0) }
        };
        let ((x0, x1), (y0, y1)) = (range(|p| p.0), range(|p| p.1));
        let share = |v: f64, low: f64, high: f64| (v / low).ln() / (high / low).ln();
        let at = |(n, t): (f64, f64)| {
            [x + PANEL[0] * share(n, x0, x1), y + PANEL[1] * (1.0 - share(t, y0, y1))]
        };
        let (left, bottom) = (x, y + PANEL[1]);
        let _ = writeln!(
            out,
            r#"<text x="{left}" y="{}">{}</text>
<path class="axis" fill="none" d="M{left} {y}V{bottom}H{}"/>
<text class="note" x="{}" y="{}" text-anchor="end">{}</text>
<text class="note" x="{}" y="{bottom}" text-anchor="end">{}</text>"#,
            y - 10.0,
            escaped(&self.title),
            left + PANEL[0],
            left - 6.0,
            y + 8.0,
            time(y1),
            left - 6.0,
            time(y0),
        );
        for n in self.numbers() {
            let [at_x, _] = at((n, y0));
            let _ = writeln!(
                out,
                r#"<text class="note" x="{at_x:.1}" y="{}" text-anchor="middle">{n}</text>"#,
                bottom + 16.0
            );
        }
        // From the largest point down in proportion, as far as the panel goes.
        let end = (y0 / y1).max(x0 / x1);
        let ([a, b], [c, d]) = (at((x1, y1)), at((x1 * end, y1 * end)));
        let _ = writeln!(
            out,
            r#"<line class="ideal" x1="{a:.1}" y1="{b:.1}" x2="{c:.1}" y2="{d:.1}"/>"#
        );
        for (side, points) in &self.curves {
            let stroke = colour(sides.iter().position(|s| s == side).unwrap_or_default());
            let mut path = String::new();
            for &point in points {
                let [x, y] = at(point);
                let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
            }
            let _ = writeln!(out, r#"<path class="curve" stroke="{stroke}" d="{path}"/>"#);
        }
    }

    /// What varies, each number once.
    fn numbers(&self) -> Vec<f64> {
        let mut numbers: Vec<f64> =
            self.curves.iter().flat_map(|(_, points)| points.iter().map(|p| p.0)).collect();
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::{cell, results, row};
    use super::*;

    fn series() -> Results {
        let points = [(1, 1.0), (4, 2.0), (16, 8.0)];
        let rows = points
            .map(|(n, t)| row("growth", &format!("dense, width {n}"), vec![cell("ndarray", &[t])]));
        results(rows.to_vec())
    }

    #[test]
    fn numbers_in_names_make_curves() {
        let all = series();
        let panels = panels(&all, None, "growth");
        assert_eq!(panels.len(), 1);
        assert_eq!(panels[0].title, "dense, width");
        assert_eq!(panels[0].numbers(), [1.0, 4.0, 16.0]);
        let svg = picture(&all, None, "growth").unwrap();
        let curve = svg.lines().find(|l| l.contains("class=\"curve\"")).unwrap();
        // From the lower left to the upper right corner, by way of a third of the height.
        let (left, right) = (MARGIN + LEFT, MARGIN + LEFT + PANEL[0]);
        let (top, bottom) = (HEAD + TITLE, HEAD + TITLE + PANEL[1]);
        let middle = format!("L{:.1} {:.1}", (left + right) / 2.0, bottom - PANEL[1] / 3.0);
        for part in [format!("M{left:.1} {bottom:.1}"), middle, format!("L{right:.1} {top:.1}")] {
            assert!(curve.contains(&part), "{part} in {curve}");
        }
    }

    #[test]
    fn a_baseline_of_other_threads_is_a_curve_beside() {
        let (mut one, two) = (series(), series());
        one.threads = 1;
        let svg = picture(&two, Some(&one), "growth").unwrap();
        assert_eq!(svg.matches("class=\"curve\"").count(), 2);
        assert!(svg.contains("ndarray, 1 thread<"), "{svg}");
    }

    #[test]
    fn rows_without_numbers_have_no_curves() {
        let all = results(vec![row("growth", "forward", vec![cell("ndarray", &[1.0])])]);
        assert!(picture(&all, None, "growth").is_none());
    }
}
