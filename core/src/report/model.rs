//! What is reported of one model: its training, its utility, its robustness and its privacy.

use serde::{Deserialize, Serialize};

use super::membership::MembershipReport;
use super::{
    AttackReport, AttributesReport, CalibrationReport, CertificateReport, InversionReport,
    ReconstructionReport, SizeDistribution,
};
use crate::doubt::Finding;
use crate::metrics::{Confusion, Interval, Norm, clopper_pearson};
use crate::{Result, bail};

/// One model of the comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// Name, unique within the report.
    pub name: String,
    /// Whether the others are compared with this one: the model trained without any defence.
    pub baseline: bool,
    /// Number of trainable values.
    pub parameters: u64,
    /// How it was trained; absent for a model that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingReport>,
    /// Utility: scores on unperturbed test samples.
    pub clean: ClassificationReport,
    /// Utility: whether it is right as often as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationReport>,
    /// Robustness: one entry an attack and budget.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attacks: Vec<AttackReport>,
    /// Pointwise worst case over `attacks`: the fraction of samples that held against every one of
    /// them. Absent when it was not counted sample by sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_case_accuracy: Option<f64>,
    /// Why the robustness above may be too high, as the checker found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// How far a minimum-norm attack has to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_perturbation_to_fool: Option<PerturbationToFool>,
    /// How far each sample has to be moved: one entry an attack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distributions: Vec<SizeDistribution>,
    /// What no attack can do, next to what attacks did: one entry a method and radius.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateReport>,
    /// Privacy: one entry a membership attack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub membership: Vec<MembershipReport>,
    /// The differential-privacy guarantee, where training gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy_budget: Option<PrivacyBudget>,
    /// What an audit of the noisy steps showed of epsilon, from below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audited_epsilon: Option<AuditedEpsilon>,
    /// Privacy: what the model shows of its classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inversion: Option<InversionReport>,
    /// Privacy: records from gradients, updates and outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconstruction: Option<ReconstructionReport>,
    /// Privacy: masked fields of records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<AttributesReport>,
}

impl ModelReport {
    /// The lowest robustness known: the pointwise worst case, else the strongest single attack.
    pub fn robust_accuracy(&self) -> Option<f64> {
        let strongest = self.attacks.iter().map(|a| a.robust_accuracy);
        strongest.chain(self.worst_case_accuracy).reduce(f64::min)
    }

    /// The largest true-positive rate of a membership attack at a false-positive rate, if one was shown.
    pub fn membership_tpr_at(&self, fpr: f64) -> Option<f64> {
        let rates = self.membership.iter().flat_map(|a| &a.tpr_at_fpr);
        rates.filter(|r| r.fpr == fpr).map(|r| r.tpr).reduce(f64::max)
    }

    /// The membership attack that tells most: the one whose advantage exceeds that of chance by most,
    /// so that an attack on few samples does not win by its noise.
    pub fn strongest_membership(&self) -> Option<&MembershipReport> {
        let excess = |a: &MembershipReport| a.advantage - a.advantage_by_chance.unwrap_or(0.0);
        self.membership.iter().max_by(|a, b| excess(a).total_cmp(&excess(b)))
    }
}

/// How a model was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingReport {
    /// The rule in a line: `PGD-7 adversarial training, ratio 0.5, SGD 0.1`.
    pub description: String,
    /// Wall-clock time, in seconds.
    pub seconds: f64,
    /// What was measured after each epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<EpochRecord>,
    /// What the history and the guarantee warn of, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The guarantee of differential privacy, where training gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacyBudget>,
}

/// What was measured after an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Mean training loss per sample; absent from private training, whose noise does not cover it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Accuracy on held-out unperturbed samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_accuracy: Option<f64>,
    /// Accuracy on held-out attacked samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robust_accuracy: Option<f64>,
    /// Accuracy on the same samples attacked by one gradient step of the same size, where the attack
    /// takes several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_step_accuracy: Option<f64>,
    /// Epsilon spent so far by private training: an upper bound of the quick kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
}

/// Scores on unperturbed samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// Samples measured.
    pub samples: u64,
    /// Fraction predicted right.
    pub accuracy: f64,
    /// Clopper-Pearson interval of `accuracy` at 95 % confidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_interval: Option<Interval>,
    /// Mean recall over the classes that have samples.
    pub balanced_accuracy: f64,
    /// Macro average of precision.
    pub precision: f64,
    /// Macro average of recall.
    pub recall: f64,
    /// Macro average of F1.
    pub f1: f64,
    /// Scores of each class.
    pub per_class: Vec<ClassReport>,
    /// Counts, `[true][predicted]`.
    pub confusion: Vec<Vec<u64>>,
}

impl ClassificationReport {
    /// The scores of `confusion`, with the names of its classes.
    ///
    /// # Errors
    /// There are not as many names as classes.
    pub fn new(confusion: &Confusion, classes: &[String]) -> Result<Self> {
        if classes.len() != confusion.classes() {
            bail!(
                Usage,
                "report: {} class names for {} classes; pass one name per class",
                classes.len(),
                confusion.classes()
            );
        }
        let average = confusion.macro_average();
        let per_class = (classes.iter().zip(confusion.per_class()))
            .map(|(name, score)| ClassReport {
                name: name.clone(),
                precision: score.precision,
                recall: score.recall,
                f1: score.f1,
                support: score.support,
            })
            .collect();
        let samples = confusion.total();
        let accuracy_interval = match samples {
            0 => None,
            _ => Some(clopper_pearson(confusion.correct(), samples, 0.05)?),
        };
        Ok(ClassificationReport {
            samples,
            accuracy: confusion.accuracy(),
            accuracy_interval,
            balanced_accuracy: confusion.balanced_accuracy(),
            precision: average.precision,
            recall: average.recall,
            f1: average.f1,
            per_class,
            confusion: confusion.rows(),
        })
    }
}

/// Scores of one class against all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassReport {
    /// Name of the class.
    pub name: String,
    /// Of the samples predicted as the class, the fraction that belong to it.
    pub precision: f64,
    /// Of the samples of the class, the fraction predicted as it.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Samples of the class.
    pub support: u64,
}

/// How far a minimum-norm attack has to move a sample that is predicted right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PerturbationToFool {
    /// The attack: `DeepFool`.
    pub attack: String,
    /// The norm.
    pub norm: Norm,
    /// Mean distance of the samples fooled, in units of the data set's values.
    pub mean: f64,
    /// Median distance of the samples fooled.
    pub median: f64,
    /// Of the samples right before, the fraction that the attack fooled at all: the means of two
    /// models compare only where this is close to 1 for both.
    pub fooled_fraction: f64,
}

impl PerturbationToFool {
    /// What was measured: `DeepFool L2`. Distances of equal label are compared across models.
    pub fn label(&self) -> String {
        format!("{} {}", self.attack, self.norm.symbol())
    }
}

/// A differential-privacy guarantee of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrivacyBudget {
    /// Epsilon, natural-logarithm units.
    pub epsilon: f64,
    /// Delta.
    pub delta: f64,
    /// How epsilon was accounted: `rdp`, `pld`.
    pub accountant: String,
    /// The theorem by which it was converted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub conversion: String,
    /// Epsilon of the same steps by Renyi divergences, to compare with others' figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdp_epsilon: Option<f64>,
    /// Which data sets cannot be told apart.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub neighbours: String,
    /// How batches were drawn.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sampling: String,
    /// How the accountant takes them to have been drawn.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub accounted_as: String,
    /// Standard deviation of the noise, in units of the clipping norm; of the first steps where it
    /// changed.
    pub noise_multiplier: f64,
    /// How a sample's gradient was bounded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub clipping: String,
    /// Clipping norm of a sample's gradient (L2); at the end where it moved.
    pub clipping_norm: f64,
    /// Probability that a sample is in a batch.
    pub sampling_rate: f64,
    /// Noisy steps taken.
    pub steps: u64,
    /// Stretches of steps with equal noise, where the noise changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<NoisePhase>,
    /// Why the guarantee may mean less than it seems to, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl PrivacyBudget {
    /// The guarantee in a line: `epsilon 0.95 at delta 0.00001 (pld, one sample added or removed,
    /// poisson sampling)`.
    pub fn line(&self) -> String {
        let grounds = [&self.accountant, &self.neighbours];
        let mut grounds: Vec<String> =
            grounds.into_iter().filter(|part| !part.is_empty()).cloned().collect();
        if !self.sampling.is_empty() {
            grounds.push(format!("{} sampling", self.sampling));
        }
        let delta = match self.delta >= 1e-6 {
            true => self.delta.to_string(),
            false => format!("{:e}", self.delta),
        };
        format!("epsilon {} at delta {delta} ({})", rounded_up(self.epsilon), grounds.join(", "))
    }
}

/// A claim to four decimals, none of which understates it.
fn rounded_up(value: f64) -> String {
    let nearest = format!("{value:.4}");
    match nearest.parse::<f64>() {
        Ok(rounded) if rounded < value => format!("{:.4}", rounded + 1e-4),
        _ => nearest,
    }
}

/// A lower bound of epsilon, from an attack on the program's own noisy steps with the noise, sampling
/// and number of steps of a training (`dp::audit`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditedEpsilon {
    /// The largest epsilon that is refuted; 0 if none is.
    pub epsilon: f64,
    /// The delta at which it is.
    pub delta: f64,
    /// What was claimed for the same steps at that delta.
    pub claimed: f64,
    /// Probability with which the audit refutes no claim that holds.
    pub confidence: f64,
    /// Canaries, each in the data or not by a coin.
    pub canaries: usize,
    /// Canaries that were guessed.
    pub guesses: usize,
    /// Right guesses.
    pub correct: usize,
    /// The theorem of the bound.
    pub method: String,
    /// Whether the claim is refuted, by the bound or by its trade-off curve.
    pub exceeded: bool,
}

/// A stretch of noisy steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NoisePhase {
    /// Standard deviation of the noise, in units of the clipping norm.
    pub noise_multiplier: f64,
    /// Steps.
    pub steps: u64,
}

#[cfg(test)]
mod tests {
    use super::rounded_up;

    #[test]
    fn claims_are_rounded_up() {
        for (value, text) in [
            (9.792_117, "9.7922"),
            (9.7921, "9.7921"),
            (1e-12, "0.0001"),
            (0.999_91, "1.0000"),
            (3.0, "3.0000"),
            (0.0, "0.0000"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(rounded_up(value), text);
        }
    }
}
