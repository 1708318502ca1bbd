//! TRADES (Zhang et al. 2019, "Theoretically principled trade-off between robustness and accuracy",
//! equation 5), with the choices of the authors' code: the inner maximum is that of the divergence
//! itself, searched in evaluation mode from a start of Gaussian noise.

use super::pass::{Batch, Pass, Step, not_negative};
use crate::attack::{Attack as _, AttackConfig, Pgd, diverge};
use crate::loss::{cross_entropy, kl_divergence};
use crate::model::Classifier;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

pub(super) struct Trades {
    beta: f64,
    /// Norm, radius and steps of the inner maximum.
    inner: Pgd,
}

impl Trades {
    pub(super) fn new(beta: f64, attack: &AttackConfig) -> Result<Self> {
        not_negative("beta", beta)?;
        attack.check()?;
        match attack {
            AttackConfig::Pgd(inner) => Ok(Trades { beta, inner: inner.clone() }),
            other => bail!(
                Config,
                "rule: trades looks for its points by pgd, not by {}; set norm, eps, step and steps \
                 of that",
                other.name()
            ),
        }
    }
}

impl Step for Trades {
    fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        self.inner.check_within(features, bounds)
    }

    fn inputs(&self, model: &dyn Classifier, batch: &Batch<'_>, rng: &Rng) -> Result<Tensor> {
        if self.beta == 0.0 {
            return Ok(batch.x.clone());
        }
        diverge(&self.inner, model, batch.x, &batch.draws(rng, "attack"))
    }

    fn losses(&self, pass: &mut Pass<'_>, batch: &Batch<'_>, made: &Tensor) -> Result<Tensor> {
        let clean = pass.logits(batch.x)?;
        let loss = cross_entropy(&clean, batch.y);
        if self.beta == 0.0 {
            return Ok(loss);
        }
        Ok(loss + kl_divergence(&clean, &pass.logits(made)?) * self.beta)
    }
}
