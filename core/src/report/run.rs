//! What is common to all models of a run: program, machine, data, threat, and results across models.

use serde::{Deserialize, Serialize};

use crate::backend::DeviceInfo;
use crate::metrics::Norm;

/// The program that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramSection {
    /// Name: `inocula`.
    pub name: String,
    /// Version: `0.1.0`.
    pub version: String,
}

/// The device that was computed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendSection {
    /// The spec that opened it: `ndarray?threads=2`.
    pub spec: String,
    /// Backend: `ndarray`.
    pub backend: String,
    /// Device within the backend: `cpu`, `cuda:0`.
    pub device: String,
    /// Version of the backend's library.
    pub version: String,
    /// Worker threads on the host.
    pub threads: usize,
}

impl BackendSection {
    /// The section of a device opened from `spec`.
    pub fn new(spec: impl Into<String>, info: &DeviceInfo) -> Self {
        BackendSection {
            spec: spec.into(),
            backend: info.backend.clone(),
            device: info.device.clone(),
            version: info.version.clone(),
            threads: info.threads,
        }
    }
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSection {
    /// Operating system: `linux`.
    pub os: String,
    /// Processor architecture: `x86_64`.
    pub arch: String,
    /// Logical processors that the process may use.
    pub cpus: usize,
}

impl HostSection {
    /// The machine that this process runs on.
    pub fn current() -> Self {
        HostSection {
            os: std::env::consts::OS.into(),
            arch: std::env::consts::ARCH.into(),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }
}

/// The data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetSection {
    /// Name: `MNIST`.
    pub name: String,
    /// Where it comes from: a citation or an address, shown as text.
    pub source: String,
    /// Licence of the data.
    pub licence: String,
    /// Training samples used.
    pub train: usize,
    /// Test samples used: those that clean accuracy is measured on.
    pub test: usize,
    /// Names of the classes, in the order of their numbers.
    pub classes: Vec<String>,
    /// Extents of one sample without the batch axis: `[1, 28, 28]`.
    pub sample_shape: Vec<usize>,
    /// Smallest and largest allowed value of an element.
    pub bounds: [f64; 2],
}

/// What the adversary may do to an input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThreatSection {
    /// Norm of the perturbation.
    pub norm: Norm,
    /// Largest norm allowed, in units of the data set's values.
    pub epsilon: f64,
    /// What that means to a person: `pixels in [0, 1]; 0.1 is 25.5 of 255 grey levels`.
    pub scale: String,
    /// What the adversary knows: `weights, architecture and defence; not the random seed`.
    pub knowledge: String,
}

/// Which number a [`TransferMatrix`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferQuantity {
    /// Robust accuracy of the target on the source's adversarial examples: low is a strong attack.
    RobustAccuracy,
    /// Success rate among the samples that the target had right: high is a strong attack.
    SuccessRate,
    /// Rate at which the target is led to the class aimed at: high is a strong attack.
    TargetedRate,
}

/// Adversarial examples made on each source model and shown to each target model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferMatrix {
    /// Attack that made the examples.
    pub attack: String,
    /// Norm of its budget.
    pub norm: Norm,
    /// Its budget, in units of the data set's values.
    pub epsilon: f64,
    /// What the values are.
    pub quantity: TransferQuantity,
    /// Models on which the examples were made: the rows.
    pub sources: Vec<String>,
    /// Models to which they were shown: the columns.
    pub targets: Vec<String>,
    /// Fractions in `[0, 1]`, `[source][target]`.
    pub values: Vec<Vec<f64>>,
}

/// Accuracy of one model as the budget of one attack grows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobustnessCurve {
    /// Name of the model.
    pub model: String,
    /// Name of the attack.
    pub attack: String,
    /// Norm of its budget.
    pub norm: Norm,
    /// Points by growing budget.
    pub points: Vec<CurvePoint>,
}

/// A point of a [`RobustnessCurve`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Budget, in units of the data set's values.
    pub epsilon: f64,
    /// Robust accuracy, a fraction.
    pub accuracy: f64,
}
