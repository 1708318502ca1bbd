//! Adversarial weight perturbation (Wu et al. 2020, algorithm 1, with one step of ascent as in the
//! authors' code): a flat minimum in the weights generalises better.
//!
//! The perturbation is a constant added to the tracked weights, so the gradient at the moved weights
//! arrives at the real ones, and momentum and weight decay never see it.

use super::pass::{Batch, Pass, Step, not_negative};
use crate::grad::grad;
use crate::model::{Classifier, Network};
use crate::nn::Params;
use crate::rng::Rng;
use crate::{Result, Tensor};

pub(super) struct Awp {
    gamma: f64,
    rule: Box<dyn Step>,
}

impl Awp {
    pub(super) fn new(gamma: f64, rule: Box<dyn Step>) -> Result<Self> {
        not_negative("gamma", gamma)?;
        Ok(Awp { gamma, rule })
    }

    /// The weights, each matrix moved along its gradient by `gamma` times its length; biases stay.
    fn moved(&self, pass: &mut Pass<'_>, batch: &Batch<'_>, made: &Tensor) -> Result<Params> {
        let start = pass.params.map(|p| p.detach().tracked());
        let losses = self.rule.losses(&mut pass.at(&start), batch, made)?;
        let grads = grad(&losses.mean_all(), &start.values())?;
        let grads = pass.params.with_values(grads)?;
        pass.params.zip_map(&grads, |w, g| {
            if w.shape().rank() < 2 {
                return w.clone();
            }
            let length = |t: &Tensor| t.detach().square().sum_all().sqrt();
            let scale = length(w) / length(g).maximum(&g.scalar(1e-12));
            w + &(g * &(scale * self.gamma))
        })
    }
}

impl Step for Awp {
    fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        self.rule.check_within(features, bounds)
    }

    fn prepare(&mut self, network: &Network) -> Result<()> {
        self.rule.prepare(network)
    }

    fn inputs(&self, model: &dyn Classifier, batch: &Batch<'_>, rng: &Rng) -> Result<Tensor> {
        self.rule.inputs(model, batch, rng)
    }

    fn losses(&self, pass: &mut Pass<'_>, batch: &Batch<'_>, made: &Tensor) -> Result<Tensor> {
        if self.gamma == 0.0 {
            return self.rule.losses(pass, batch, made);
        }
        let moved = self.moved(pass, batch, made)?;
        self.rule.losses(&mut pass.at(&moved), batch, made)
    }

    fn coupling(&self) -> Option<&'static str> {
        self.rule.coupling().or((self.gamma > 0.0).then_some(
            "the weights that a sample's loss is taken at were moved by the whole batch",
        ))
    }

    fn outside(&self) -> Option<&'static str> {
        self.rule.outside()
    }
}
