//! Tables as comma-separated text: a sample a line, one column the label.
//!
//! The file is read into memory and parsed twice, first for what the columns are, then for the
//! values; a table of records in between would take several times the memory of the features.
//! Columns are counted from 1 in messages, as editors do, and from 0 in the configuration, as
//! programs do.

use std::path::{Path, PathBuf};

use csv::StringRecord;
use serde::{Deserialize, Serialize};

use super::{Dataset, MAX_BYTES, NOT_STATED, stem, unit_interval};
use crate::error::nearest;
use crate::{Error, ErrorKind, Result, bail, fs};

mod columns;
mod fields;
mod labels;

use columns::{Column, Columns};
pub use fields::fields;
use labels::Labels;

/// How to read a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvConfig {
    /// The file.
    pub path: PathBuf,
    /// The column with the labels; the last one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelColumn>,
    /// Whether the first line names the columns.
    #[serde(default)]
    pub header: Header,
    /// What to do with the range of each column.
    #[serde(default)]
    pub scale: Scale,
    /// Whether a column with text becomes one column of 0 and 1 for each of its texts. Without
    /// it, text in a column of features is an error.
    #[serde(default)]
    pub categorical: bool,
    /// Smallest and largest value that a feature may have, where columns are not scaled.
    #[serde(default = "unit_interval")]
    pub bounds: [f32; 2],
}

impl CsvConfig {
    /// The defaults: labels in the last column, a header if there seems to be one, columns scaled
    /// to `[0, 1]`, no text.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        CsvConfig {
            path: path.into(),
            label: None,
            header: Header::default(),
            scale: Scale::default(),
            categorical: false,
            bounds: unit_interval(),
        }
    }
}

/// The column that holds the labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LabelColumn {
    /// By its number, from 0.
    Index(usize),
    /// By its name, which needs a header.
    Name(String),
}

/// Whether the first line names the columns: `"auto"`, `true` or `false`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "HeaderText", into = "HeaderText")]
pub enum Header {
    /// It does if it has text in a column where the second line has a number.
    #[default]
    Auto,
    /// It does.
    Present,
    /// It is a sample.
    Absent,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum HeaderText {
    Flag(bool),
    Word(String),
}

impl TryFrom<HeaderText> for Header {
    type Error = String;

    fn try_from(text: HeaderText) -> Result<Self, String> {
        match text {
            HeaderText::Flag(true) => Ok(Header::Present),
            HeaderText::Flag(false) => Ok(Header::Absent),
            HeaderText::Word(word) if word == "auto" => Ok(Header::Auto),
            HeaderText::Word(word) => {
                Err(format!("header: '{word}' is unknown; use \"auto\", true or false"))
            }
        }
    }
}

impl From<Header> for HeaderText {
    fn from(header: Header) -> Self {
        match header {
            Header::Auto => HeaderText::Word("auto".into()),
            Header::Present => HeaderText::Flag(true),
            Header::Absent => HeaderText::Flag(false),
        }
    }
}

/// What to do with the range of each column of numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Maps the smallest value to 0 and the largest to 1; a constant column becomes 0. The range
    /// is that of the whole file, so a test part cut from it is within bounds.
    #[default]
    Minmax,
    /// Leaves the values.
    None,
}

/// A table as a data set of shape `[D]`. Labels may be numbers or text; their classes are numbered
/// in ascending order.
///
/// # Errors
/// [`Io`](ErrorKind::Io) if the file cannot be read; [`Config`](ErrorKind::Config) if the label
/// column is not there; [`Data`](ErrorKind::Data) with line and column if lines differ in length,
/// a field is empty, not a number, not finite or not UTF-8, and if there are fewer than two
/// classes or no features.
pub fn load(config: &CsvConfig) -> Result<Dataset> {
    let bytes = fs::read(&config.path, MAX_BYTES)?;
    parse(config, &bytes).map_err(|e| e.context(config.path.display()))
}

/// As [`load`], from the contents of the file.
pub(super) fn parse(config: &CsvConfig, bytes: &[u8]) -> Result<Dataset> {
    let head = head(bytes)?;
    let header = has_header(config, &head)?;
    let width = head[0].len();
    let label = label_column(config, &head[0], header)?;
    if width < 2 {
        bail!(
            Data,
            "one column only; supply at least one feature and the label, separated by commas"
        );
    }
    let mut columns = Columns::new(width, label);
    if config.categorical {
        each_row(bytes, header, width, |line, row| columns.observe(line, row))?;
    }
    let mut labels = Labels::default();
    let mut features = Vec::new();
    each_row(bytes, header, width, |line, row| {
        labels.push(line, label, &row[label])?;
        columns.append(line, row, config.categorical, &mut features)
    })?;
    let (labels, class_names) = labels.finish()?;
    let kinds = columns.outputs();
    let bounds = match config.scale {
        Scale::Minmax => {
            scale_columns(&mut features, &kinds);
            (0.0, 1.0)
        }
        Scale::None => config.bounds.into(),
    };
    Dataset {
        name: stem(&config.path),
        source: config.path.display().to_string(),
        licence: NOT_STATED.into(),
        features,
        shape: vec![kinds.len()],
        labels,
        classes: class_names.len(),
        class_names,
        bounds,
    }
    .checked()
}

fn reader(bytes: &[u8]) -> csv::Reader<&[u8]> {
    // Lines of unequal length pass here and are refused below with a message of our own.
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(bytes)
}

/// The first two records, or the only one.
fn head(bytes: &[u8]) -> Result<Vec<StringRecord>> {
    let rows: Result<Vec<_>, _> = reader(bytes).into_records().take(2).collect();
    let rows = rows.map_err(|e| unreadable(&e))?;
    if rows.is_empty() {
        bail!(Data, "the file is empty; supply a line for each sample");
    }
    Ok(rows)
}

fn has_header(config: &CsvConfig, head: &[StringRecord]) -> Result<bool> {
    let is_number = |field: &str| field.parse::<f32>().is_ok();
    match (config.header, head) {
        (Header::Present, _) => Ok(true),
        (Header::Absent, _) => Ok(false),
        (Header::Auto, [first, second]) => {
            let names = first.iter().zip(second).any(|(a, b)| !is_number(a) && is_number(b));
            let text_only = !first.iter().chain(second).any(is_number);
            if text_only && config.label.is_none() {
                bail!(
                    Data,
                    "lines 1 and 2 are text throughout, so line 1 may be a header or a sample; set \
                     header to true or false"
                );
            }
            let by_name = matches!(config.label, Some(LabelColumn::Name(_)));
            Ok(names || (text_only && by_name))
        }
        (Header::Auto, _) => Ok(false),
    }
}

/// The number of the label column, from 0.
fn label_column(config: &CsvConfig, first: &StringRecord, header: bool) -> Result<usize> {
    let width = first.len();
    match &config.label {
        None => Ok(width - 1),
        Some(LabelColumn::Index(index)) if *index < width => Ok(*index),
        Some(LabelColumn::Index(index)) => {
            bail!(Config, "label: no column {index} among {width}; use a number in 0..{width}")
        }
        Some(LabelColumn::Name(name)) if header => {
            if let Some(index) = first.iter().position(|column| column == name) {
                return Ok(index);
            }
            let near = nearest(name, first).unwrap_or(&first[width - 1]);
            bail!(Config, "label: no column is called '{name}'; did you mean '{near}'?")
        }
        Some(LabelColumn::Name(name)) => bail!(
            Config,
            "label: column '{name}' is asked for by name but there is no header; give its number \
             from 0 or set header to true"
        ),
    }
}

/// Calls `visit` with the line number and the fields of each sample, all of them filled.
fn each_row(
    bytes: &[u8],
    header: bool,
    width: usize,
    mut visit: impl FnMut(u64, &StringRecord) -> Result<()>,
) -> Result<()> {
    let (mut reader, mut row) = (reader(bytes), StringRecord::new());
    let mut skip = header;
    // The reader's own line numbers pass over blank lines and count from before a line break.
    let (mut counted, mut line) = (0, 1);
    while reader.read_record(&mut row).map_err(|e| unreadable(&e))? {
        let mut start = row.position().map_or(0, |p| p.byte() as usize).min(bytes.len());
        while matches!(bytes.get(start), Some(b'\r' | b'\n')) {
            start += 1;
        }
        line += bytes[counted..start].iter().filter(|&&b| b == b'\n').count() as u64;
        counted = start;
        if std::mem::take(&mut skip) {
            continue;
        }
        if row.len() != width {
            bail!(
                Data,
                "line {line} has {} columns where line 1 has {width}; mend the line",
                row.len()
            );
        }
        if let Some(column) = row.iter().position(str::is_empty) {
            return Err(at(line, column, "the field is empty; fill it or remove the line"));
        }
        visit(line, &row)?;
    }
    Ok(())
}

/// An error at a field, with the column counted from 0.
fn at(line: u64, column: usize, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Data, format!("line {line}, column {}: {what}", column + 1))
}

fn unreadable(e: &csv::Error) -> Error {
    let line = e.position().map_or(0, csv::Position::line);
    match e.kind() {
        csv::ErrorKind::Utf8 { err, .. } => {
            at(line, err.field(), "the text is not UTF-8; save the file in UTF-8")
        }
        _ => Error::new(ErrorKind::Data, format!("line {line}: {e}; mend the line")),
    }
}

/// Maps each column of numbers to `[0, 1]`. In `f64`, where the span of two `f32` cannot overflow.
fn scale_columns(features: &mut [f32], kinds: &[Column]) {
    let width = kinds.len();
    for (column, _) in kinds.iter().enumerate().filter(|(_, kind)| **kind == Column::Number) {
        let values = features[column..].iter().step_by(width).map(|&v| f64::from(v));
        let (lo, hi) = values.fold((f64::MAX, f64::MIN), |(lo, hi), v| (lo.min(v), hi.max(v)));
        let span = if hi > lo { hi - lo } else { 1.0 };
        for value in features[column..].iter_mut().step_by(width) {
            *value = ((f64::from(*value) - lo) / span) as f32;
        }
    }
}

/// Whether a path is named like such a table.
pub(super) fn is_named_so(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}
