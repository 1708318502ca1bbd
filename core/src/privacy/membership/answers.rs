//! What a model said of samples: logits in f64, kept with the labels, so that every attack reads the
//! same answers and a model is asked once.

use super::signals::Signal;
use crate::data::Dataset;
use crate::model::Classifier;
use crate::place::Placement;
use crate::{Result, Tensor, bail};

/// Logits and labels of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    classes: usize,
    logits: Vec<f64>,
    labels: Vec<usize>,
}

impl Answers {
    /// Row-major `logits` of `[N, classes]` for `labels` `[N]`.
    ///
    /// # Errors
    /// The lengths disagree, a label is no class, or a logit is NaN or infinite.
    pub fn new(logits: Vec<f64>, labels: &[i64], classes: usize) -> Result<Self> {
        let known = labels.iter().all(|&l| usize::try_from(l).is_ok_and(|l| l < classes));
        if classes == 0 || logits.len() != labels.len() * classes || !known {
            let (n, values) = (labels.len(), logits.len());
            bail!(
                Usage,
                "membership: {values} logits for {n} labels of {classes} classes; pass one logit a \
                 class and labels below their number"
            );
        }
        if let Some(at) = logits.iter().position(|z| !z.is_finite()) {
            bail!(
                Numeric,
                "membership: the model answers {} to sample {}; train it with a lower learning rate",
                logits[at],
                at / classes
            );
        }
        let labels = labels.iter().map(|&l| l as usize).collect();
        Ok(Answers { classes, logits, labels })
    }

    /// What `model` says of every sample of `data`.
    ///
    /// # Errors
    /// A sample does not fit the model, an answer is NaN, or the device failed.
    pub fn of(model: &dyn Classifier, data: &Dataset, place: &Placement) -> Result<Self> {
        let rows: Vec<usize> = (0..data.len()).collect();
        let mut logits = Vec::with_capacity(data.len() * data.classes);
        for rows in place.portions(&rows) {
            let (x, _) = place.tensors(data, rows)?;
            logits.extend(model.logits(&x)?.to_f64_vec()?);
        }
        Answers::new(logits, &data.labels, data.classes)
    }

    /// What `model` says of a batch `x` (`[N, ...]`).
    ///
    /// # Errors
    /// As [`Answers::of`].
    pub fn of_batch(model: &dyn Classifier, x: &Tensor, labels: &[i64]) -> Result<Self> {
        let logits = model.logits(x)?.detach().to_f64_vec()?;
        Answers::new(logits, labels, model.classes())
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The labels.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Logits and label of each sample.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&[f64], usize)> {
        self.logits.chunks(self.classes).zip(self.labels.iter().copied())
    }

    /// A figure of each sample.
    pub fn map(&self, of: impl Fn(&[f64], usize) -> f64) -> Vec<f64> {
        self.rows().map(|(logits, label)| of(logits, label)).collect()
    }

    /// A signal of each sample.
    pub fn signal(&self, signal: Signal) -> Vec<f64> {
        self.map(|logits, label| signal.score(logits, label))
    }

    /// The samples `rows`.
    ///
    /// # Panics
    /// A row is not below [`Answers::len`].
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let each = |&row: &usize| &self.logits[row * self.classes..(row + 1) * self.classes];
        Answers {
            classes: self.classes,
            logits: rows.iter().flat_map(each).copied().collect(),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
        }
    }

    /// These samples and then those of `other`, which has the same classes.
    pub(super) fn extend(&mut self, other: &Answers) {
        self.logits.extend_from_slice(&other.logits);
        self.labels.extend_from_slice(&other.labels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_none_are_refused() {
        assert!(Answers::new(vec![0.0; 4], &[0, 1], 2).is_ok());
        assert!(Answers::new(vec![0.0; 3], &[0, 1], 2).is_err());
        assert!(Answers::new(vec![0.0; 4], &[0, 2], 2).is_err());
        let text = Answers::new(vec![0.0, 0.0, f64::NAN, 0.0], &[0, 1], 2).unwrap_err();
        assert!(text.to_string().contains("NaN to sample 1"), "{text}");
    }

    #[test]
    fn a_selection_keeps_rows_together() {
        let answers = Answers::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[0, 1, 1], 2).unwrap();
        let part = answers.select(&[2, 0]);
        let rows: Vec<_> = part.rows().collect();
        assert_eq!(rows, [(&[5.0, 6.0][..], 1), (&[1.0, 2.0][..], 0)]);
    }
}
