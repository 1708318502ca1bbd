//! MART (Wang et al. 2020, "Improving adversarial robustness requires revisiting misclassified
//! examples", equations 10 and 11): the divergence counts where the clean sample is not yet learnt.

use super::pass::{Batch, Pass, Step, not_negative};
use crate::attack::{Attack, AttackConfig, Goal, craft};
use crate::loss::{boosted_cross_entropy, cross_entropy, kl_divergence};
use crate::model::Classifier;
use crate::rng::Rng;
use crate::{Result, Tensor};

pub(super) struct Mart {
    beta: f64,
    attack: Box<dyn Attack>,
}

impl Mart {
    pub(super) fn new(beta: f64, attack: &AttackConfig) -> Result<Self> {
        not_negative("beta", beta)?;
        Ok(Mart { beta, attack: attack.check()? })
    }
}

impl Step for Mart {
    fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        self.attack.check_within(features, bounds)
    }

    fn inputs(&self, model: &dyn Classifier, batch: &Batch<'_>, rng: &Rng) -> Result<Tensor> {
        let goal = Goal::Untargeted(batch.y.clone());
        craft(&*self.attack, model, batch.x, &goal, &batch.draws(rng, "attack"))
    }

    fn losses(&self, pass: &mut Pass<'_>, batch: &Batch<'_>, made: &Tensor) -> Result<Tensor> {
        let moved = pass.logits(made)?;
        let loss = boosted_cross_entropy(&moved, batch.y);
        if self.beta == 0.0 {
            return Ok(loss);
        }
        let clean = pass.logits(batch.x)?;
        let unsure = (-cross_entropy(&clean, batch.y)).exp().affine(-1.0, 1.0);
        Ok(loss + kl_divergence(&clean, &moved) * unsure * self.beta)
    }

    fn coupling(&self) -> Option<&'static str> {
        self.attack.coupling()
    }
}
