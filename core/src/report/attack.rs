//! What one attack at one budget achieved against one model.

use serde::{Deserialize, Serialize};

use super::{AttackedClass, QueryCounts};
use crate::attack;
use crate::metrics::Norm;

/// What an attack gets to see of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Weights and gradients.
    WhiteBox,
    /// The scores of each query.
    Score,
    /// The decision of each query.
    Decision,
    /// Nothing: examples come from another model.
    Transfer,
}

impl From<attack::Access> for Access {
    /// What an attack on the model itself gets to see.
    fn from(access: attack::Access) -> Self {
        match access {
            attack::Access::Gradient => Access::WhiteBox,
            attack::Access::Score => Access::Score,
            attack::Access::Decision => Access::Decision,
        }
    }
}

impl Access {
    /// The name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Access::WhiteBox => "white box",
            Access::Score => "scores",
            Access::Decision => "decisions",
            Access::Transfer => "transfer",
        }
    }
}

/// One attack at one budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttackReport {
    /// Name: `PGD-40`.
    pub name: String,
    /// What it sees of the model.
    pub access: Access,
    /// Norm of the budget.
    pub norm: Norm,
    /// Budget, in units of the data set's values; absent for a minimum-norm attack without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Whether it aims at a given class rather than at any wrong one.
    pub targeted: bool,
    /// The target, if targeted: `to class 3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Samples attacked, those that were wrong already included.
    pub samples: u64,
    /// Fraction of `samples` right both before and after.
    pub robust_accuracy: f64,
    /// Of the samples right before, the fraction it turned; if targeted, of the samples (with each target,
    /// if several) that are neither of the target nor taken for it before, the fraction taken for it after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<f64>,
    /// Mean norm of the successful perturbations, in `norm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_perturbation: Option<f64>,
    /// Forward passes on a sample, all samples together.
    pub queries: u64,
    /// Gradients of a sample, all samples together.
    pub gradient_calls: u64,
    /// Queries sample by sample, where the attack asks a different number for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries_each: Option<QueryCounts>,
    /// What it did to each class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_class: Vec<AttackedClass>,
    /// Wall-clock time, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl AttackReport {
    /// Name, norm and budget: `PGD-40 L∞ 0.1`. Attacks of equal label are compared across models.
    pub fn label(&self) -> String {
        let mut label = format!("{} {}", self.name, self.norm.symbol());
        if let Some(epsilon) = self.epsilon {
            label.push_str(&format!(" {epsilon}"));
        }
        match &self.target {
            Some(target) => label.push_str(&format!(" {target}")),
            None if self.targeted => label.push_str(" targeted"),
            None => {}
        }
        // The usual access goes without saying.
        if self.access != Access::WhiteBox {
            label.push_str(&format!(" ({})", self.access.label()));
        }
        label
    }
}
