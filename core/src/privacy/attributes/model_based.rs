//! Attacks that ask the model about completed records: the value under which the label that is known
//! is best explained (Fredrikson et al. 2014, section 4).
//!
//! Both score a completion v of the masked fields by `log P(y | x_v) + sum log P(v)`, with marginal
//! shares for the second term. The paper's estimator takes for the first the confusion matrix of the
//! model, `P(y | f(x_v))`, and so needs predictions only; the other takes the model's own probability,
//! which a member of the training data was fitted to.

use super::{Field, Question, search};
use crate::Result;
use crate::data::Dataset;
use crate::metrics::Confusion;
use crate::model::{Classifier, Network, confusion};
use crate::place::Placement;

/// How the label's probability is taken from the model.
pub(super) enum Likelihood {
    /// From the predicted class, by the model's confusion on auxiliary records.
    Confusion(Vec<Vec<f64>>),
    /// The model's probability of the label.
    Probability,
}

impl Likelihood {
    /// `log P(y | predicted)` from counts, each raised by one: a class that was never confused with
    /// another in few records may be in more of them.
    pub(super) fn confusion(network: &Network, auxiliary: &Dataset) -> Result<Self> {
        let place = Placement { dtype: network.dtype(), ..Placement::new(network.device()) };
        let counts = confusion(network, auxiliary, &place)?;
        Ok(Likelihood::Confusion(log_shares(&counts)))
    }

    /// `log P(y | x)` of logits.
    fn of(&self, logits: &[f64], label: usize) -> f64 {
        match self {
            Likelihood::Probability => log_softmax(logits, label),
            Likelihood::Confusion(shares) => {
                let first = |best: usize, i: usize| if logits[i] > logits[best] { i } else { best };
                shares[(1..logits.len()).fold(0, first)][label]
            }
        }
    }
}

/// `[predicted][true]`.
fn log_shares(confusion: &Confusion) -> Vec<Vec<f64>> {
    let classes = confusion.classes();
    let of = |predicted: usize| {
        let count = |class: usize| confusion.count(class, predicted) as f64 + 1.0;
        let total: f64 = (0..classes).map(count).sum();
        (0..classes).map(|class| (count(class) / total).ln()).collect()
    };
    (0..classes).map(of).collect()
}

/// `log softmax(z)_y` in f64.
pub(super) fn log_softmax(logits: &[f64], label: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|z| (z - largest).exp()).sum();
    logits[label] - largest - total.ln()
}

/// The best completion of each record, as the number of each field's value.
pub(super) fn run(
    question: &Question<'_>,
    likelihood: &Likelihood,
    data: &Dataset,
    rows: &[usize],
    heard: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Vec<usize>>> {
    let mut found = Vec::with_capacity(rows.len());
    for (done, &row) in rows.iter().enumerate() {
        heard(done)?;
        let label = data.labels[row] as usize;
        let mut score = |all: &[Vec<usize>]| {
            let logits = completed_logits(question, data, row, all)?;
            let each = logits.iter().zip(all);
            Ok(each.map(|(z, v)| likelihood.of(z, label) + prior(question.fields, v)).collect())
        };
        found.push(search::best::<crate::Error>(question.fields, &mut score)?);
    }
    Ok(found)
}

/// `sum log P(v_j)` of marginal shares; a value that does not occur is impossible.
fn prior(fields: &[Field], values: &[usize]) -> f64 {
    fields.iter().zip(values).map(|(f, &v)| f.prior[v].ln()).sum()
}

/// Logits of a record with each completion, row by row.
fn completed_logits(
    question: &Question<'_>,
    data: &Dataset,
    row: usize,
    all: &[Vec<usize>],
) -> Result<Vec<Vec<f64>>> {
    let each: usize = data.shape.iter().product();
    let record = &data.features[row * each..(row + 1) * each];
    let mut completed = Dataset {
        features: Vec::with_capacity(all.len() * each),
        labels: vec![data.labels[row]; all.len()],
        ..question.empty.clone()
    };
    for values in all {
        let at = completed.features.len();
        completed.features.extend_from_slice(record);
        for (field, &value) in question.fields.iter().zip(values) {
            let place = at + field.columns.start..at + field.columns.end;
            completed.features[place].copy_from_slice(&field.values[value]);
        }
    }
    logits(question.network, &completed)
}

/// Logits of all records of a set.
pub(super) fn logits(network: &Network, data: &Dataset) -> Result<Vec<Vec<f64>>> {
    let place = Placement { dtype: network.dtype(), ..Placement::new(network.device()) };
    let all: Vec<usize> = (0..data.len()).collect();
    let mut found = Vec::with_capacity(data.len());
    for part in place.portions(&all) {
        let z = network.logits(&place.tensors(data, part)?.0)?.to_f64_vec()?;
        found.extend(z.chunks(network.classes()).map(<[f64]>::to_vec));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihoods_are_those_of_a_calculation_by_hand() {
        assert!((log_softmax(&[0.0, 0.0], 1) + 2f64.ln()).abs() < 1e-15);
        assert!((log_softmax(&[900.0, 0.0], 1) + 900.0).abs() < 1e-9);
        // Predicted 0: three of class 0, one of class 1; each count plus one.
        let confusion = Confusion::from_labels(&[0, 0, 0, 1, 1], &[0, 0, 0, 0, 1], 2).unwrap();
        let shares = Likelihood::Confusion(log_shares(&confusion));
        assert!((shares.of(&[2.0, 1.0], 1) - (2.0f64 / 6.0).ln()).abs() < 1e-12);
        assert!((shares.of(&[1.0, 2.0], 1) - (2.0f64 / 3.0).ln()).abs() < 1e-12);
    }
}
