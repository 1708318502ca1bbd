//! What is measured on held-out data after each epoch, and what it warns of.
//!
//! Training on single steps can learn to defeat single steps and nothing else, from one epoch to the
//! next ("catastrophic over-fitting": Wong et al. 2020, section 5.4). Accuracy under the monitor's
//! attack alone cannot tell that from a training that diverges, so one step is measured beside it.

use super::Rule;
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

/// What the epochs of a training by `rule` warn of, a line each.
pub fn warnings(rule: &Rule, history: &[EpochRecord]) -> Vec<String> {
    // What was never trained on attacks has not over-fitted to them: a plain model's robust accuracy
    // falls as its loss does.
    if matches!(rule, Rule::Standard {}) {
        return Vec::new();
    }
    catastrophic_overfitting(history).into_iter().collect()
}

/// The first epoch whose robust accuracy is below half of what it was, while the accuracy under one
/// step is not below what the robust accuracy was.
fn catastrophic_overfitting(history: &[EpochRecord]) -> Option<String> {
    /// Falls of fewer points may be chance: the monitor attacks few samples.
    const POINTS: f64 = 0.1;
    let mut best = 0.0;
    for record in history {
        let (Some(robust), Some(one_step)) = (record.robust_accuracy, record.one_step_accuracy)
        else {
            continue;
        };
        if robust < best / 2.0 && best - robust > POINTS && one_step >= best {
            return Some(format!(
                "catastrophic over-fitting in epoch {}: robust accuracy fell from {:.1} % to {:.1} % \
                 while one step leaves {:.1} %; train fewer epochs, with GradAlign, or by madry",
                record.epoch,
                100.0 * best,
                100.0 * robust,
                100.0 * one_step
            ));
        }
        best = robust.max(best);
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Rule = Rule::Fast { eps: 0.1, step: None, grad_align: 0.0 };

    fn history(accuracies: &[(f64, f64)]) -> Vec<EpochRecord> {
        let record = |(i, &(robust, one_step)): (usize, &(f64, f64))| EpochRecord {
            epoch: i + 1,
            loss: Some(1.0),
            clean_accuracy: Some(0.9),
            robust_accuracy: Some(robust),
            one_step_accuracy: Some(one_step),
            epsilon: None,
        };
        accuracies.iter().enumerate().map(record).collect()
    }

    #[test]
    fn a_collapse_under_one_attack_alone_is_named() {
        let collapse = history(&[(0.3, 0.4), (0.5, 0.6), (0.02, 0.9), (0.0, 0.95)]);
        assert_eq!(warnings(&Rule::Standard {}, &collapse), [""; 0]);
        let lines = warnings(&FAST, &collapse);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("epoch 3") && lines[0].contains("50.0 % to 2.0 %"), "{lines:?}");
    }

    #[test]
    fn other_courses_are_not() {
        let rising = [(0.3, 0.4), (0.5, 0.6)];
        let both_fall = [(0.5, 0.6), (0.1, 0.15)];
        let wavering = [(0.5, 0.6), (0.3, 0.9)];
        let never_robust = [(0.05, 0.5), (0.0, 0.6)];
        for course in [&rising, &both_fall, &wavering, &never_robust] {
            assert_eq!(warnings(&FAST, &history(course)), [""; 0], "{course:?}");
        }
    }
}
