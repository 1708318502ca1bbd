//! Dropout (Srivastava et al. 2014), inverted: scaled in training, nothing in evaluation.

use serde::{Deserialize, Serialize};

use crate::nn::Mode;
use crate::{Result, Tensor, bail};

/// Configuration of dropout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Probability that an activation is set to zero, in `[0, 1)`.
    pub p: f64,
}

impl Dropout {
    pub(in crate::nn) fn output(&self, input: &[usize]) -> Result<Vec<usize>> {
        if !(0.0..1.0).contains(&self.p) {
            bail!(Config, "dropout: p = {} must be in [0, 1)", self.p);
        }
        Ok(input.to_vec())
    }

    /// In training, zeros with probability `p` and scales the rest by `1 / (1 - p)`.
    pub(crate) fn forward(&self, x: &Tensor, mode: &mut Mode<'_>) -> Result<Tensor> {
        let Mode::Train(rng) = mode else { return Ok(x.clone()) };
        let keep = 1.0 / (1.0 - self.p);
        let mask: Vec<f64> = (0..x.shape().numel())
            .map(|_| if rng.bernoulli(self.p) { 0.0 } else { keep })
            .collect();
        Ok(x * &Tensor::from_f64(x.device(), x.dtype(), &mask, &x.shape())?)
    }
}
