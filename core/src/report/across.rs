//! Results across models besides transfer and robustness curves: accuracy over the steps of an attack, and
//! on other data sets.

use serde::{Deserialize, Serialize};

use super::TransferMatrix;
use crate::metrics::Norm;

/// Accuracy of one model as one attack takes more steps within the same budget: a security curve. A curve
/// that still falls at its end says that the attack had not converged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepsCurve {
    /// Name of the model.
    pub model: String,
    /// Name of the attack, without its number of steps: `pgd`.
    pub attack: String,
    /// Norm of its budget.
    pub norm: Norm,
    /// Its budget, in units of the data set's values.
    pub epsilon: f64,
    /// Points by growing number of steps.
    pub points: Vec<StepsPoint>,
}

/// A point of a [`StepsCurve`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepsPoint {
    /// Steps of the attack.
    pub steps: u64,
    /// Robust accuracy, a fraction.
    pub accuracy: f64,
}

/// All models on a data set besides their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OtherData {
    /// Name of the data set.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// Samples that clean accuracy is measured on.
    pub samples: u64,
    /// Samples attacked.
    pub attacked: u64,
    /// The attack and its budget: `PGD-40 L∞ 0.1`; empty if none was run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub attack: String,
    /// One entry a model, in the order of the comparison.
    pub models: Vec<OtherDataModel>,
    /// What the attack's examples leave of each model, whichever model they were made on; absent of one
    /// model alone, and where nothing was attacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferMatrix>,
}

/// A model on another data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OtherDataModel {
    /// Name of the model.
    pub model: String,
    /// Fraction right.
    pub clean_accuracy: f64,
    /// Fraction of the attacked samples right both before and after the attack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robust_accuracy: Option<f64>,
}
