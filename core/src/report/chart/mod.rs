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
    /// Fractions on a logarithmic axis, whose values are their decimal logarithms, as percentages.
    Decades,
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

    /// Fractions from `10^low` to 1 on a logarithmic axis; values are decimal logarithms.
    pub(super) fn decades(title: impl Into<String>, low: f64) -> Self {
        Axis { title: title.into(), domain: (low, 0.0), ticks: Ticks::Decades }
    }

    fn marks(&self, scale: &Scale, count: usize) -> Vec<(f64, String)> {
        let possible = |t: &f64| match self.ticks {
            Ticks::Percent => (0.0..=1.0).contains(t),
            Ticks::Count | Ticks::Decades => t.fract() == 0.0,
            Ticks::Number => true,
        };
        let label = |t: f64| match self.ticks {
            Ticks::Percent => format!("{}%", format::number((t * 1e6).round() / 1e4)),
            Ticks::Decades => format!("{}%", format::number(100.0 * 10f64.powf(t))),
            Ticks::Number | Ticks::Count => format::number(t),
        };
        scale.ticks(count).into_iter().filter(possible).map(|t| (t, label(t))).collect()
    }
}

/// The plot area: a grid, two axes with tick marks, and the maps from data to positions.
struct Frame {
    svg: Svg,
    x: Scale,
    y: Scale,
}

const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;

impl Frame {
    fn new(x_axis: &Axis, y_axis: &Axis, height: f64) -> Self {
        let mut svg = Svg::new(WIDTH, height);
        let (right, bottom) = (WIDTH - RIGHT, height - BOTTOM);
        let x = Scale::new(x_axis.domain, (LEFT, right));
        let y = Scale::new(y_axis.domain, (bottom, TOP));
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
        Frame { svg, x, y }
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x.at(x), self.y.at(y))
    }
}

/// The smallest and largest finite value, if there is one.
pub(super) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|v| v.is_finite()).fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((low, high)) => Some((f64::min(low, v), f64::max(high, v))),
    })
}
