//! Lines over a common axis: robustness over the budget, ROC curves, training curves.

use super::{Axis, Frame};
use crate::report::format;
use crate::report::svg::{Anchor, Svg};

/// A plot of lines.
pub(in crate::report) struct LineChart<'a> {
    pub(in crate::report) title: &'a str,
    pub(in crate::report) description: &'a str,
    pub(in crate::report) x: Axis,
    pub(in crate::report) y: Axis,
    pub(in crate::report) lines: Vec<Line>,
    /// Vertical rules with a word each.
    pub(in crate::report) at_x: Vec<(f64, String)>,
    /// Horizontal rules with a word each.
    pub(in crate::report) at_y: Vec<(f64, String)>,
    /// Whether the diagonal is drawn: guessing, on an ROC plot.
    pub(in crate::report) diagonal: bool,
}

/// How a line is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::report) struct Pen {
    /// Number of the colour.
    pub(in crate::report) series: usize,
    /// Number of the dash pattern.
    pub(in crate::report) dash: usize,
    /// Whether each point has a marker.
    pub(in crate::report) markers: bool,
}

/// A line.
pub(in crate::report) struct Line {
    pub(in crate::report) name: String,
    pub(in crate::report) pen: Pen,
    pub(in crate::report) points: Vec<(f64, f64)>,
}

impl Pen {
    /// A marker, as points of a scatter plot have it.
    pub(in crate::report) fn dot(series: usize) -> Self {
        Pen { series, dash: 0, markers: true }
    }

    /// Classes of the style sheet.
    pub(in crate::report) fn class(self) -> String {
        format!("s{} d{}", self.series, self.dash)
    }

    /// A short piece of the line, for a legend. Decoration: the name stands beside it.
    pub(in crate::report) fn sample(self) -> String {
        let marker = if self.markers {
            format!(r#"<circle class="dot s{}" cx="14" cy="5" r="3.5"/>"#, self.series)
        } else {
            String::new()
        };
        format!(
            r#"<svg class="swatch" viewBox="0 0 28 10" aria-hidden="true"><line class="curve {}" x1="1" y1="5" x2="27" y2="5"/>{marker}</svg>"#,
            self.class()
        )
    }
}

/// Markers beyond this number would hide the line.
const MARKERS: usize = 40;

impl LineChart<'_> {
    pub(in crate::report) fn draw(&self) -> String {
        let mut frame = Frame::new(&self.x, &self.y, 290.0);
        self.rules(&mut frame);
        for line in &self.lines {
            let points: Vec<(f64, f64)> =
                line.points.iter().map(|(x, y)| frame.at(*x, *y)).collect();
            frame.svg.polyline(&points, &format!("curve {}", line.pen.class()));
            // A line of one point would be invisible.
            if (line.pen.markers && points.len() <= MARKERS) || points.len() == 1 {
                markers(&mut frame.svg, line, &points);
            }
        }
        frame.svg.finish(self.title, self.description)
    }

    fn rules(&self, frame: &mut Frame) {
        let (x, y) = (frame.domain(0), frame.domain(1));
        if self.diagonal {
            let (from, to) = (frame.at(x.0, y.0), frame.at(x.1, y.1));
            frame.svg.line(from, to, "rule");
        }
        for (at, word) in self.at_x.iter().filter(|(at, _)| (x.0..=x.1).contains(at)) {
            let (top, bottom) = (frame.at(*at, y.1), frame.at(*at, y.0));
            frame.svg.line(top, bottom, "rule");
            let (shift, anchor) = match *at > f64::midpoint(x.0, x.1) {
                true => (-6.0, Anchor::End),
                false => (6.0, Anchor::Start),
            };
            frame.svg.text((top.0 + shift, top.1 + 11.0), anchor, "note", word);
        }
        for (at, word) in self.at_y.iter().filter(|(at, _)| (y.0..=y.1).contains(at)) {
            let (left, right) = (frame.at(x.0, *at), frame.at(x.1, *at));
            frame.svg.line(left, right, "rule");
            frame.svg.text((left.0 + 5.0, left.1 - 5.0), Anchor::Start, "note", word);
        }
    }
}

fn markers(svg: &mut Svg, line: &Line, points: &[(f64, f64)]) {
    for (data, at) in line.points.iter().zip(points) {
        if at.0.is_finite() && at.1.is_finite() {
            let hint =
                format!("{} at {}: {}", line.name, format::number(data.0), format::number(data.1));
            svg.circle(*at, 3.5, &format!("dot s{}", line.pen.series), &hint);
        }
    }
}
