//! Free adversarial training (Shafahi et al. 2019, "Adversarial training for free!", algorithm 1).
//!
//! One backward pass gives the gradients of the weights and of the perturbation. So the perturbation
//! is never made on the weights that it is used with, and it is carried by its place in the batch: from
//! replay to replay of one batch, and on to the next batch, as in the authors' code.

use super::pass::{Batch, Pass, Step};
use crate::attack::{Norm, Threat};
use crate::loss::cross_entropy;
use crate::model::Classifier;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

#[derive(Clone, Copy)]
pub(super) struct Free {
    threat: Threat,
    replays: usize,
}

impl Free {
    pub(super) fn new(eps: f64, replays: usize) -> Result<Self> {
        let threat = Threat::new(Norm::Linf, eps);
        threat.check()?;
        if replays == 0 {
            bail!(Config, "rule: replays = 0 must be at least 1");
        }
        Ok(Free { threat, replays })
    }

    pub(super) fn replays(&self) -> usize {
        self.replays
    }
}

impl Step for Free {
    fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        self.threat.check_within(features, bounds)
    }

    /// The samples as they are: what moves them is in [`Carried`].
    fn inputs(&self, _: &dyn Classifier, batch: &Batch<'_>, _: &Rng) -> Result<Tensor> {
        Ok(batch.x.clone())
    }

    fn losses(&self, pass: &mut Pass<'_>, batch: &Batch<'_>, made: &Tensor) -> Result<Tensor> {
        Ok(cross_entropy(&pass.logits(made)?, batch.y))
    }

    fn coupling(&self) -> Option<&'static str> {
        Some("the perturbation of a sample comes from other samples")
    }

    fn free(&self) -> Option<Free> {
        Some(*self)
    }
}

/// The perturbation of each place in a batch.
pub(in crate::train) struct Carried {
    eps: f64,
    /// `[N, ...]` for the largest batch so far.
    noise: Option<Tensor>,
}

impl Carried {
    pub(super) fn new(free: Free) -> Self {
        Carried { eps: free.threat.eps, noise: None }
    }

    /// The perturbations, `[N, ...]` for the largest batch so far; none before the first.
    pub(in crate::train) fn noise(&self) -> Option<&Tensor> {
        self.noise.as_ref()
    }

    /// Goes on with `noise`.
    pub(in crate::train) fn restore(&mut self, noise: Option<Tensor>) {
        self.noise = noise;
    }

    /// The perturbation of the batch `x` as a variable; 0 in places that are new.
    pub(in crate::train) fn variable(&mut self, x: &Tensor) -> Tensor {
        let n = x.dim(0);
        let noise = match self.noise.take() {
            None => x.fill(0.0),
            Some(noise) if noise.dim(0) < n => {
                let new = n - noise.dim(0);
                let zeros = x.narrow(0, 0, new).fill(0.0);
                noise.concat(&[zeros], 0)
            }
            Some(noise) => noise,
        };
        let variable = noise.narrow(0, 0, n).detach().tracked();
        self.noise = Some(noise);
        variable
    }

    /// The perturbed batch within the box. A value on its edge counts as inside: it can still move, as
    /// the black background of an image must.
    pub(in crate::train) fn inputs(variable: &Tensor, x: &Tensor, [lo, hi]: [f64; 2]) -> Tensor {
        // The derivative goes to the second operand where the two are equal.
        x.scalar(hi).minimum(&x.scalar(lo).maximum(&(x + variable)))
    }

    /// Moves the perturbation along the signs of its gradient.
    pub(in crate::train) fn ascend(&mut self, variable: &Tensor, g: &Tensor) {
        let moved = (variable.detach() + g.sign() * self.eps).clamp(-self.eps, self.eps);
        let n = moved.dim(0);
        self.noise = Some(match self.noise.take() {
            Some(noise) if noise.dim(0) > n => {
                let rest = noise.narrow(0, n, noise.dim(0) - n);
                moved.concat(&[rest], 0)
            }
            _ => moved,
        });
    }
}
