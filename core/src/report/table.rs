//! Tables of text, for the terminal, for Markdown and for the page.
//!
//! One value with several renderings, so that the terminal never says something else than the page.

use std::fmt::Write as _;

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
    /// For text.
    Left,
    /// For numbers.
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
    /// Whether it is for the better; `None` where it is neither.
    pub better: Option<bool>,
}

impl Column {
    /// A column of text.
    pub fn left(heading: impl Into<String>) -> Self {
        Column { heading: heading.into(), align: Align::Left }
    }

    /// A column of numbers.
    pub fn right(heading: impl Into<String>) -> Self {
        Column { heading: heading.into(), align: Align::Right }
    }
}

impl Cell {
    /// A cell without a difference.
    pub fn text(text: impl Into<String>) -> Self {
        Cell { text: text.into(), delta: None }
    }
}

impl Table {
    /// Rows and columns exchanged: the first column becomes the heading row.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let cell = |row: usize, column: usize| self.rows[row].get(column);
        let name = |row: usize| cell(row, 0).map_or(String::new(), |c| c.text.clone());
        let corner = self.columns.first().map_or(String::new(), |c| c.heading.clone());
        let columns = std::iter::once(Column::left(corner))
            .chain((0..self.rows.len()).map(|row| Column::right(name(row))))
            .collect();
        let rows = (self.columns.iter().enumerate().skip(1))
            .map(|(at, column)| {
                let values = (0..self.rows.len()).map(|row| cell(row, at).cloned());
                std::iter::once(Cell::text(column.heading.clone()))
                    .chain(values.map(Option::unwrap_or_default))
                    .collect()
            })
            .collect();
        Table { columns, rows }
    }

    /// Aligned plain text, a line a row, each line ended. Columns are two spaces apart.
    pub fn to_text(&self) -> String {
        let widths: Vec<Widths> = (0..self.columns.len()).map(|at| self.widths(at)).collect();
        let mut text = String::new();
        let heading: Vec<String> = (self.columns.iter().zip(&widths))
            .map(|(column, width)| pad(&column.heading, width.whole(), column.align))
            .collect();
        push_line(&mut text, &heading);
        let rule: Vec<String> = widths.iter().map(|w| "-".repeat(w.whole())).collect();
        push_line(&mut text, &rule);
        for row in &self.rows {
            let cells: Vec<String> = (self.columns.iter().zip(&widths).enumerate())
                .map(|(at, (column, width))| width.cell(row.get(at), column.align))
                .collect();
            push_line(&mut text, &cells);
        }
        text
    }

    /// [`Table::to_text`] if no line is longer than `width` characters, else transposed, whose lines
    /// are shorter when there are more columns than rows.
    pub fn to_text_within(&self, width: usize) -> String {
        let text = self.to_text();
        if text.lines().all(|line| count(line) <= width) {
            return text;
        }
        self.transposed().to_text()
    }

    /// A GitHub-flavoured Markdown table.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        let mut line = |cells: Vec<String>| {
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        };
        line(self.columns.iter().map(|c| markdown_escape(&c.heading)).collect());
        let rule = |align: Align| match align {
            Align::Left => "---".to_owned(),
            Align::Right => "---:".to_owned(),
        };
        line(self.columns.iter().map(|c| rule(c.align)).collect());
        for row in &self.rows {
            line((0..self.columns.len()).map(|at| markdown_cell(row.get(at))).collect());
        }
        text
    }

    fn widths(&self, at: usize) -> Widths {
        let cells = || self.rows.iter().filter_map(|row| row.get(at));
        let value = cells().map(|c| count(&c.text)).max().unwrap_or(0);
        let delta = cells().map(|c| count(&bracketed(c))).max().unwrap_or(0);
        Widths { value, delta, heading: count(&self.columns[at].heading) }
    }
}

/// Characters that a column needs; differences stand in a sub-column of their own, so that values
/// align whether or not they have one.
struct Widths {
    value: usize,
    delta: usize,
    heading: usize,
}

impl Widths {
    fn whole(&self) -> usize {
        self.heading.max(self.value + self.delta)
    }

    fn cell(&self, cell: Option<&Cell>, align: Align) -> String {
        let Some(cell) = cell else { return " ".repeat(self.whole()) };
        let inner = match align {
            Align::Left => pad(&cell.text, self.value, Align::Left),
            Align::Right => pad(&cell.text, self.value, Align::Right),
        };
        let delta = pad(&bracketed(cell), self.delta, Align::Right);
        pad(&(inner + &delta), self.whole(), align)
    }
}

fn bracketed(cell: &Cell) -> String {
    cell.delta.as_ref().map_or(String::new(), |d| format!(" ({})", d.text))
}

fn markdown_cell(cell: Option<&Cell>) -> String {
    cell.map_or(String::new(), |c| markdown_escape(&(c.text.clone() + &bracketed(c))))
}

fn markdown_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => escaped.push(' '),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' => escaped.extend(['\\', c]),
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn push_line(text: &mut String, cells: &[String]) {
    text.push_str(cells.join("  ").trim_end());
    text.push('\n');
}

fn pad(text: &str, width: usize, align: Align) -> String {
    let space = " ".repeat(width.saturating_sub(count(text)));
    match align {
        Align::Left => format!("{text}{space}"),
        Align::Right => format!("{space}{text}"),
    }
}

fn count(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let delta = |text: &str| Some(Delta { text: text.into(), better: Some(true) });
        Table {
            columns: vec![Column::left("model"), Column::right("clean"), Column::right("PGD L∞")],
            rows: vec![
                vec![Cell::text("plain"), Cell::text("99.0%"), Cell::text("3.0%")],
                vec![
                    Cell::text("a|b"),
                    Cell { text: "98.5%".into(), delta: delta("-0.5") },
                    Cell { text: "90.0%".into(), delta: delta("+87.0") },
                ],
            ],
        }
    }

    #[test]
    fn text_aligns_values_with_and_without_a_difference() {
        let expected = "\
model         clean         PGD L∞
-----  ------------  -------------
plain  99.0%          3.0%
a|b    98.5% (-0.5)  90.0% (+87.0)
";
        assert_eq!(table().to_text(), expected);
    }

    #[test]
    fn a_wide_table_is_turned() {
        let turned = table().transposed();
        assert_eq!(turned.columns[2].heading, "a|b");
        assert_eq!(turned.rows[1][2], table().rows[1][2]);
        assert_eq!(table().to_text_within(200), table().to_text());
        assert_eq!(table().to_text_within(20), turned.to_text());
        assert_eq!(turned.transposed().rows, table().rows);
    }

    #[test]
    fn markdown_escapes_what_would_break_a_cell() {
        let markdown = table().to_markdown();
        let lines: Vec<&str> = markdown.lines().collect();
        assert_eq!(lines[1], "| --- | ---: | ---: |");
        assert_eq!(lines[3], "| a\\|b | 98.5% (-0.5) | 90.0% (+87.0) |");
    }
}
