//! What a rule gets for a step, and what it must give.

use crate::attack::Draws;
use crate::model::{Classifier, Network};
use crate::nn::{Mode, Params};
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

use super::free::Free;

/// A batch as a step gets it.
pub struct Batch<'a> {
    /// Inputs, `[N, ...]`.
    pub x: &'a Tensor,
    /// Labels, `[N]`.
    pub y: &'a Tensor,
    /// Places of the samples in the data set.
    pub ids: &'a [usize],
    /// Number of the step.
    pub step: u64,
    /// Share of the training that is behind it, in [0, 1).
    pub progress: f64,
}

impl Batch<'_> {
    /// Randomness for `what`, a stream a sample.
    pub(super) fn draws(&self, rng: &Rng, what: &str) -> Draws {
        let ids = self.ids.iter().map(|&i| i as u64).collect();
        Draws::new(rng.child(what).index(self.step), ids)
    }
}

/// The forward passes of a step.
pub(super) struct Pass<'a> {
    pub(super) network: &'a Network,
    /// The weights that the losses are differentiated in.
    pub(super) params: &'a Params,
    /// What is added to all logits, `[1, classes]`; nothing but with calibrated clients.
    pub(super) shift: Option<&'a Tensor>,
    /// The randomness of dropout, which one pass after another draws from.
    pub(super) dropout: &'a mut Rng,
    /// All other randomness of the training.
    pub(super) rng: &'a Rng,
}

impl Pass<'_> {
    /// Logits in training mode.
    pub(super) fn logits(&mut self, x: &Tensor) -> Result<Tensor> {
        let made = self.network.forward(self.params, x, &mut Mode::Train(&mut *self.dropout))?;
        Ok(self.calibrated(made))
    }

    /// Logits in evaluation mode.
    pub(super) fn evaluated(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.calibrated(self.network.forward(self.params, x, &mut Mode::Eval)?))
    }

    fn calibrated(&self, logits: Tensor) -> Tensor {
        match self.shift {
            None => logits,
            Some(shift) => logits + shift.clone(),
        }
    }

    /// The same with other weights.
    pub(super) fn at<'b>(&'b mut self, params: &'b Params) -> Pass<'b> {
        let Pass { network, shift, rng, .. } = *self;
        Pass { network, params, shift, dropout: &mut *self.dropout, rng }
    }

    /// The same with `shift` added to all logits.
    pub(super) fn shifted<'b>(&'b mut self, shift: Option<&'b Tensor>) -> Pass<'b> {
        let Pass { network, params, rng, .. } = *self;
        Pass { network, params, shift, dropout: &mut *self.dropout, rng }
    }
}

/// A rule whose constants have been checked.
pub(super) trait Step: Send + Sync {
    /// Checks budgets against the box of the inputs.
    fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()>;

    /// Gets what the rule needs for this network besides the network.
    fn prepare(&mut self, _network: &Network) -> Result<()> {
        Ok(())
    }

    /// The adversarial inputs that the losses are taken of, made with `model` as it is now.
    fn inputs(&self, model: &dyn Classifier, batch: &Batch<'_>, rng: &Rng) -> Result<Tensor>;

    /// The loss of each sample, `[N]`, given what [`Step::inputs`] made.
    fn losses(&self, pass: &mut Pass<'_>, batch: &Batch<'_>, made: &Tensor) -> Result<Tensor>;

    /// Why a sample's loss depends on other samples; see [`super::CheckedRule::coupling`].
    fn coupling(&self) -> Option<&'static str> {
        None
    }

    /// What the rule uses besides the batch and the network, on which a guarantee depends; see
    /// [`super::CheckedRule::outside`].
    fn outside(&self) -> Option<&'static str> {
        None
    }

    /// Free training, which the loop has a part in.
    fn free(&self) -> Option<Free> {
        None
    }
}

/// Checks a weight of a loss.
pub(super) fn not_negative(key: &str, value: f64) -> Result<()> {
    if !(value >= 0.0 && value.is_finite()) {
        bail!(Config, "rule: {key} = {value} must be finite and not negative");
    }
    Ok(())
}
