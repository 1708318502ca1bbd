//! A matrix of numbers as shaded cells, each with its value in a colour that stays readable.
//!
//! Cells are one colour at an opacity over the page's ground, so that they suit light and dark. The
//! style sheet's two pairs of colours are chosen so that black and white text change places at the
//! same opacity in both (contrast at least 4.5:1 on either side of it).

use super::WIDTH;
use crate::report::svg::{Anchor, Svg, shorten, wrap};

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

/// Room for names: rows to the left, columns above.
struct Layout {
    left: f64,
    top: f64,
    /// Width and height of a cell.
    cell: (f64, f64),
    /// Column names are turned when they do not fit into their columns even on three lines.
    turned: bool,
    height: f64,
}

/// Units per character, on average, at the text size of a phone.
const LETTER: f64 = 7.4;
const LINE: f64 = 14.0;
/// Lines of a name that is wrapped.
const LINES: usize = 3;

impl Layout {
    fn new(map: &HeatMap<'_>) -> Self {
        let (rows, columns) = (map.rows.len().max(1) as f64, map.columns.len().max(1) as f64);
        let letters = map.rows.iter().flat_map(|n| wrap(n, 17, LINES)).map(|l| l.chars().count());
        let left = 34.0 + LETTER * letters.max().unwrap_or(0) as f64;
        let width = ((WIDTH - left - 4.0) / columns).min(96.0);
        let limit = (width / LETTER) as usize;
        let turned = limit < 9 && map.columns.iter().any(|n| n.chars().count() > limit);
        if turned {
            // Turned names lean over the last column.
            let longest = map.columns.iter().map(|n| n.chars().count()).max().unwrap_or(0).min(20);
            let (across, up) = (0.6 * LETTER * longest as f64, 0.75 * LETTER * longest as f64);
            let width = ((WIDTH - left - across) / columns).clamp(8.0, 96.0);
            let (top, tall) = (36.0 + up, width.clamp(20.0, 44.0));
            let height = top + tall * rows + 6.0;
            return Layout { left, top, cell: (width, tall), turned, height };
        }
        let lines = map.columns.iter().map(|n| wrap(n, limit, LINES).len()).max().unwrap_or(1);
        let lines_of_rows = map.rows.iter().map(|n| wrap(n, 17, LINES).len()).max().unwrap_or(1);
        let top = 30.0 + LINE * lines as f64;
        let tall = width.clamp(22.0, 46.0).max(LINE * lines_of_rows as f64 + 6.0);
        let height = top + tall * rows + 6.0;
        Layout { left, top, cell: (width, tall), turned, height }
    }
}

/// Draws the matrix, row names to the left and column names above.
pub(in crate::report) fn heatmap(map: &HeatMap<'_>) -> String {
    let layout = Layout::new(map);
    let Layout { left, top, cell: (width, tall), .. } = layout;
    let mut svg = Svg::new(WIDTH, layout.height);
    let [row_side, column_side] = map.sides;
    svg.text((left, 14.0), Anchor::Start, "name", &format!("{column_side} →"));
    let middle = top + tall * map.rows.len() as f64 / 2.0;
    svg.turned((12.0, middle), -90.0, Anchor::Middle, "name", &format!("← {row_side}"));
    for (at, name) in map.columns.iter().enumerate() {
        let x = left + width * (at as f64 + 0.5);
        if layout.turned {
            svg.turned((x, top - 7.0), -50.0, Anchor::Start, "tick", &shorten(name, 20));
            continue;
        }
        let lines = wrap(name, (width / LETTER) as usize, LINES);
        for (line, text) in lines.iter().rev().enumerate() {
            svg.text((x, top - 8.0 - LINE * line as f64), Anchor::Middle, "tick", text);
        }
    }
    for (row, name) in map.rows.iter().enumerate() {
        let y = top + tall * row as f64;
        let lines = if tall < 40.0 { vec![shorten(name, 17)] } else { wrap(name, 17, LINES) };
        let first = y + tall / 2.0 + 4.0 - LINE * (lines.len() - 1) as f64 / 2.0;
        for (line, text) in lines.iter().enumerate() {
            svg.text((left - 8.0, first + LINE * line as f64), Anchor::End, "tick", text);
        }
        for (column, target) in map.columns.iter().enumerate() {
            let Some(shade) = (map.cell)(row, column) else { continue };
            let x = left + width * column as f64;
            draw(&mut svg, (x, y), layout.cell, &shade, &format!("{name}, {target}"));
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
    // A text wider than its cell would run into the next; it is in the cell's title anyway.
    if shade.text.chars().count() as f64 * LETTER <= size.0 + 4.0 {
        svg.text(middle, Anchor::Middle, class, &shade.text);
    }
}
