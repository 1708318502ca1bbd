//! Normalisation of the input by fixed constants, as a layer.
//!
//! Inside the model, so that epsilon keeps its meaning in the original value range.

use serde::{Deserialize, Serialize};

use crate::{Result, Tensor, bail};

/// Configuration: one mean and one standard deviation per channel (or feature).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// Subtracted, per channel.
    pub mean: Vec<f64>,
    /// Divided by, per channel.
    pub std: Vec<f64>,
}

impl Normalize {
    pub(in crate::nn) fn output(&self, input: &[usize]) -> Result<Vec<usize>> {
        let channels = input[0];
        if self.mean.len() != channels || self.std.len() != channels {
            bail!(
                Config,
                "normalize: {} means and {} deviations for {channels} channels",
                self.mean.len(),
                self.std.len()
            );
        }
        let usable = self.mean.iter().all(|m| m.is_finite())
            && self.std.iter().all(|s| s.is_finite() && *s > 0.0);
        if !usable {
            bail!(Config, "normalize: means must be finite and deviations positive");
        }
        Ok(input.to_vec())
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut shape = vec![1; x.shape().rank().saturating_sub(1)];
        shape[0] = self.mean.len();
        let mean = Tensor::from_f64(x.device(), x.dtype(), &self.mean, &shape)?;
        let std = Tensor::from_f64(x.device(), x.dtype(), &self.std, &shape)?;
        Ok((x - &mean) / std)
    }
}
