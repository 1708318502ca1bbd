//! The plots of the page, as inline SVG drawn here: no script, no plotting library, no network.
//!
//! Drawings are 420 units wide with text of 11 units (14 on a phone, where a drawing shrinks to
//! about 330 pixels), so that they stay readable everywhere. Series differ by colour and by dash and marker, since
//! colour alone is lost on many readers and most printers.

mod bars;
mod heatmap;
mod lines;
mod scatter;

pub(super) use bars::{Bar, BarGroup, bars};
pub(super) use heatmap::{HeatMap, Shade, heatmap};
pub(super) use lines::{Line, LineChart, Pen};
pub(super) use scatter::{Bubble, scatter};

use super::format;
use super::svg::{Anchor, Scale, Svg};

/// Width of all drawings.
const WIDTH: f64 = 420.0;

/// How tick marks of an axis are written.
#[derive(Clone, Copy)]
pub(super) enum Ticks {
    /// Fractions as percentages.
    Percent,
    /// Numbers.
    Number,
    /// Numbers, whole ones only.
    Count,
    /// Numbers on a logarithmic axis.
    Log,
    /// Fractions as percentages on a logarithmic axis.
    LogPercent,
}

impl Ticks {
    fn are_logarithmic(self) -> bool {
        matches!(self, Ticks::Log | Ticks::LogPercent)
    }
}

/// An axis: its title, the values that it spans and how they are written.
pub(super) struct Axis {
    pub(super) title: String,
    pub(super) domain: (f64, f64),
    pub(super) ticks: Ticks,
}

impl Axis {
    /// Fractions from 0 to 1.
    pub(super) fn unit(title: impl Into<String>) -> Self {
        Axis { title: title.into(), domain: (0.0, 1.0), ticks: Ticks::Percent }
    }

    /// The domain in the units of the scale: logarithms on a logarithmic axis.
    fn extent(&self) -> (f64, f64) {
        match self.ticks.are_logarithmic() {
            true => (self.domain.0.log10(), self.domain.1.log10()),
            false => self.domain,
        }
    }

    /// Powers of ten, with twice and five times them where there are few.
    fn log_marks(&self, scale: &Scale) -> Vec<(f64, String)> {
        let (low, high) = scale.domain;
        let steps: &[f64] = if high - low > 2.3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let powers = low.floor().max(-300.0) as i32..=high.ceil().min(300.0) as i32;
        let values = powers.flat_map(|k| steps.iter().map(move |s| s * 10f64.powi(k)));
        let inside = values.filter(|v| (low - 1e-9..=high + 1e-9).contains(&v.log10()));
        let label = |v: f64| match self.ticks {
            Ticks::LogPercent => format!("{}%", format::number((v * 1e8).round() / 1e6)),
            _ => format::number(v),
        };
        inside.map(|v| (v.log10(), label(v))).collect()
    }

    fn marks(&self, scale: &Scale, count: usize) -> Vec<(f64, String)> {
        if self.ticks.are_logarithmic() {
            return self.log_marks(scale);
        }
        let possible = |t: &f64| match self.ticks {
            Ticks::Percent => (0.0..=1.0).contains(t),
            Ticks::Count => t.fract() == 0.0,
            Ticks::Number | Ticks::Log | Ticks::LogPercent => true,
        };
        let label = |t: f64| match self.ticks {
            Ticks::Percent => format!("{}%", format::number((t * 1e6).round() / 1e4)),
            _ => format::number(t),
        };
        scale.ticks(count).into_iter().filter(possible).map(|t| (t, label(t))).collect()
    }
}

/// The plot area: a grid, two axes with tick marks, and the maps from data to positions.
struct Frame {
    svg: Svg,
    x: Scale,
    y: Scale,
    /// Whether the axes are logarithmic: x, y.
    logarithmic: [bool; 2],
}

const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;

impl Frame {
    fn new(x_axis: &Axis, y_axis: &Axis, height: f64) -> Self {
        let mut svg = Svg::new(WIDTH, height);
        let (right, bottom) = (WIDTH - RIGHT, height - BOTTOM);
        let x = Scale::new(x_axis.extent(), (LEFT, right));
        let y = Scale::new(y_axis.extent(), (bottom, TOP));
        for (value, label) in y_axis.marks(&y, 5) {
            let at = y.at(value);
            svg.line((LEFT, at), (right, at), "mesh");
            svg.text((LEFT - 8.0, at + 4.0), Anchor::End, "tick", &label);
        }
        for (value, label) in x_axis.marks(&x, 6) {
            let at = x.at(value);
            svg.line((at, bottom), (at, bottom + 5.0), "axis");
            svg.text((at, bottom + 19.0), Anchor::Middle, "tick", &label);
        }
        svg.line((LEFT, bottom), (right, bottom), "axis");
        svg.text((f64::midpoint(LEFT, right), height - 6.0), Anchor::Middle, "name", &x_axis.title);
        svg.turned(
            (11.0, f64::midpoint(TOP, bottom)),
            -90.0,
            Anchor::Middle,
            "name",
            &y_axis.title,
        );
        let logarithmic = [x_axis, y_axis].map(|axis| axis.ticks.are_logarithmic());
        Frame { svg, x, y, logarithmic }
    }

    /// The values that an axis (0 or 1) spans.
    fn domain(&self, axis: usize) -> (f64, f64) {
        let (low, high) = [self.x.domain, self.y.domain][axis];
        match self.logarithmic[axis] {
            true => (10f64.powf(low), 10f64.powf(high)),
            false => (low, high),
        }
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let [x_log, y_log] = self.logarithmic;
        (along(&self.x, x_log, x), along(&self.y, y_log, y))
    }
}

/// A position on a scale. What a logarithm is too small for, 0 included, stands at its lower end.
fn along(scale: &Scale, logarithmic: bool, value: f64) -> f64 {
    match logarithmic {
        true if value <= 0.0 => scale.at(scale.domain.0),
        true => scale.at(value.log10().max(scale.domain.0)),
        false => scale.at(value),
    }
}

/// The smallest and largest finite value, if there is one.
pub(super) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|v| v.is_finite()).fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((low, high)) => Some((f64::min(low, v), f64::max(high, v))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithmic_axes_put_equal_ratios_equally_far_apart() {
        let axis = |ticks, domain| Axis { title: String::new(), domain, ticks };
        let rates = axis(Ticks::LogPercent, (1e-3, 1.0));
        let frame = Frame::new(&rates, &rates, 290.0);
        let at = |v| frame.at(v, v);
        assert!((at(1e-2).0 - at(1e-3).0 - (at(1.0).0 - at(1e-1).0)).abs() < 1e-9);
        // What is below the axis, and 0, stands at its end.
        assert_eq!((at(0.0), at(1e-9)), (at(1e-3), at(1e-3)));
        let marks: Vec<String> = rates.marks(&frame.x, 5).into_iter().map(|m| m.1).collect();
        assert_eq!(marks, ["0.1%", "1%", "10%", "100%"]);
        let steps = axis(Ticks::Log, (1.0, 100.0));
        let marks = steps.marks(&Scale::new(steps.extent(), (0.0, 1.0)), 5);
        let marks: Vec<String> = marks.into_iter().map(|m| m.1).collect();
        assert_eq!(marks, ["1", "2", "5", "10", "20", "50", "100"]);
        // A domain that no logarithm exists of still draws.
        let broken = axis(Ticks::Log, (0.0, f64::NAN));
        assert!(!broken.marks(&Frame::new(&broken, &steps, 290.0).x, 5).is_empty());
    }
}
