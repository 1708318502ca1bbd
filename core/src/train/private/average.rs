//! The exponential moving average of the weights (Polyak and Juditsky 1992; for private training De
//! et al. 2022, arXiv 2204.13650, section 3.2). It is computed from weights that were released
//! already, so it costs no privacy, and it averages the noise of many steps out.

use crate::Result;
use crate::nn::Params;

/// `(1 - d) sum_t d^(T-t) w_t / (1 - d^T)` over the weights after each step: without the initial ones,
/// which a short training would not get rid of.
pub(super) struct Average {
    decay: f64,
    steps: i32,
    sum: Option<Params>,
}

impl Average {
    pub(super) fn new(decay: f64) -> Self {
        Average { decay, steps: 0, sum: None }
    }

    /// Takes in the weights after a step.
    pub(super) fn add(&mut self, params: &Params) -> Result<()> {
        let (decay, share) = (self.decay, 1.0 - self.decay);
        self.steps = self.steps.saturating_add(1);
        self.sum = Some(match self.sum.take() {
            None => params.map(|w| w * share),
            Some(sum) => sum.zip_map(params, |sum, w| sum * decay + w * share)?,
        });
        Ok(())
    }

    /// The sum behind the average: `(1 - d) sum_t d^(T-t) w_t`.
    pub(super) fn sum(&self) -> Option<&Params> {
        self.sum.as_ref()
    }

    /// Takes up after `steps` steps that left `sum`.
    pub(super) fn restore(&mut self, steps: usize, sum: Option<Params>) {
        self.steps = i32::try_from(steps).unwrap_or(i32::MAX);
        self.sum = sum;
    }

    /// The average; `None` before the first step.
    pub(super) fn value(&self) -> Option<Params> {
        let scale = 1.0 / (1.0 - self.decay.powi(self.steps));
        self.sum.as_ref().map(|sum| sum.map(|s| s * scale))
    }
}
