//! The comparison of models as a table, for the terminal, for Markdown and for the page.
//!
//! One value with three renderings, so that the terminal never says something else than the page.
//! Differences against the baseline carry whether they are for the better: a higher accuracy is, a
//! higher membership advantage is not.

/// A table of text with a heading row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, each with a cell a column.
    pub rows: Vec<Vec<Cell>>,
}

/// A column of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub heading: String,
    /// Where its cells stand.
    pub align: Align,
}

/// Alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A cell of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    /// The value, formatted.
    pub text: String,
    /// The difference against the baseline.
    pub delta: Option<Delta>,
}

/// A difference against the baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// With sign: `+12.3`. Percentages differ in points.
    pub text: String,
    /// Whether it is for the better; `None` where it is neither (no difference, or only time).
    pub better: Option<bool>,
}
