//! The Gaussian mechanism on gradients: the noisy mean that a private step descends along.

use super::ghost::PerSample;
use super::noise::{self, Secret};
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// `(sum_n clip(g_n, C) + N(0, (sigma C)^2)) / B` (Abadi et al. 2016, algorithm 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mechanism {
    /// C, the most that one sample may contribute, as an L2 norm over all parameters.
    pub bound: f64,
    /// sigma, the standard deviation of the noise in units of C.
    pub noise_multiplier: f64,
    /// B, the expected number of samples of a batch. Not their number in this one: that depends on
    /// the data, and would leak.
    pub expected_batch: f64,
}

impl Mechanism {
    /// Checks the constants.
    ///
    /// # Errors
    /// Names the one that is out of range.
    pub fn check(&self) -> Result<()> {
        let Mechanism { bound, noise_multiplier, expected_batch } = *self;
        for (name, value) in [("bound", bound), ("expected_batch", expected_batch)] {
            if !(value > 0.0 && value.is_finite()) {
                bail!(Config, "mechanism: {name} = {value} must be positive and finite");
            }
        }
        if !(noise_multiplier >= 0.0 && noise_multiplier.is_finite()) {
            bail!(
                Config,
                "mechanism: noise_multiplier = {noise_multiplier} must be finite and not negative"
            );
        }
        Ok(())
    }

    /// The noisy mean of clipped gradients, a tensor a parameter. The noise is that of `rng`, one
    /// stream a parameter, and as little of a secret as `rng` is: for measurements, not for releases.
    ///
    /// # Errors
    /// As [`Mechanism::check`], or the device failed.
    pub fn mean(&self, gradients: &PerSample, rng: &Rng) -> Result<Vec<Tensor>> {
        self.check()?;
        let sums = gradients.clipped_sum(self.bound)?;
        self.noisy(sums, |i, sum, std| noise::add_gaussian(sum, std, &rng.index(i)))
    }

    /// The noisy mean of sums, a tensor a parameter, that no sample can move by more than the bound.
    /// A `secret` is for one release.
    ///
    /// # Errors
    /// As [`Mechanism::mean`].
    pub fn release(&self, sums: Vec<Tensor>, secret: &Secret) -> Result<Vec<Tensor>> {
        self.noisy(sums, |i, sum, std| noise::add_private(sum, std, &secret.index(i)))
    }

    /// The same of means: of sums whose samples came in with a factor of `1 / expected_batch` each, which
    /// is that of one pass over the weights less.
    ///
    /// # Errors
    /// As [`Mechanism::mean`].
    pub fn release_mean(&self, means: Vec<Tensor>, secret: &Secret) -> Result<Vec<Tensor>> {
        self.check()?;
        let bound = self.bound / self.expected_batch;
        Mechanism { bound, expected_batch: 1.0, ..*self }.release(means, secret)
    }

    /// Sums, to which `add` adds the noise of parameter i at a standard deviation, as means.
    fn noisy(
        &self,
        sums: Vec<Tensor>,
        add: impl Fn(u64, Tensor, f64) -> Result<Tensor>,
    ) -> Result<Vec<Tensor>> {
        self.check()?;
        let std = self.noise_multiplier * self.bound;
        let noisy = sums.into_iter().enumerate().map(|(i, sum)| {
            let noisy = match std {
                0.0 => sum,
                _ => add(i as u64, sum, std)?,
            };
            let mean = match self.expected_batch {
                1.0 => noisy,
                batch => noisy * (1.0 / batch),
            };
            mean.check()?;
            Ok(mean)
        });
        noisy.collect()
    }
}
