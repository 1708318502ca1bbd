//! Certificates held against attacks: certified <= truth <= attacked.

use serde::{Deserialize, Serialize};

use crate::metrics::{Interval, Norm};

/// What a method certifies of a model, and what attacks leave of it within the same radius. The robust
/// accuracy that nobody knows lies between the two. A sample that is certified and fooled is an error, for
/// which no report is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertificateReport {
    /// The method: `crown`.
    pub method: String,
    /// Norm of the ball.
    pub norm: Norm,
    /// Its radius, in units of the data set's values.
    pub epsilon: f64,
    /// Samples, those that were wrong already included.
    pub samples: u64,
    /// Fraction right wherever in the ball: a lower bound.
    pub certified_accuracy: f64,
    /// Clopper-Pearson interval of it at 95 % confidence, over the choice of the samples.
    pub interval: Interval,
    /// Fraction right that no attack of the run fooled within the ball: an upper bound.
    pub attacked_accuracy: f64,
    /// Wall-clock time of the certificates, in seconds.
    pub seconds: f64,
}

impl CertificateReport {
    /// Method, norm and radius: `crown L∞ 0.1`. Equal labels are compared across models.
    pub fn label(&self) -> String {
        format!("{} {} {}", self.method, self.norm.symbol(), self.epsilon)
    }
}
