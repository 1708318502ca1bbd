//! What is measured on held-out data after each epoch.
//!
//! Training on single steps can learn to defeat single steps and nothing else, from one epoch to the
//! next ("catastrophic over-fitting": Wong et al. 2020, section 5.4). Accuracy under the monitor's
//! attack alone cannot tell that from a training that diverges, so one step is measured beside it.
//!
//! A configuration that names FGSM as its monitor gets that alone: a record has one place for what the
//! monitor measured and one for a single step. Such a training is warned of nothing; leave the monitor
//! out, and [`Rule::usual_monitor`](super::Rule::usual_monitor) sees to it.

use crate::attack::{Aim, Attack, AttackConfig, AttackSpec as _, Fgsm, Limits, Norm, perturb_rows};
use crate::data::Dataset;
use crate::model::{Network, confusion};
use crate::place::Placement;
use crate::report::EpochRecord;
use crate::rng::Rng;
use crate::{Result, bail};

/// The measurements after an epoch.
pub(super) struct Monitor<'a> {
    data: &'a Dataset,
    place: Placement,
    rng: &'a Rng,
    /// Held-out samples that are attacked.
    rows: Vec<usize>,
    attack: Option<Box<dyn Attack>>,
    /// The same budget in one step, unless that is what the attack does.
    one_step: Option<Fgsm>,
}

impl<'a> Monitor<'a> {
    pub(super) fn new(
        attack: Option<&AttackConfig>,
        samples: usize,
        data: &'a Dataset,
        place: &Placement,
        rng: &'a Rng,
    ) -> Result<Self> {
        let rows = rng.child("monitor").choose(data.len(), samples.min(data.len()));
        let place = Placement { batch: place.batch.max(256), ..place.clone() };
        let one_step = attack.map(one_step).transpose()?.flatten();
        let attack = attack.map(AttackConfig::check).transpose()?;
        Ok(Monitor { data, place, rng, rows, attack, one_step })
    }

    /// Accuracy on all held-out data, and on the samples that are attacked.
    pub(super) fn record(&self, network: &Network, epoch: usize) -> Result<EpochRecord> {
        let clean_accuracy = match self.data.is_empty() {
            true => None,
            false => Some(confusion(network, self.data, &self.place)?.accuracy()),
        };
        let held = |attack: &dyn Attack| self.held(attack, network);
        let robust_accuracy = match &self.attack {
            Some(attack) if !self.rows.is_empty() => Some(held(&**attack)?),
            _ => None,
        };
        let one_step_accuracy = match &self.one_step {
            Some(attack) if !self.rows.is_empty() => Some(held(attack)?),
            _ => None,
        };
        let record = EpochRecord { epoch, ..EpochRecord::default() };
        Ok(EpochRecord { clean_accuracy, robust_accuracy, one_step_accuracy, ..record })
    }

    /// The share of the samples that an attack leaves right.
    fn held(&self, attack: &dyn Attack, network: &Network) -> Result<f64> {
        let rng = self.rng.child("monitor-attack");
        let outcome = perturb_rows(
            attack,
            network,
            self.data,
            &self.rows,
            Aim::Untargeted,
            &self.place,
            &rng,
            &mut |_| Ok(()),
        )?;
        Ok(outcome.held() as f64 / self.rows.len() as f64)
    }
}

fn one_step(attack: &AttackConfig) -> Result<Option<Fgsm>> {
    let threat = attack.check()?.threat();
    let single = matches!(attack, AttackConfig::Fgsm(_));
    match threat.budget() {
        Some(eps) if !single && threat.norm != Norm::L0 => {
            let one_step = Fgsm::new(threat.norm, eps);
            one_step.check()?;
            Ok(Some(one_step))
        }
        _ => Ok(None),
    }
}

/// Checks the monitor's attack against the box of the network's inputs.
pub(super) fn check_within(attack: &AttackConfig, network: &Network) -> Result<()> {
    let checked = attack.check()?;
    if checked.threat().budget().is_none() && checked.limits() == Limits::Ball {
        bail!(Config, "train: the monitor's {} has no budget; set eps", attack.name());
    }
    let spec = network.spec();
    checked.check_within(spec.input.iter().product(), spec.bounds)
}
