//! The classes of a table: the different labels in ascending order.

use std::collections::BTreeMap;

use super::at;
use crate::{Result, bail};

/// Classes that a table may have. More of them are a quantity to predict, not a class.
const MAX_CLASSES: usize = 10_000;

/// Labels as they are read, numbered in the order of their first appearance.
#[derive(Default)]
pub(super) struct Labels {
    numbers: BTreeMap<String, usize>,
    each: Vec<usize>,
}

impl Labels {
    /// Adds the label of the next sample.
    pub(super) fn push(&mut self, line: u64, column: usize, text: &str) -> Result<()> {
        if text.parse::<f64>().is_ok_and(|value| !value.is_finite()) {
            return Err(at(
                line,
                column,
                format!("'{text}' is no label; mend it or remove the line"),
            ));
        }
        let next = self.numbers.len();
        let number = match self.numbers.get(text) {
            Some(&number) => number,
            None if next == MAX_CLASSES => {
                let what = format!(
                    "more than {MAX_CLASSES} different labels; set label to a column of classes"
                );
                return Err(at(line, column, what));
            }
            None => {
                self.numbers.insert(text.to_owned(), next);
                next
            }
        };
        self.each.push(number);
        Ok(())
    }

    /// The class of each sample, and the names of the classes: in the order of the numbers if all
    /// of them are numbers, else in that of their letters.
    pub(super) fn finish(self) -> Result<(Vec<i64>, Vec<String>)> {
        let mut names: Vec<(String, usize)> = self.numbers.into_iter().collect();
        if names.len() < 2 {
            bail!(
                Data,
                "{} classes among {} samples; supply samples of at least two",
                names.len(),
                self.each.len()
            );
        }
        let fraction = names.iter().find(|(n, _)| n.parse::<f64>().is_ok_and(|v| v.fract() != 0.0));
        if let Some((name, _)) = fraction {
            bail!(
                Data,
                "the label '{name}' is a fraction, so this is a quantity and not a class; set label \
                 to a column of whole numbers or text"
            );
        }
        let values: Option<Vec<f64>> = names.iter().map(|(name, _)| name.parse().ok()).collect();
        if values.is_some() {
            let value = |name: &str| name.parse::<f64>().unwrap_or(f64::NAN);
            names.sort_by(|(a, _), (b, _)| value(a).total_cmp(&value(b)));
        }
        let mut class = vec![0; names.len()];
        for (position, (_, number)) in names.iter().enumerate() {
            class[*number] = position as i64;
        }
        let labels = self.each.iter().map(|&number| class[number]).collect();
        Ok((labels, names.into_iter().map(|(name, _)| name).collect()))
    }
}
