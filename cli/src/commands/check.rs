//! The check of a single attack: what its trace, the gradients and the answers of the model tell costs
//! next to nothing and is always looked at; other attacks are run where they are asked for.

use inocula_core::attack::{Access, Aim, AttackConfig, Outcome, Stage, Traces};
use inocula_core::data::Dataset;
use inocula_core::doubt::{Attacked, Finding, SAMPLES, Subject, check};
use inocula_core::model::{Network, predict_rows};
use inocula_core::place::Placement;
use inocula_core::report::AttackReport;
use inocula_core::rng::Rng;
use inocula_core::{Result, bail};

/// Refuses a check of what cannot be checked, before anything is attacked.
pub(super) fn refuse(config: &AttackConfig, aim: Aim) -> Result<()> {
    let attack = config.check()?;
    if attack.access() != Access::Gradient {
        bail!(
            Config,
            "attack: --check is for attacks by gradients, and {} uses none; leave it out",
            config.label()
        );
    }
    if aim != Aim::Untargeted {
        bail!(Config, "attack: --check compares untargeted attacks; leave out --target or --check");
    }
    if attack.threat().budget().is_none() {
        bail!(Config, "attack: --check compares attacks at one budget; pass --eps SIZE");
    }
    Ok(())
}

/// What was attacked, and how.
pub(super) struct Checked<'a> {
    pub(super) name: &'a str,
    pub(super) network: &'a Network,
    pub(super) test: &'a Dataset,
    pub(super) rows: &'a [usize],
    pub(super) place: &'a Placement,
    pub(super) rng: &'a Rng,
    pub(super) config: &'a AttackConfig,
    pub(super) outcome: &'a Outcome,
    pub(super) traces: &'a Traces,
    pub(super) stages: &'a [Stage],
    pub(super) result: &'a AttackReport,
}

impl Checked<'_> {
    /// The findings about the attack, which are none where it uses no gradients. `others` says whether
    /// other attacks are run.
    pub(super) fn findings(
        &self,
        others: bool,
        progress: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Vec<Finding>> {
        if self.config.check()?.access() != Access::Gradient {
            return Ok(Vec::new());
        }
        let classes = predict_rows(self.network, self.test, self.rows, self.place)?;
        let right: Vec<bool> =
            classes.iter().zip(self.rows).map(|(c, &row)| *c == self.test.labels[row]).collect();
        let subject = Subject {
            name: self.name,
            model: self.network,
            data: self.test,
            rows: self.rows,
            right: &right,
            place: self.place,
            rng: self.rng,
            samples: if others { SAMPLES } else { 0 },
        };
        let attacked = Attacked {
            config: self.config,
            fooled: &self.outcome.success,
            traces: self.traces,
            stages: self.stages,
        };
        check(&subject, &attacked, &[], &self.result.label(), progress)
    }
}
