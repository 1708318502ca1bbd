//! What is measured: one budget, the attacks that keep to it, and how much of the data they see.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::certificates::Certify;
use super::entry::{Entry, at_steps};
use super::smoothed::Smoothed;
use crate::attack::{Access, AttackConfig, Threat};
use crate::data::{DataSource, Dataset};
use crate::privacy::membership::Quick;
use crate::{Result, bail};

/// What is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The budget of the headline figures.
    pub threat: Threat,
    /// The attacks within the budget, of any access, targeted or not; the strongest last. Curves and
    /// pictures are made by the last untargeted one that sees gradients, else by the last untargeted one.
    #[serde(default)]
    pub attacks: Vec<Entry>,
    /// Attacks without a budget, in any norm: they give the distribution of the smallest perturbation that
    /// fools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub minimal: Vec<AttackConfig>,
    /// Radii of the robustness curve and of the search for the perturbation that fools, ascending.
    #[serde(default)]
    pub radii: Vec<f64>,
    /// Steps of the security curve, ascending; none for no such curve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<usize>,
    /// Certificates to hold against the attacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certify: Vec<Certify>,
    /// The certificate of the vote under noise, to hold against an attack on the vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<Smoothed>,
    /// Data sets besides the models' own on which they are measured, clean and attacked. Whoever calls
    /// [`evaluate_with`](super::evaluate_with) loads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<DataSource>,
    /// Folders of runs whose models only make examples for the others. Loaded by the caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfer_from: Vec<PathBuf>,
    /// Folders of runs whose models are only shown the others' examples. Loaded by the caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfer_to: Vec<PathBuf>,
    /// Test samples attacked; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
    /// Samples shown as pictures.
    #[serde(default = "pictures")]
    pub pictures: usize,
    /// Samples of each model on which the checker runs attacks of its own afterwards
    /// ([`doubt`](crate::doubt)); 0 leaves the check out.
    #[serde(default = "check")]
    pub check: usize,
    /// The membership attacks.
    #[serde(default)]
    pub membership: Quick,
}

fn check() -> usize {
    crate::doubt::SAMPLES
}

fn pictures() -> usize {
    8
}

impl Plan {
    /// A budget, and attacks within it; nothing else yet.
    pub fn new(threat: Threat, attacks: Vec<AttackConfig>) -> Self {
        Plan {
            threat,
            attacks: attacks.into_iter().map(Entry::from).collect(),
            minimal: Vec::new(),
            radii: Vec::new(),
            steps: Vec::new(),
            certify: Vec::new(),
            smoothing: None,
            also: Vec::new(),
            transfer_from: Vec::new(),
            transfer_to: Vec::new(),
            samples: None,
            pictures: pictures(),
            check: check(),
            membership: Quick::default(),
        }
    }

    /// The attack of curves and pictures.
    pub fn strongest(&self) -> Option<&AttackConfig> {
        let mut untargeted = self.attacks.iter().filter(|e| e.target.is_none()).map(|e| &e.attack);
        let sees = |a: &&AttackConfig| a.check().is_ok_and(|a| a.access() == Access::Gradient);
        untargeted.clone().rfind(sees).or_else(|| untargeted.next_back())
    }

    /// Checks what needs no data: constants of attacks, steps and radii.
    ///
    /// # Errors
    /// Names what is out of range.
    pub fn check(&self) -> Result<()> {
        self.threat.check()?;
        for entry in &self.attacks {
            let threat = entry.attack.check()?.threat();
            if threat != self.threat {
                let (label, norm, eps) = (entry.attack.label(), threat.norm, threat.eps);
                match threat.budget() {
                    None => bail!(
                        Config,
                        "evaluate: {label} has no budget; list it under `minimal`, or give it eps = {}",
                        self.threat.eps
                    ),
                    Some(_) => bail!(
                        Config,
                        "evaluate: {label} has the budget {norm} {eps}, the plan {} {}; a comparison \
                         has one budget",
                        self.threat.norm,
                        self.threat.eps
                    ),
                }
            }
        }
        for config in &self.minimal {
            if config.check()?.threat().budget().is_some() {
                bail!(
                    Config,
                    "evaluate: {} has a budget; list it under `attacks`, or leave its eps out",
                    config.label()
                );
            }
        }
        let all: Vec<String> = (self.attacks.iter().map(Entry::label))
            .chain(self.minimal.iter().map(AttackConfig::label))
            .collect();
        if let Some(twice) =
            all.iter().enumerate().find_map(|(i, l)| all[..i].contains(l).then_some(l))
        {
            bail!(Config, "evaluate: {twice} is in the plan twice; leave one of the two out");
        }
        if !self.radii.is_sorted_by(|a, b| a < b) {
            bail!(Config, "evaluate: the radii {:?} must increase", self.radii);
        }
        self.check_steps()?;
        for (i, certify) in self.certify.iter().enumerate() {
            certify.check(self.threat)?;
            if self.certify[..i].contains(certify) {
                let name = certify.method.name();
                bail!(Config, "evaluate: {name} is to certify twice; leave one of the two out");
            }
        }
        self.smoothing.map_or(Ok(()), |smoothing| smoothing.check(self.threat))
    }

    fn check_steps(&self) -> Result<()> {
        if self.steps.is_empty() {
            return Ok(());
        }
        if self.steps[0] == 0 || !self.steps.is_sorted_by(|a, b| a < b) {
            bail!(Config, "evaluate: the steps {:?} must be at least 1 and increase", self.steps);
        }
        let Some(strongest) = self.strongest() else {
            bail!(Config, "evaluate: a curve by steps needs an untargeted attack in the plan");
        };
        self.steps.iter().try_for_each(|&n| at_steps(strongest, n).map(drop))
    }

    /// Checks everything against the samples as well, before anything is computed.
    pub(super) fn check_within(&self, test: &Dataset) -> Result<()> {
        self.check()?;
        let bounds = [f64::from(test.bounds.0), f64::from(test.bounds.1)];
        let features = test.shape.iter().product();
        self.threat.check_within(features, bounds)?;
        for entry in &self.attacks {
            entry.check_target(test)?;
        }
        for &eps in &self.radii {
            Threat::new(self.threat.norm, eps).check_within(features, bounds)?;
        }
        Ok(())
    }
}
