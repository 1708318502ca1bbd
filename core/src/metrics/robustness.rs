//! How well a classifier holds against an attack, and how far the attack had to go.
//!
//! A sample is robust when the model is right on it before *and* after the attack: the unperturbed
//! input lies in every ball, so a sample that was wrong to begin with can never be robust. With this
//! definition robust accuracy = clean accuracy x (1 - success rate), exactly.

use serde::{Deserialize, Serialize};

use super::confusion::ratio;
use crate::{Result, bail};

/// Fraction of all samples on which the model is right both before and after the attack.
///
/// `labels`, `clean` and `adversarial` hold, per sample, the true class and the predicted classes on
/// the input and on its perturbed version. 0 without samples.
///
/// # Errors
/// The lengths differ.
pub fn robust_accuracy(labels: &[i64], clean: &[i64], adversarial: &[i64]) -> Result<f64> {
    let (_, robust) = count_robust(labels, clean, adversarial)?;
    Ok(ratio(robust, labels.len() as u64))
}

/// Of the samples that the model had right, the fraction that the attack made wrong. `None` when it
/// had none right.
///
/// # Errors
/// The lengths differ.
pub fn attack_success_rate(
    labels: &[i64],
    clean: &[i64],
    adversarial: &[i64],
) -> Result<Option<f64>> {
    let (correct, robust) = count_robust(labels, clean, adversarial)?;
    Ok((correct > 0).then(|| ratio(correct - robust, correct)))
}

/// Of the samples whose input was not already taken for its target, the fraction that the attack
/// turned into the target. `None` when there are none.
///
/// # Errors
/// The lengths differ.
pub fn targeted_success_rate(
    targets: &[i64],
    clean: &[i64],
    adversarial: &[i64],
) -> Result<Option<f64>> {
    same_length("targeted success rate", targets.len(), clean.len())?;
    same_length("targeted success rate", targets.len(), adversarial.len())?;
    let (mut open, mut reached) = (0, 0);
    for i in (0..targets.len()).filter(|&i| clean[i] != targets[i]) {
        open += 1;
        reached += u64::from(adversarial[i] == targets[i]);
    }
    Ok((open > 0).then(|| ratio(reached, open)))
}

/// Samples right before the attack, and those right before and after it.
fn count_robust(labels: &[i64], clean: &[i64], adversarial: &[i64]) -> Result<(u64, u64)> {
    same_length("robust accuracy", labels.len(), clean.len())?;
    same_length("robust accuracy", labels.len(), adversarial.len())?;
    let mut counts = (0, 0);
    for i in (0..labels.len()).filter(|&i| clean[i] == labels[i]) {
        counts.0 += 1;
        counts.1 += u64::from(adversarial[i] == labels[i]);
    }
    Ok(counts)
}

pub(super) fn same_length(what: &str, a: usize, b: usize) -> Result<()> {
    if a != b {
        bail!(Usage, "{what}: {a} and {b} values; pass one value per sample in every list");
    }
    Ok(())
}

/// A norm in which perturbations are measured, over the elements of a sample (each channel of each
/// pixel is an element).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// The largest absolute change of an element.
    Linf,
    /// The Euclidean length of the change.
    L2,
    /// The sum of absolute changes.
    L1,
    /// The number of elements that changed at all.
    L0,
}

impl Norm {
    /// All norms.
    pub const ALL: [Norm; 4] = [Norm::Linf, Norm::L2, Norm::L1, Norm::L0];

    /// The name in configurations: `linf`.
    pub const fn name(self) -> &'static str {
        match self {
            Norm::Linf => "linf",
            Norm::L2 => "l2",
            Norm::L1 => "l1",
            Norm::L0 => "l0",
        }
    }

    /// The name for people: `L∞`.
    pub const fn symbol(self) -> &'static str {
        match self {
            Norm::Linf => "L∞",
            Norm::L2 => "L2",
            Norm::L1 => "L1",
            Norm::L0 => "L0",
        }
    }

    /// The norm of `b - a`, accumulated in `f64` whatever the element type.
    ///
    /// # Errors
    /// The lengths differ.
    pub fn distance<T: Copy + Into<f64>>(self, a: &[T], b: &[T]) -> Result<f64> {
        same_length("perturbation", a.len(), b.len())?;
        Ok(self.of(a.iter().zip(b).map(|(&a, &b)| b.into() - a.into())))
    }

    /// The norm of a list of changes.
    pub fn of(self, changes: impl IntoIterator<Item = f64>) -> f64 {
        let sizes = changes.into_iter().map(f64::abs);
        match self {
            Norm::Linf => sizes.fold(0.0, f64::max),
            Norm::L2 => sizes.map(|d| d * d).sum::<f64>().sqrt(),
            Norm::L1 => sizes.sum(),
            Norm::L0 => sizes.filter(|&d| d != 0.0).count() as f64,
        }
    }
}

impl std::str::FromStr for Norm {
    type Err = crate::Error;
    fn from_str(text: &str) -> Result<Self> {
        match Norm::ALL.into_iter().find(|n| n.name().eq_ignore_ascii_case(text)) {
            Some(norm) => Ok(norm),
            None => bail!(Config, "norm: {text:?} is not one of linf, l2, l1, l0"),
        }
    }
}

impl std::fmt::Display for Norm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// How far the successful perturbations of an attack went, in one norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerturbationSummary {
    /// Mean distance of the successes.
    pub mean: f64,
    /// Median distance of the successes (mean of the middle two of an even number).
    pub median: f64,
    /// Largest distance of the successes.
    pub max: f64,
    /// Number of successes.
    pub count: usize,
}

/// Summarises the distances of the samples on which the attack succeeded. `None` when it never did:
/// failures have no distance, and counting them as 0 or as the budget would make a weak attack look
/// good.
///
/// # Errors
/// The lengths differ, or the distance of a success is not a finite number.
pub fn summarize_perturbations(
    distances: &[f64],
    success: &[bool],
) -> Result<Option<PerturbationSummary>> {
    same_length("perturbation", distances.len(), success.len())?;
    let mut kept: Vec<f64> =
        distances.iter().zip(success).filter(|(_, s)| **s).map(|(d, _)| *d).collect();
    if let Some(bad) = kept.iter().find(|d| !d.is_finite()) {
        bail!(Numeric, "perturbation: distance {bad} of a success; check the attack for overflow");
    }
    kept.sort_by(f64::total_cmp);
    let Some(&max) = kept.last() else { return Ok(None) };
    let (count, half) = (kept.len(), kept.len() / 2);
    let median =
        if count % 2 == 1 { kept[half] } else { f64::midpoint(kept[half - 1], kept[half]) };
    let mean = kept.iter().sum::<f64>() / count as f64;
    Ok(Some(PerturbationSummary { mean, median, max, count }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn robust_accuracy_is_clean_accuracy_times_the_rest() {
        let labels = [0, 1, 2, 0, 1];
        let clean = [0, 1, 2, 0, 2]; // 4 of 5 right
        let attacked = [0, 0, 2, 1, 1]; // 2 of those 4 held; the last turned right by luck
        let robust = robust_accuracy(&labels, &clean, &attacked).unwrap();
        let success = attack_success_rate(&labels, &clean, &attacked).unwrap().unwrap();
        assert_eq!((robust, success), (0.4, 0.5));
        assert!((robust - 0.8 * (1.0 - success)).abs() < 1e-15);
        assert_eq!(attack_success_rate(&[0], &[1], &[1]).unwrap(), None);
        assert_eq!(robust_accuracy(&[], &[], &[]).unwrap(), 0.0);
        assert!(robust_accuracy(&labels, &clean[1..], &attacked).is_err());
    }

    #[test]
    fn a_target_that_was_predicted_already_is_no_success() {
        let rate = targeted_success_rate(&[1, 1, 2], &[0, 1, 0], &[1, 1, 0]).unwrap();
        assert_eq!(rate, Some(0.5));
        assert_eq!(targeted_success_rate(&[1], &[1], &[1]).unwrap(), None);
    }

    #[test]
    fn norms_are_exact_on_whole_numbers_and_accumulate_in_f64() {
        let (a, b) = ([0.0f32, 1.0, 2.0, 5.0], [3.0f32, 1.0, -2.0, 5.0]);
        let norms: Vec<f64> = Norm::ALL.iter().map(|n| n.distance(&a, &b).unwrap()).collect();
        assert_eq!(norms, [4.0, 5.0, 7.0, 2.0]);
        // In f32 the sum would stop growing at 2^24.
        let ones = vec![1.0f32; (1 << 24) + 2];
        let zeros = vec![0.0f32; ones.len()];
        assert_eq!(Norm::L1.distance(&zeros, &ones).unwrap(), ones.len() as f64);
    }

    #[test]
    fn only_successes_count_towards_the_perturbation() {
        let s = summarize_perturbations(&[1.0, 9.0, 3.0, 8.0], &[true, false, true, true]);
        let expected = PerturbationSummary { mean: 4.0, median: 3.0, max: 8.0, count: 3 };
        assert_eq!(s.unwrap(), Some(expected));
        let even = summarize_perturbations(&[4.0, 1.0], &[true, true]).unwrap().unwrap();
        assert_eq!(even.median, 2.5);
        assert_eq!(summarize_perturbations(&[1.0], &[false]).unwrap(), None);
        assert!(summarize_perturbations(&[f64::NAN], &[true]).is_err());
        assert!(summarize_perturbations(&[f64::NAN], &[false]).unwrap().is_none());
    }
}
