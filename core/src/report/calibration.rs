//! Calibration of a model, as data.

use serde::{Deserialize, Serialize};

use crate::metrics::Calibration;

/// Whether a model is right as often as it says, on unperturbed test samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationReport {
    /// Expected calibration error (Guo et al. 2017) over bins of equal width: 0 is perfect.
    pub expected_error: f64,
    /// Brier score: mean squared distance of the probabilities to the label, in `[0, 2]`; 0 is perfect.
    pub brier: f64,
    /// Mean probability of the predicted class.
    pub mean_confidence: f64,
    /// Bins of equal width, empty ones included.
    pub bins: u64,
    /// The bins that have samples, the lowest confidence first.
    pub diagram: Vec<ReliabilityPoint>,
}

/// Predictions of similar confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityPoint {
    /// Their mean confidence.
    pub confidence: f64,
    /// The fraction of them that is right.
    pub accuracy: f64,
    /// Predictions.
    pub samples: u64,
}

impl From<&Calibration> for CalibrationReport {
    fn from(found: &Calibration) -> Self {
        let filled = found.bins.iter().filter(|bin| bin.samples > 0);
        CalibrationReport {
            expected_error: found.error,
            brier: found.brier,
            mean_confidence: found.confidence,
            bins: found.bins.len() as u64,
            diagram: filled
                .map(|bin| ReliabilityPoint {
                    confidence: bin.confidence,
                    accuracy: bin.accuracy,
                    samples: bin.samples,
                })
                .collect(),
        }
    }
}
