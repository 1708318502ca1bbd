//! Masked fields of records: which columns, which values they may have, how often each occurs.
//!
//! A field is one column of numbers, or the columns of a text that was made into indicators. What an
//! attacker knows of its values comes from auxiliary records, never from the records under attack.

use std::ops::Range;

use crate::data::Dataset;
use crate::error::nearest;
use crate::{Result, bail};

/// Values of a column of numbers at most; more are put into as many classes of equal count.
const VALUES: usize = 16;

/// A masked field.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Name, or its columns: `3..7`.
    pub name: String,
    /// Its columns.
    pub columns: Range<usize>,
    /// The values it may have, each over its columns.
    pub values: Vec<Vec<f32>>,
    /// How often each occurs among the auxiliary records, as a share of them.
    pub prior: Vec<f64>,
}

impl Field {
    /// The field at `columns`, with the values it has in `auxiliary`: those that occur, or for a column
    /// of more than 16 numbers the medians of 16 classes of equal count.
    ///
    /// # Errors
    /// The columns are not there, there are no auxiliary records, or only one value occurs.
    pub fn new(name: &str, columns: Range<usize>, auxiliary: &Dataset) -> Result<Self> {
        let width = width(auxiliary)?;
        if columns.is_empty() || columns.end > width {
            let Range { start, end } = columns;
            bail!(
                Config,
                "fields: {name}: columns {start}..{end} of {width}; name those there are"
            );
        }
        let mut all: Vec<Vec<f32>> =
            (0..auxiliary.len()).map(|r| value(auxiliary, r, &columns).to_vec()).collect();
        all.sort_by(|a, b| order(a, b));
        let mut values = all.clone();
        values.dedup();
        if columns.len() == 1 && values.len() > VALUES {
            let middle = |i: usize| (2 * i + 1) * all.len() / (2 * VALUES);
            values = (0..VALUES).map(|i| all[middle(i)].clone()).collect();
            values.dedup();
        }
        if values.len() < 2 {
            bail!(
                Data,
                "fields: {name} has one value in all auxiliary records, so there is nothing to find \
                 out; choose another field"
            );
        }
        let mut field = Field { name: name.to_owned(), columns, values, prior: Vec::new() };
        let mut counts = vec![0usize; field.values.len()];
        all.iter().for_each(|value| counts[field.index(value)] += 1);
        field.prior = counts.iter().map(|&c| c as f64 / all.len() as f64).collect();
        Ok(field)
    }

    /// Number of the value that is nearest to this one.
    pub fn index(&self, value: &[f32]) -> usize {
        let off = |i: &usize| -> f64 {
            let pairs = self.values[*i].iter().zip(value);
            pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
        };
        (0..self.values.len()).min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or(0)
    }

    /// Number of the value that record `row` of `data` has.
    pub fn of(&self, data: &Dataset, row: usize) -> usize {
        self.index(value(data, row, &self.columns))
    }

    /// Number of the value that occurs most often.
    pub fn most_frequent(&self) -> usize {
        let last = |best: usize, i: usize| if self.prior[i] > self.prior[best] { i } else { best };
        (1..self.prior.len()).fold(0, last)
    }
}

/// The columns that a word of a list means: `3`, `3..7`, or the name of one of the `known` fields.
///
/// # Errors
/// It is none of these; the message has the nearest name.
pub fn columns(word: &str, known: &[(String, Range<usize>)]) -> Result<Range<usize>> {
    if let Some((_, columns)) = known.iter().find(|(name, _)| name == word) {
        return Ok(columns.clone());
    }
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let found = match word.split_once("..") {
        Some((from, to)) => number(from).zip(number(to)).map(|(from, to)| from..to),
        None => number(word).and_then(|at| Some(at..at.checked_add(1)?)),
    };
    if let Some(columns) = found {
        return Ok(columns);
    }
    if let Some(near) = nearest(word, known.iter().map(|(name, _)| name.as_str())) {
        bail!(Config, "fields: no field is called '{word}'; did you mean '{near}'?");
    }
    bail!(
        Config,
        "fields: '{word}' is no field; give a column from 0, a range such as 3..7, or the name of a \
         column of a table with a header"
    )
}

/// Checks that no two fields share a column, and that something is left of a record.
///
/// # Errors
/// Names the two.
pub fn check(fields: &[Field], data: &Dataset) -> Result<()> {
    for (i, a) in fields.iter().enumerate() {
        for b in &fields[i + 1..] {
            if a.columns.start < b.columns.end && b.columns.start < a.columns.end {
                bail!(Config, "fields: {} and {} share a column; name each once", a.name, b.name);
            }
        }
    }
    let masked: usize = fields.iter().map(|f| f.columns.len()).sum();
    if fields.is_empty() || masked >= width(data)? {
        let n = fields.len();
        bail!(Config, "fields: {n} fields with {masked} columns; mask at least one and not all");
    }
    Ok(())
}

/// Columns of a table.
fn width(data: &Dataset) -> Result<usize> {
    if data.is_empty() {
        bail!(Data, "attributes: there are no auxiliary records; supply some");
    }
    Ok(data.shape.iter().product())
}

/// What record `row` has in `columns`.
fn value<'a>(data: &'a Dataset, row: usize, columns: &Range<usize>) -> &'a [f32] {
    let each: usize = data.shape.iter().product();
    &data.features[row * each + columns.start..row * each + columns.end]
}

fn order(a: &[f32], b: &[f32]) -> std::cmp::Ordering {
    let unequal = a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|o| o.is_ne());
    unequal.unwrap_or(std::cmp::Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[f32; 4]]) -> Dataset {
        Dataset {
            name: "t".into(),
            source: String::new(),
            licence: String::new(),
            features: rows.concat(),
            shape: vec![4],
            labels: vec![0; rows.len()],
            classes: 2,
            class_names: vec!["a".into(), "b".into()],
            bounds: (0.0, 1.0),
        }
    }

    #[test]
    fn values_and_their_shares_are_those_of_the_auxiliary_records() {
        let data = table(&[[0.5, 1.0, 0.0, 0.1], [0.5, 0.0, 1.0, 0.2], [0.25, 1.0, 0.0, 0.3]]);
        let number = Field::new("n", 0..1, &data).unwrap();
        assert_eq!(number.values, [[0.25], [0.5]]);
        assert_eq!((number.most_frequent(), number.of(&data, 2), number.index(&[0.3])), (1, 0, 0));
        let text = Field::new("t", 1..3, &data).unwrap();
        assert_eq!(text.values, [[0.0, 1.0], [1.0, 0.0]]);
        assert!((text.prior[1] - 2.0 / 3.0).abs() < 1e-12);
        assert!(check(&[number.clone(), text.clone()], &data).is_ok());
        assert!(check(&[number.clone(), number], &data).is_err() && check(&[], &data).is_err());
        assert!(Field::new("x", 3..5, &data).is_err());
        assert!(Field::new("x", 0..1, &table(&[[0.5; 4]])).is_err());
    }

    #[test]
    fn columns_of_many_numbers_become_classes_of_equal_count() {
        let rows: Vec<[f32; 4]> = (0..160).map(|i| [i as f32 / 160.0, 0.0, 0.0, 0.0]).collect();
        let field = Field::new("n", 0..1, &table(&rows)).unwrap();
        assert_eq!(field.values.len(), VALUES);
        assert!(field.prior.iter().all(|p| (p - 1.0 / 16.0).abs() < 0.01), "{:?}", field.prior);
    }

    #[test]
    fn words_mean_columns() {
        let known = [("age".to_owned(), 0..1), ("housing".to_owned(), 1..4)];
        assert_eq!(columns("housing", &known).unwrap(), 1..4);
        assert_eq!(columns("2", &known).unwrap(), 2..3);
        assert_eq!(columns("3..7", &known).unwrap(), 3..7);
        let text = columns("housng", &known).unwrap_err().to_string();
        assert!(text.contains("did you mean 'housing'?"), "{text}");
        assert!(columns("1..x", &[]).is_err());
    }
}
