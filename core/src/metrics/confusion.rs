//! The confusion matrix and the classification scores that follow from it.
//!
//! Counts are kept, not rates: matrices of batches add up exactly, and every score is one division.
//! Wherever a score is 0/0 (precision of a class that was never predicted) it is 0, which is the
//! default of scikit-learn (`zero_division`), so that figures can be compared.

use crate::{Result, bail};

/// How often each true class was predicted as each class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// Row-major `[true][predicted]`.
    counts: Vec<u64>,
}

/// Scores of one class against all others. Fractions in `[0, 1]`; 0 where they are 0/0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassScore {
    /// Of the samples predicted as this class, the fraction that belong to it.
    pub precision: f64,
    /// Of the samples of this class, the fraction predicted as it.
    pub recall: f64,
    /// Harmonic mean of precision and recall: `2 TP / (2 TP + FP + FN)`.
    pub f1: f64,
    /// Samples of this class.
    pub support: u64,
}

/// Unweighted means over the classes that occur, be it as a label or as a prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MacroAverage {
    /// Mean precision.
    pub precision: f64,
    /// Mean recall.
    pub recall: f64,
    /// Mean of the F1 scores (not the F1 of the means).
    pub f1: f64,
}

impl Confusion {
    /// A matrix without samples.
    pub fn new(classes: usize) -> Self {
        Confusion { classes, counts: vec![0; classes * classes] }
    }

    /// Counts `predicted[i]` for the true class `labels[i]`.
    ///
    /// # Errors
    /// The lengths differ, or a class is not in `0..classes`.
    pub fn from_labels(labels: &[i64], predicted: &[i64], classes: usize) -> Result<Self> {
        let mut confusion = Confusion::new(classes);
        confusion.add_batch(labels, predicted)?;
        Ok(confusion)
    }

    /// Adds a batch of samples.
    ///
    /// # Errors
    /// The lengths differ, or a class is out of range; nothing is then counted.
    pub fn add_batch(&mut self, labels: &[i64], predicted: &[i64]) -> Result<()> {
        super::robustness::same_length("confusion", labels.len(), predicted.len())?;
        for &class in labels.iter().chain(predicted) {
            if usize::try_from(class).map_or(true, |c| c >= self.classes) {
                bail!(
                    Data,
                    "confusion: class {class} is outside 0..{}; check the number of classes",
                    self.classes
                );
            }
        }
        for (&label, &prediction) in labels.iter().zip(predicted) {
            self.counts[label as usize * self.classes + prediction as usize] += 1;
        }
        Ok(())
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Samples of class `label` that were predicted as `predicted`.
    pub fn count(&self, label: usize, predicted: usize) -> u64 {
        self.counts[label * self.classes + predicted]
    }

    /// The counts as rows: `[true][predicted]`.
    pub fn rows(&self) -> Vec<Vec<u64>> {
        self.counts.chunks(self.classes.max(1)).map(<[u64]>::to_vec).collect()
    }

    /// All samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Samples predicted right.
    pub fn correct(&self) -> u64 {
        (0..self.classes).map(|c| self.count(c, c)).sum()
    }

    /// Fraction of samples predicted right; 0 without samples.
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct(), self.total())
    }

    /// Precision, recall, F1 and support of each class.
    pub fn per_class(&self) -> Vec<ClassScore> {
        (0..self.classes)
            .map(|class| {
                let (hits, support) = (self.count(class, class), self.support(class));
                let predicted = self.predicted(class);
                ClassScore {
                    precision: ratio(hits, predicted),
                    recall: ratio(hits, support),
                    f1: ratio(2 * hits, support + predicted),
                    support,
                }
            })
            .collect()
    }

    /// Means over the classes that occur as a label or as a prediction, as scikit-learn takes them.
    /// All 0 without samples.
    pub fn macro_average(&self) -> MacroAverage {
        let scores: Vec<ClassScore> = (self.per_class().into_iter().enumerate())
            .filter(|(class, score)| score.support + self.predicted(*class) > 0)
            .map(|(_, score)| score)
            .collect();
        let mean = |of: fn(&ClassScore) -> f64| mean(scores.iter().map(of));
        MacroAverage {
            precision: mean(|s| s.precision),
            recall: mean(|s| s.recall),
            f1: mean(|s| s.f1),
        }
    }

    /// Mean recall of the classes that have samples: accuracy as if every class were equally common.
    pub fn balanced_accuracy(&self) -> f64 {
        mean(self.per_class().iter().filter(|s| s.support > 0).map(|s| s.recall))
    }

    fn support(&self, class: usize) -> u64 {
        (0..self.classes).map(|p| self.count(class, p)).sum()
    }

    fn predicted(&self, class: usize) -> u64 {
        (0..self.classes).map(|l| self.count(l, class)).sum()
    }
}

/// `part / whole`, and 0 for 0/0.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The mean, and 0 of nothing.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u64), |(sum, count), v| (sum + v, count + 1));
    if count == 0 { 0.0 } else { sum / count as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-15, "{a} != {b}");
    }

    /// Worked by hand: rows (true) 0: [2 1 0], 1: [0 1 1], 2: [0 0 3].
    #[test]
    fn scores_match_a_table_made_by_hand() {
        let labels = [0, 0, 0, 1, 1, 2, 2, 2];
        let predicted = [0, 0, 1, 1, 2, 2, 2, 2];
        let c = Confusion::from_labels(&labels, &predicted, 3).unwrap();
        assert_eq!(c.rows(), [[2, 1, 0], [0, 1, 1], [0, 0, 3]]);
        close(c.accuracy(), 6.0 / 8.0);
        let expected = [
            (1.0, 2.0 / 3.0, 4.0 / 5.0, 3),
            (1.0 / 2.0, 1.0 / 2.0, 1.0 / 2.0, 2),
            (3.0 / 4.0, 1.0, 6.0 / 7.0, 3),
        ];
        for (score, (precision, recall, f1, support)) in c.per_class().iter().zip(expected) {
            close(score.precision, precision);
            close(score.recall, recall);
            close(score.f1, f1);
            assert_eq!(score.support, support);
        }
        let average = c.macro_average();
        close(average.precision, 0.75);
        close(average.recall, 13.0 / 18.0);
        close(average.f1, (0.8 + 0.5 + 6.0 / 7.0) / 3.0);
        close(c.balanced_accuracy(), 13.0 / 18.0);
    }

    #[test]
    fn zero_over_zero_is_zero_and_absent_classes_do_not_count() {
        // Class 1 is never predicted, class 2 has no samples but is predicted, class 3 is absent.
        let c = Confusion::from_labels(&[0, 0, 1], &[0, 2, 0], 4).unwrap();
        let scores = c.per_class();
        close(scores[1].precision, 0.0);
        close(scores[2].recall, 0.0);
        close(scores[3].f1, 0.0);
        close(c.macro_average().recall, 0.5 / 3.0);
        close(c.balanced_accuracy(), 0.5 / 2.0);
        close(Confusion::new(3).accuracy(), 0.0);
        close(Confusion::new(0).macro_average().f1, 0.0);
    }

    #[test]
    fn batches_add_up_and_a_bad_batch_changes_nothing() {
        let whole = Confusion::from_labels(&[0, 1, 1, 0], &[1, 1, 0, 0], 2).unwrap();
        let mut parts = Confusion::new(2);
        parts.add_batch(&[0, 1], &[1, 1]).unwrap();
        assert!(parts.add_batch(&[0, 1], &[0, 2]).is_err());
        assert!(parts.add_batch(&[-1], &[0]).is_err());
        assert!(parts.add_batch(&[0], &[]).is_err());
        parts.add_batch(&[1, 0], &[0, 0]).unwrap();
        assert_eq!(parts, whole);
    }
}
