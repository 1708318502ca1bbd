//! What attacks on the training data got out of a model beside membership: pictures of classes,
//! records, and fields of records.
//!
//! Every count comes with its exact interval, and every attack with what can be said without the
//! model. An attack that fails shows that this attack fails: no field here says "private".

use serde::{Deserialize, Serialize};

use super::PictureGrid;
use crate::metrics::{Interval, clopper_pearson};
use crate::{Result, bail};

/// A count of successes with its Clopper-Pearson interval at 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Successes.
    pub successes: u64,
    /// Trials.
    pub trials: u64,
    /// Their quotient.
    pub rate: f64,
    /// The interval.
    pub interval: Interval,
}

impl Rate {
    /// The rate of `successes` in `trials`.
    ///
    /// # Errors
    /// There is no trial, or fewer than successes.
    pub fn new(successes: usize, trials: usize) -> Result<Self> {
        let (successes, trials) = (successes as u64, trials as u64);
        let interval = clopper_pearson(successes, trials, 0.05)?;
        Ok(Rate { successes, trials, rate: successes as f64 / trials as f64, interval })
    }

    /// `3 of 8 (37.5 %, 95 % interval 8.5 to 75.5 %)`.
    pub fn describe(&self) -> String {
        format!(
            "{} of {} ({:.1} %, 95 % interval {:.1} to {:.1} %)",
            self.successes,
            self.trials,
            100.0 * self.rate,
            100.0 * self.interval.low,
            100.0 * self.interval.high
        )
    }
}

/// Mean, smallest and largest of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

impl Spread {
    /// That of `values`.
    ///
    /// # Errors
    /// There is none, or one is not finite.
    pub fn of(values: &[f64]) -> Result<Self> {
        if values.is_empty() || values.iter().any(|v| !v.is_finite()) {
            bail!(Numeric, "spread: {} values, not all finite; nothing to sum up", values.len());
        }
        let fold = |f: fn(f64, f64) -> f64| values.iter().copied().fold(values[0], f);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Ok(Spread { mean, min: fold(f64::min), max: fold(f64::max) })
    }
}

/// Model inversion: what a model shows of its classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InversionReport {
    /// The network that judges: `small-cnn, trained apart on 10,000 samples`.
    pub evaluator: String,
    /// Its accuracy on held-out samples: no attack can be judged better than that.
    pub evaluator_accuracy: f64,
    /// Feature distance of held-out samples to the mean of their own class: what real samples have.
    pub real_feature_distance: f64,
    /// The attacks.
    pub attacks: Vec<InversionAttack>,
    /// What they found, beside the mean and the nearest training sample of the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<PictureGrid>,
}

/// One attack of model inversion over all classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InversionAttack {
    /// Name: `miface`.
    pub attack: String,
    /// Inversions that the evaluator takes for the class that was asked for.
    pub recognised: Rate,
    /// The same for samples of noise in place of inversions: what the evaluator gives for nothing.
    pub recognised_noise: Rate,
    /// Probability that the attacked model gives to the class.
    pub confidence: Spread,
    /// Distance of the evaluator's features from the mean of the class's training samples.
    pub feature_distance: Spread,
    /// Distance of the evaluator's features from the nearest training sample of the class.
    pub nearest_feature_distance: Spread,
    /// PSNR to the mean of the class's training samples, in decibels.
    pub psnr_to_mean: Spread,
    /// PSNR to the nearest training sample of the class, in decibels.
    pub psnr_to_nearest: Spread,
    /// Structural similarity to the mean of the class's training samples; absent where samples are no
    /// pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssim_to_mean: Option<Spread>,
    /// Structural similarity to the nearest training sample of the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssim_to_nearest: Option<Spread>,
    /// Side of the window of structural similarity: 11 unless the pictures are smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssim_window: Option<usize>,
    /// Gradient steps over all inversions.
    pub gradient_steps: u64,
    /// Wall-clock time, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What this means, in a sentence.
    pub finding: String,
}

/// Data reconstruction: records from gradients, updates, outputs, or all the other records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReconstructionReport {
    /// The attacks.
    pub attacks: Vec<ReconstructionAttack>,
    /// Records beside what was made of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<PictureGrid>,
}

/// Clipping and noise that gradients went through before the attacker saw them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DefenceReport {
    /// Largest norm of a record's gradient.
    pub clipping_norm: f64,
    /// Standard deviation of the noise over that norm.
    pub noise_multiplier: f64,
}

/// One attack of data reconstruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReconstructionAttack {
    /// Name: `cosine`.
    pub method: String,
    /// What was seen: `gradient of 8 records`.
    pub leak: String,
    /// Records attacked.
    pub samples: u64,
    /// Records that share what was seen.
    pub batch: u64,
    /// What the gradients went through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defence: Option<DefenceReport>,
    /// Labels that were found right; absent where they were known or not looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Rate>,
    /// Mean squared error of a value.
    pub mse: Spread,
    /// PSNR in decibels, cut at [`PSNR_MOST`].
    pub psnr: Spread,
    /// Structural similarity; absent where records are no pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssim: Option<Spread>,
    /// Side of its window: 11 unless the pictures are smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssim_window: Option<usize>,
    /// PSNR of the best guess without the leak: the mean of other records.
    pub baseline_psnr: Spread,
    /// PSNR from which a record counts as recovered, in decibels.
    pub recovered_from: f64,
    /// Records recovered.
    pub recovered: Rate,
    /// Records that the baseline recovers.
    pub baseline_recovered: Rate,
    /// Wall-clock time, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What this means, in a sentence.
    pub finding: String,
}

/// PSNR of what is equal to the last digit would be infinite, which no file holds.
pub const PSNR_MOST: f64 = 200.0;

/// Attribute inference: masked fields of records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttributesReport {
    /// The masked fields, with the number of values of each.
    pub fields: Vec<FieldReport>,
    /// Records of the same kind that the attacker has: of no member and of no one attacked.
    pub auxiliary: u64,
    /// The attacks.
    pub attacks: Vec<AttributeAttack>,
}

/// A masked field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldReport {
    /// Name, or its columns: `3..7`.
    pub name: String,
    /// Values that it may have.
    pub values: u64,
}

/// One attack of attribute inference. A record counts as right when all its masked fields are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttributeAttack {
    /// Name: `map-likelihood`.
    pub attack: String,
    /// How the values were searched: `exact` or `beam of 64`.
    pub search: String,
    /// Records of the training data.
    pub members: AttributeFigures,
    /// Records of the same kind that the model was not trained on.
    pub non_members: AttributeFigures,
    /// Accuracy on members minus that on non-members: what is private about it.
    pub member_gap: Lift,
    /// What this means, in a sentence.
    pub finding: String,
}

/// How often an attack was right on a set of records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttributeFigures {
    /// Records with all masked fields right.
    pub right: Rate,
    /// The baselines on the same records, and what the attack adds to each.
    pub baselines: Vec<BaselineLift>,
}

/// An attack against a guess that does not ask the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineLift {
    /// Name: `most frequent value`.
    pub baseline: String,
    /// How often it is right.
    pub right: Rate,
    /// Accuracy of the attack minus that of the baseline.
    pub lift: Lift,
}

/// A difference of two accuracies, with an interval that covers it with at least 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lift {
    /// The difference, in `[-1, 1]`.
    pub value: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

impl Lift {
    /// Of one guesser over another on the same records: `better` of `trials` where only the first is
    /// right, `worse` where only the second is. Both shares have exact intervals of half the error
    /// each, so their difference is covered whatever the two have to do with each other.
    ///
    /// # Errors
    /// There is no trial, or fewer than the counts.
    pub fn paired(better: usize, worse: usize, trials: usize) -> Result<Self> {
        Self::of([better, trials], [worse, trials])
    }

    /// Of one rate over another on other records.
    ///
    /// # Errors
    /// One of the two has no trial, or fewer than successes.
    pub fn between(a: &Rate, b: &Rate) -> Result<Self> {
        let counts = |r: &Rate| [r.successes as usize, r.trials as usize];
        Self::of(counts(a), counts(b))
    }

    fn of([a, n]: [usize; 2], [b, m]: [usize; 2]) -> Result<Self> {
        let first = clopper_pearson(a as u64, n as u64, 0.025)?;
        let second = clopper_pearson(b as u64, m as u64, 0.025)?;
        let value = a as f64 / n as f64 - b as f64 / m as f64;
        Ok(Lift { value, low: first.low - second.high, high: first.high - second.low })
    }

    /// `+4.0 points (95 % interval -1.2 to +9.3)`.
    pub fn describe(&self) -> String {
        let [value, low, high] = [self.value, self.low, self.high].map(|v| 100.0 * v);
        format!("{value:+.1} points (95 % interval {low:+.1} to {high:+.1})")
    }
}

impl ReconstructionReport {
    /// The attack that recovers the largest share of records.
    pub fn strongest(&self) -> Option<&ReconstructionAttack> {
        self.attacks.iter().max_by(|a, b| a.recovered.rate.total_cmp(&b.recovered.rate))
    }
}

impl InversionReport {
    /// The attack whose inversions are recognised most often.
    pub fn strongest(&self) -> Option<&InversionAttack> {
        self.attacks.iter().max_by(|a, b| a.recognised.rate.total_cmp(&b.recognised.rate))
    }
}

impl AttributeFigures {
    /// The baseline that is right most often.
    pub fn best_baseline(&self) -> Option<&BaselineLift> {
        self.baselines.iter().max_by(|a, b| a.right.rate.total_cmp(&b.right.rate))
    }
}

impl AttributesReport {
    /// The attack that is right most often on members.
    pub fn strongest(&self) -> Option<&AttributeAttack> {
        self.attacks.iter().max_by(|a, b| a.members.right.rate.total_cmp(&b.members.right.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifts_cover_what_they_should() {
        let none = Lift::paired(10, 10, 200).unwrap();
        assert!(none.value == 0.0 && none.low < 0.0 && none.high > 0.0);
        let clear = Lift::paired(80, 10, 200).unwrap();
        assert!((clear.value - 0.35).abs() < 1e-12 && clear.low > 0.2 && clear.high < 0.5);
        let (a, b) = (Rate::new(90, 100).unwrap(), Rate::new(50, 100).unwrap());
        let gap = Lift::between(&a, &b).unwrap();
        // Each rate at 97.5 %: 0.813 to 0.956, and 0.385 to 0.615.
        assert!((gap.value - 0.4).abs() < 1e-12, "{gap:?}");
        assert!((gap.low - 0.198).abs() < 3e-3 && (gap.high - 0.571).abs() < 3e-3, "{gap:?}");
        assert!(Lift::paired(3, 0, 2).is_err() && Rate::new(0, 0).is_err());
        assert_eq!(clear.describe()[..13], *"+35.0 points ");
    }

    #[test]
    fn spreads_are_of_finite_values() {
        let s = Spread::of(&[1.0, 4.0, -2.0]).unwrap();
        assert_eq!((s.mean, s.min, s.max), (1.0, -2.0, 4.0));
        assert!(Spread::of(&[]).is_err() && Spread::of(&[f64::NAN]).is_err());
    }
}
