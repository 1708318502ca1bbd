//! The one report of a run: robustness, privacy and utility of a set of models, side by side.
//!
//! A [`Report`] is plain data. It is written as `report.json` for programs and as `report.html`, one
//! file that needs neither a network nor a script, for people; both show the same numbers, because
//! the page is made from the value that the JSON holds.
//!
//! Conventions of all fields: rates and accuracies are fractions in `[0, 1]`; perturbations are in
//! the units of the data set's values; durations are seconds; samples, queries and gradient calls
//! are counts. What was not measured is absent (`None` or an empty list), never NaN or 0.

mod across;
mod attack;
mod attacked;
mod base64;
mod calibration;
mod certificate;
mod chart;
mod compare;
mod distribution;
mod doubted;
mod format;
pub mod html;
mod leakage;
mod membership;
mod model;
mod picture;
mod png;
mod run;
mod sheet;
mod svg;
mod table;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, ErrorKind, Result, bail};

pub use across::{OtherData, OtherDataModel, StepsCurve, StepsPoint};
pub use attack::{Access, AttackReport};
pub use attacked::{AttackedClass, FooledQueries, QueryCounts, WrongClass};
pub use calibration::{CalibrationReport, ReliabilityPoint};
pub use certificate::CertificateReport;
pub use distribution::{Quantile, SizeDistribution};
pub use leakage::{
    AttributeAttack, AttributeFigures, AttributesReport, BaselineLift, DefenceReport, FieldReport,
    InversionAttack, InversionReport, Lift, PSNR_MOST, Rate, ReconstructionAttack,
    ReconstructionReport, Spread,
};
pub use membership::{LearntThreshold, MembershipReport, TprAtFpr};
pub use model::{
    AuditedEpsilon, ClassReport, ClassificationReport, EpochRecord, ModelReport, NoisePhase,
    PerturbationToFool, PrivacyBudget, TrainingReport,
};
pub use picture::{Picture, PictureGrid, PictureRow, Verdict};
pub use run::{
    BackendSection, CurvePoint, DatasetSection, HostSection, ProgramSection, RobustnessCurve,
    ThreatSection, TransferMatrix, TransferQuantity,
};
pub use table::{Align, Cell, Column, Delta, Table};

/// Version of the layout of `report.json`. It grows when a field changes its meaning or goes away;
/// added fields leave it as it is.
pub const SCHEMA_VERSION: u32 = 1;

/// All that a run measured, and all that is needed to run it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Headline: `MNIST: adversarial training against PGD`.
    pub title: String,
    /// When the run ended: RFC 3339, UTC.
    pub created: String,
    /// The program that ran.
    pub program: ProgramSection,
    /// The device that it computed on.
    pub backend: BackendSection,
    /// The machine that it ran on.
    pub host: HostSection,
    /// The seed from which all randomness of the run derives.
    pub seed: u64,
    /// The exact configuration, as it would be passed to repeat the run.
    pub config: Value,
    /// The data that models were trained and measured on.
    pub dataset: DatasetSection,
    /// What the adversary is allowed to do to an input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threat: Option<ThreatSection>,
    /// The models, in the order of the comparison.
    pub models: Vec<ModelReport>,
    /// Adversarial examples made on one model and shown to another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfer: Vec<TransferMatrix>,
    /// Accuracy as the budget of an attack grows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<RobustnessCurve>,
    /// Accuracy as an attack takes more steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepsCurve>,
    /// The models on data sets besides their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<OtherData>,
    /// Inputs, perturbations and reconstructions to look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<PictureGrid>,
    /// What a reader must know before believing a number: few samples, masked gradients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The findings, one line each; [`Report::draft_summary`] proposes three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub summary: Vec<String>,
}

impl Report {
    /// The model that the others are compared with: the first one marked as baseline.
    pub fn baseline(&self) -> Option<&ModelReport> {
        self.models.iter().find(|m| m.baseline)
    }

    /// `report.json`: pretty-printed, with a newline at the end.
    ///
    /// # Errors
    /// A number is NaN or infinite; the message has the place of the field.
    pub fn to_json_pretty(&self) -> Result<String> {
        let mut text = serde_json::to_string_pretty(&self.to_value()?).map_err(json_error)?;
        text.push('\n');
        Ok(text)
    }

    /// Reads what [`Report::to_json_pretty`] wrote.
    ///
    /// # Errors
    /// The text is no report, or one of a newer schema.
    pub fn from_json(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let Version { schema_version } = serde_json::from_str(text).map_err(json_error)?;
        if schema_version > SCHEMA_VERSION {
            bail!(
                Data,
                "report: schema version {schema_version} is newer than {SCHEMA_VERSION}; use the \
                 program that wrote it or a later one"
            );
        }
        serde_json::from_str(text).map_err(json_error)
    }

    /// The report as JSON, known to hold finite numbers only.
    fn to_value(&self) -> Result<Value> {
        let mut value = serde_json::to_value(self).map_err(json_error)?;
        // Absent fields are left out, so a null is a number that JSON cannot hold. Only in the
        // user's own configuration may a null stand for itself.
        let config = value.get_mut("config").map(Value::take);
        if let Some(path) = value.as_object().and_then(|fields| {
            fields.iter().filter(|(k, _)| *k != "config").find_map(|(k, v)| null_in(v, k))
        }) {
            bail!(
                Numeric,
                "report: {path} is not a finite number; leave it out if it is undefined"
            );
        }
        if let Some(config) = config {
            value["config"] = config;
        }
        Ok(value)
    }
}

/// The path of the first null in `value`, such as `models[0].clean.accuracy`.
fn null_in(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Null => Some(path.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(i, v)| null_in(v, &format!("{path}[{i}]")))
        }
        Value::Object(fields) => {
            fields.iter().find_map(|(k, v)| null_in(v, &format!("{path}.{k}")))
        }
        _ => None,
    }
}

fn json_error(err: serde_json::Error) -> Error {
    Error::new(ErrorKind::Data, format!("report: {err}; expected the contents of a report.json"))
}
