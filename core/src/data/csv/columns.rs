//! What the columns of features are: numbers, or text that becomes indicators.

use std::collections::BTreeSet;

use csv::StringRecord;

use super::at;
use crate::Result;

/// Texts that a column may have. More of them are identifiers or mistyped numbers, and would make
/// as many columns of features.
const MAX_TEXTS: usize = 256;

/// What a column of the features is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// The numbers of the file.
    Number,
    /// 1 where the file has a certain text, else 0.
    Indicator,
}

/// The columns of the file.
pub(super) struct Columns {
    label: usize,
    /// For each column whether it has text, and all of its fields seen as long as they are few.
    texts: Vec<Texts>,
}

#[derive(Clone, Default)]
struct Texts {
    categorical: bool,
    distinct: BTreeSet<String>,
}

impl Columns {
    pub(super) fn new(width: usize, label: usize) -> Self {
        Columns { label, texts: vec![Texts::default(); width] }
    }

    /// Notes which columns of a row have text, and which.
    pub(super) fn observe(&mut self, line: u64, row: &StringRecord) -> Result<()> {
        for (column, field) in row.iter().enumerate().filter(|(column, _)| *column != self.label) {
            let texts = &mut self.texts[column];
            texts.categorical |= field.parse::<f32>().is_err();
            // A column that is numbers so far may turn out to be codes of which some are text.
            if texts.distinct.len() <= MAX_TEXTS && !texts.distinct.contains(field) {
                texts.distinct.insert(field.to_owned());
            }
            if texts.categorical && texts.distinct.len() > MAX_TEXTS {
                let what = format!(
                    "'{field}' makes more than {MAX_TEXTS} different texts in this column; mend a \
                     mistyped number or remove the column"
                );
                return Err(at(line, column, what));
            }
        }
        Ok(())
    }

    /// Appends the features of a row.
    pub(super) fn append(
        &self,
        line: u64,
        row: &StringRecord,
        categorical: bool,
        features: &mut Vec<f32>,
    ) -> Result<()> {
        for (column, field) in row.iter().enumerate().filter(|(column, _)| *column != self.label) {
            let texts = &self.texts[column];
            if texts.categorical {
                features.extend(texts.distinct.iter().map(|t| f32::from(u8::from(t == field))));
            } else {
                features.push(number(field, categorical).map_err(|what| at(line, column, what))?);
            }
        }
        Ok(())
    }

    /// For each column of the file but the label, its number and its columns among the features.
    pub(super) fn spans(&self) -> Vec<(usize, std::ops::Range<usize>)> {
        let mut end = 0;
        let features = self.texts.iter().enumerate().filter(|(column, _)| *column != self.label);
        let span = |(column, texts): (usize, &Texts)| {
            let start = end;
            end += if texts.categorical { texts.distinct.len() } else { 1 };
            (column, start..end)
        };
        features.map(span).collect()
    }

    /// The columns of the features, in order.
    pub(super) fn outputs(&self) -> Vec<Column> {
        let features = self.texts.iter().enumerate().filter(|(column, _)| *column != self.label);
        let outputs = features.flat_map(|(_, texts)| match texts.categorical {
            true => vec![Column::Indicator; texts.distinct.len()],
            false => vec![Column::Number],
        });
        outputs.collect()
    }
}

fn number(field: &str, categorical: bool) -> Result<f32, String> {
    match field.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => {
            Err(format!("'{field}' is not a finite 32-bit number; mend it or remove the line"))
        }
        Err(_) if categorical => Err(format!("'{field}' is not a number; mend it")),
        Err(_) => Err(format!(
            "'{field}' is not a number; mend it, or set categorical to true if the column is text"
        )),
    }
}
