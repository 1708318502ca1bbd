//! Training for a certificate: the cross-entropy of the worst logits that bounds allow, in place of
//! those that an attack finds. Interval bounds (Gowal et al. 2018, equations 12 and 13), or CROWN-IBP
//! on the way there (Zhang et al. 2020, equation 10): tighter bounds while the ball grows, interval
//! bounds at the end, when the network has become one that they are tight for.

use super::pass::{Batch, Pass, Step, not_negative};
use crate::attack::{Norm, Threat};
use crate::certify::Bound;
use crate::loss::cross_entropy;
use crate::model::Classifier;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

pub(super) struct Certified {
    eps: f64,
    clean: f64,
    crown: bool,
    ramp: [f64; 2],
}

impl Certified {
    pub(super) fn new(eps: f64, clean: f64, crown: bool, ramp: [f64; 2]) -> Result<Self> {
        Threat::new(Norm::Linf, eps).check()?;
        not_negative("clean", clean)?;
        if clean > 1.0 {
            bail!(Config, "rule: clean = {clean} must be at most 1");
        }
        let [from, to] = ramp;
        if !(0.0 <= from && from < to && to <= 1.0) {
            bail!(Config, "rule: ramp = [{from}, {to}] must increase within [0, 1]");
        }
        Ok(Certified { eps, clean, crown, ramp })
    }

    /// How far the ball has grown, from 0 to 1.
    fn grown(&self, progress: f64) -> f64 {
        let [from, to] = self.ramp;
        ((progress - from) / (to - from)).clamp(0.0, 1.0)
    }

    /// Lower bounds of the margins, `[N, classes]`.
    fn margins(&self, pass: &Pass<'_>, batch: &Batch<'_>, grown: f64) -> Result<Tensor> {
        let eps = self.eps * grown;
        let by = |bound: Bound| bound.margins(pass.network, pass.params, (batch.x, batch.y), eps);
        if !self.crown || grown == 1.0 {
            return by(Bound::Interval);
        }
        Ok(by(Bound::CrownIbp)? * (1.0 - grown) + by(Bound::Interval)? * grown)
    }
}

impl Step for Certified {
    fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        Threat::new(Norm::Linf, self.eps).check_within(features, bounds)
    }

    fn inputs(&self, _: &dyn Classifier, batch: &Batch<'_>, _: &Rng) -> Result<Tensor> {
        Ok(batch.x.clone())
    }

    fn losses(&self, pass: &mut Pass<'_>, batch: &Batch<'_>, made: &Tensor) -> Result<Tensor> {
        let grown = self.grown(batch.progress);
        let clean = 1.0 - grown * (1.0 - self.clean);
        let loss = cross_entropy(&pass.logits(made)?, batch.y);
        if clean == 1.0 {
            return Ok(loss);
        }
        // The largest that `z_j - z_y` can be, and 0 for the label itself.
        let worst = -self.margins(pass, batch, grown)?;
        Ok(loss * clean + cross_entropy(&worst, batch.y) * (1.0 - clean))
    }
}
