//! A matrix of numbers as shaded cells, each with its value in a colour that stays readable.
//!
//! Cells are one colour at an opacity over the page's ground, so that they suit light and dark. The
//! style sheet's two pairs of colours are chosen so that black and white text change places at the
//! same opacity in both (contrast at least 4.5:1 on either side of it).

use super::WIDTH;
use crate::report::svg::{Anchor, Svg, shorten};

/// A matrix to draw.
pub(in crate::report) struct HeatMap<'a> {
    pub(in crate::report) title: &'a str,
    pub(in crate::report) description: &'a str,
    /// What the rows are, and what the columns are.
    pub(in crate::report) sides: [&'a str; 2],
    pub(in crate::report) rows: &'a [String],
    pub(in crate::report) columns: &'a [String],
    /// Shade and text of a cell by row and column.
    pub(in crate::report) cell: &'a dyn Fn(usize, usize) -> Option<Shade>,
}

/// A cell: how dark it is, in `[0, 1]`, and what stands in it.
pub(in crate::report) struct Shade {
    pub(in crate::report) level: f64,
    pub(in crate::report) text: String,
}

/// Opacity from which text is light on light pages and dark on dark ones.
const TURN: f64 = 0.65;

pub(in crate::report) fn heatmap(map: &HeatMap<'_>) -> String {
    let longest = |names: &[String]| names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let row_letters = longest(map.rows).min(20);
    let column_letters = longest(map.columns).min(20);
    let left = 26.0 + 7.0 * row_letters as f64;
    let columns = map.columns.len().max(1) as f64;
    let side = ((WIDTH - left - 6.0) / columns).min(96.0);
    let tall = side.clamp(22.0, 46.0);
    // Names too long for their column are turned.
    let turned = column_letters as f64 * 7.0 > side;
    let top = if turned { 32.0 + 5.0 * column_letters as f64 } else { 42.0 };
    let height = top + tall * map.rows.len().max(1) as f64 + 6.0;
    let mut svg = Svg::new(WIDTH, height);
    let [row_side, column_side] = map.sides;
    svg.text((left, 14.0), Anchor::Start, "name", &format!("{column_side} →"));
    let middle = top + tall * map.rows.len() as f64 / 2.0;
    svg.turned((12.0, middle), -90.0, Anchor::Middle, "name", &format!("← {row_side}"));
    for (at, name) in map.columns.iter().enumerate() {
        let x = left + side * (at as f64 + 0.5);
        let short = shorten(name, 20);
        match turned {
            true => svg.turned((x, top - 6.0), -40.0, Anchor::Start, "tick", &short),
            false => svg.text((x, top - 8.0), Anchor::Middle, "tick", &short),
        }
    }
    for (row, name) in map.rows.iter().enumerate() {
        let y = top + tall * row as f64;
        let text_y = y + tall / 2.0 + 4.0;
        svg.text((left - 8.0, text_y), Anchor::End, "tick", &shorten(name, 20));
        for (column, target) in map.columns.iter().enumerate() {
            let Some(shade) = (map.cell)(row, column) else { continue };
            let x = left + side * column as f64;
            draw(&mut svg, (x, y), (side, tall), &shade, &format!("{name}, {target}"));
        }
    }
    svg.finish(map.title, map.description)
}

fn draw(svg: &mut Svg, at: (f64, f64), size: (f64, f64), shade: &Shade, place: &str) {
    let level = if shade.level.is_finite() { shade.level.clamp(0.0, 1.0) } else { 0.0 };
    let opacity = 0.04 + 0.92 * level;
    let hint = format!("{place}: {}", shade.text);
    svg.cell((at.0 + 1.0, at.1 + 1.0), (size.0 - 2.0, size.1 - 2.0), opacity, &hint);
    let class = if opacity >= TURN { "deep" } else { "faint" };
    let middle = (at.0 + size.0 / 2.0, at.1 + size.1 / 2.0 + 4.0);
    svg.text(middle, Anchor::Middle, class, &shade.text);
}
