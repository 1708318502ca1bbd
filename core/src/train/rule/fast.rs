//! Fast adversarial training (Wong et al. 2020, "Fast is better than free", algorithm 3), and GradAlign
//! (Andriushchenko and Flammarion 2020, "Understanding and improving fast adversarial training",
//! equation 4), which keeps the model locally linear so that one step goes on to be enough.
//!
//! The two gradients of GradAlign are taken in evaluation mode: two masks of dropout would turn them
//! by themselves.

use super::pass::{Batch, Pass, Step, not_negative};
use crate::attack::{Norm, Threat};
use crate::grad::{grad, grad_graph};
use crate::loss::cross_entropy;
use crate::model::Classifier;
use crate::op::Fused;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

pub(super) struct Fast {
    threat: Threat,
    step: f64,
    grad_align: f64,
}

impl Fast {
    pub(super) fn new(eps: f64, step: Option<f64>, grad_align: f64) -> Result<Self> {
        let threat = Threat::new(Norm::Linf, eps);
        threat.check()?;
        let step = step.unwrap_or(1.25 * eps);
        not_negative("step", step)?;
        not_negative("grad_align", grad_align)?;
        Ok(Fast { threat, step, grad_align })
    }

    /// `1 - cos` of the angle between the gradients of the loss at the samples and at random points
    /// of their balls, `[N]`, differentiable in the weights; 0 where one of them is.
    fn misalignment(&self, pass: &Pass<'_>, batch: &Batch<'_>) -> Result<Tensor> {
        let draws = batch.draws(pass.rng, "align");
        let near = self.threat.random_start(batch.x, &draws, pass.network.bounds())?;
        let slope = |x: &Tensor| -> Result<Tensor> {
            let x = x.detach().tracked();
            let loss = cross_entropy(&pass.evaluated(&x)?, batch.y);
            Ok(grad_graph(&loss, &[&x])?.swap_remove(0))
        };
        let (here, there) = (slope(batch.x)?, slope(&near)?);
        // Directions of length 1, or next to nothing where the gradient is: the root of 0 has no
        // derivative, and squares of what is smaller than this have no digits in f32.
        let tiny = here.scalar(1e-24);
        let squares = |g: &Tensor| g.square().sum_per_sample().maximum(&tiny);
        let (a, b) = (squares(&here), squares(&there));
        let along = |g: &Tensor, square: &Tensor| g / &square.sqrt().per_sample(g);
        let cosine = (along(&here, &a) * along(&there, &b)).sum_per_sample();
        let both = tiny.lt(&a.minimum(&b).detach());
        Ok(cosine.affine(-1.0, 1.0).where_(&both, &a.scalar(0.0)))
    }
}

impl Step for Fast {
    fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        self.threat.check_within(features, bounds)
    }

    fn inputs(&self, model: &dyn Classifier, batch: &Batch<'_>, rng: &Rng) -> Result<Tensor> {
        let ([lo, hi], eps) = (model.bounds(), self.threat.eps);
        let draws = batch.draws(rng, "attack");
        // The start may leave the box, as that of the paper does. Cut off at it, half of the black
        // pixels of an image would start where they are, and single steps be over-fitted to soon.
        let start = self.threat.random_start(batch.x, &draws, [lo - eps, hi + eps])?.tracked();
        let Some(g) = grad(&cross_entropy(&model.logits(&start)?, batch.y), &[&start])?.pop()
        else {
            bail!(Usage, "fast: one gradient was asked for and none came");
        };
        let op = Fused::PgdStep { step: self.step, eps, lo, hi };
        Ok(Tensor::fused(op, [start.detach(), g, batch.x.clone()]))
    }

    fn losses(&self, pass: &mut Pass<'_>, batch: &Batch<'_>, made: &Tensor) -> Result<Tensor> {
        let loss = cross_entropy(&pass.logits(made)?, batch.y);
        if self.grad_align == 0.0 {
            return Ok(loss);
        }
        Ok(loss + self.misalignment(pass, batch)? * self.grad_align)
    }
}
