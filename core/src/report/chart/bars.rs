//! Horizontal bars in named groups. Names stand above their bars and values at the ends, so that
//! long names fit on a phone and no legend is needed.

use super::WIDTH;
use crate::report::svg::{Anchor, Scale, Svg, shorten};

/// A group of bars under one name.
pub(in crate::report) struct BarGroup {
    pub(in crate::report) name: String,
    /// Number of the colour.
    pub(in crate::report) series: usize,
    pub(in crate::report) bars: Vec<Bar>,
}

/// A bar.
pub(in crate::report) struct Bar {
    /// What it shows; empty if the chart has one kind of bar only.
    pub(in crate::report) kind: &'static str,
    /// Its length.
    pub(in crate::report) value: f64,
    /// The value, formatted.
    pub(in crate::report) text: String,
    /// Whether it is the paler of two.
    pub(in crate::report) pale: bool,
}

const NAME: f64 = 22.0;
const BAR: f64 = 18.0;
const PITCH: f64 = 21.0;
const GAP: f64 = 12.0;

/// Draws bars from 0 to `longest` (at least).
pub(in crate::report) fn bars(
    title: &str,
    description: &str,
    groups: &[BarGroup],
    longest: f64,
) -> String {
    let of_group = |g: &BarGroup| NAME + PITCH * g.bars.len() as f64 + GAP;
    let height = groups.iter().map(of_group).sum::<f64>().max(1.0);
    let mut svg = Svg::new(WIDTH, height);
    let kinds = groups.iter().flat_map(|g| &g.bars).any(|b| !b.kind.is_empty());
    let (left, right) = (if kinds { 64.0 } else { 0.0 }, WIDTH - 58.0);
    let values = groups.iter().flat_map(|g| g.bars.iter().map(|b| b.value));
    let high = values.filter(|v| v.is_finite()).fold(longest, f64::max);
    let scale = Scale::new((0.0, high), (left, right));
    let mut y = 0.0;
    for group in groups {
        svg.text((0.0, y + 15.0), Anchor::Start, "label", &shorten(&group.name, 50));
        y += NAME;
        for bar in &group.bars {
            let value = if bar.value.is_finite() { bar.value.max(0.0) } else { 0.0 };
            let end = scale.at(value);
            let pale = if bar.pale { " pale" } else { "" };
            let class = format!("bar s{}{pale}", group.series);
            let hint = format!("{} {}: {}", group.name, bar.kind, bar.text);
            svg.rect((left, y), (right - left, BAR), "track", "");
            svg.rect((left, y), (end - left, BAR), &class, &hint);
            if kinds {
                svg.text((left - 8.0, y + 13.5), Anchor::End, "tick", bar.kind);
            }
            svg.text((right + 8.0, y + 13.5), Anchor::Start, "value", &bar.text);
            y += PITCH;
        }
        y += GAP;
    }
    svg.finish(title, description)
}
