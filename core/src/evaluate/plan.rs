//! What is measured: one budget, the attacks that keep to it, and how much of the data they see.

use serde::{Deserialize, Serialize};

use crate::attack::{AttackConfig, Threat};
use crate::data::Dataset;
use crate::{Result, bail};

/// What is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The budget of the headline figures.
    pub threat: Threat,
    /// The attacks; the last is the strongest, and makes curve and pictures.
    pub attacks: Vec<AttackConfig>,
    /// Radii of the robustness curve and of the search for the perturbation that fools, ascending.
    pub radii: Vec<f64>,
    /// Test samples attacked; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
    /// Samples shown as pictures.
    #[serde(default = "pictures")]
    pub pictures: usize,
}

fn pictures() -> usize {
    8
}

impl Plan {
    /// Checks every budget against the box of the samples, before anything is computed.
    pub(super) fn check_within(&self, test: &Dataset) -> Result<()> {
        let bounds = [f64::from(test.bounds.0), f64::from(test.bounds.1)];
        let features = test.shape.iter().product();
        self.threat.check_within(features, bounds)?;
        for config in &self.attacks {
            let threat = config.check()?.threat();
            if threat != self.threat {
                bail!(
                    Config,
                    "evaluate: {} has the budget {} {}, the plan {} {}; a comparison has one budget",
                    config.label(),
                    threat.norm,
                    threat.eps,
                    self.threat.norm,
                    self.threat.eps
                );
            }
            threat.check_within(features, bounds)?;
        }
        if !self.radii.is_sorted_by(|a, b| a < b) {
            bail!(Config, "evaluate: the radii {:?} must increase", self.radii);
        }
        for &eps in &self.radii {
            Threat::new(self.threat.norm, eps).check_within(features, bounds)?;
        }
        Ok(())
    }
}
