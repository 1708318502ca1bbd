//! What an accountant is told: which noisy sums were released, and how their samples were drawn.
//!
//! A mechanism is checked when it is made, so that no accountant meets a value that it would have
//! to refuse half-way through a sum.

use serde::Serialize;

use crate::{Result, bail};

/// `steps` releases of the Gaussian mechanism on batches drawn by Poisson sampling.
///
/// Each sample joins a batch with probability `sampling_rate`, independently of the others; what it
/// contributes is clipped to norm C, and normal noise of standard deviation C * `noise_multiplier`
/// is added to the sum (Abadi et al. 2016, Algorithm 1). Neighbouring data sets differ by one
/// sample that is added or removed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mechanism {
    sampling_rate: f64,
    #[serde(serialize_with = "super::number_or_inf")]
    noise_multiplier: f64,
    steps: u64,
}

impl Mechanism {
    /// A mechanism whose values are in range.
    ///
    /// # Errors
    /// `sampling_rate` is not in [0, 1], or `noise_multiplier` is negative or not a number. Zero and
    /// infinite noise have answers: an infinite epsilon, and none spent.
    pub fn new(sampling_rate: f64, noise_multiplier: f64, steps: u64) -> Result<Self> {
        if !(0.0..=1.0).contains(&sampling_rate) {
            bail!(
                Config,
                "sampling rate {sampling_rate}: must be in [0, 1], the batch size over the samples"
            );
        }
        if noise_multiplier.is_nan() || noise_multiplier < 0.0 {
            bail!(Config, "noise multiplier {noise_multiplier}: must be at least 0, say 1.0");
        }
        Ok(Mechanism { sampling_rate, noise_multiplier, steps })
    }

    /// Probability with which a sample joins a batch.
    pub fn sampling_rate(&self) -> f64 {
        self.sampling_rate
    }

    /// Standard deviation of the noise over the clipping norm.
    pub fn noise_multiplier(&self) -> f64 {
        self.noise_multiplier
    }

    /// Number of releases.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether it releases nothing about a sample.
    pub(super) fn is_silent(&self) -> bool {
        self.steps == 0 || self.sampling_rate == 0.0 || self.noise_multiplier == f64::INFINITY
    }
}

/// `history` with a mechanism in the place of those that differ in steps only, in a fixed order, and
/// without those that release nothing. Composition does not depend on the order (the losses add up).
/// Steps that are too many for one number stay in two.
pub(super) fn merged(history: &[Mechanism]) -> Vec<Mechanism> {
    let mut parts: Vec<Mechanism> = history.iter().copied().filter(|m| !m.is_silent()).collect();
    let key = |m: &Mechanism| (m.sampling_rate.to_bits(), m.noise_multiplier.to_bits());
    parts.sort_by_key(key);
    parts.dedup_by(|next, kept| {
        let sum = kept.steps.checked_add(next.steps).filter(|_| key(next) == key(kept));
        kept.steps = sum.unwrap_or(kept.steps);
        sum.is_some()
    });
    parts
}

/// Refuses a delta that is no probability.
pub(super) fn check_delta(delta: f64) -> Result<()> {
    if !(0.0..=1.0).contains(&delta) {
        bail!(Config, "delta {delta}: must be in [0, 1], and well below one over the samples");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_named() {
        let refused = |q, sigma| Mechanism::new(q, sigma, 1).unwrap_err().to_string();
        for q in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(refused(q, 1.0).starts_with("sampling rate"), "{q}");
        }
        for sigma in [-1.0, f64::NAN, f64::NEG_INFINITY] {
            assert!(refused(0.1, sigma).starts_with("noise multiplier"), "{sigma}");
        }
        for delta in [1.1, -1e-300, f64::NAN] {
            assert!(check_delta(delta).is_err(), "{delta}");
        }
    }

    #[test]
    fn equal_mechanisms_merge() {
        let part = |q, sigma, steps| Mechanism::new(q, sigma, steps).unwrap();
        let history = [part(0.1, 1.0, 3), part(0.0, 1.0, 3), part(0.1, 2.0, 1), part(0.1, 1.0, 4)];
        assert_eq!(merged(&history), [part(0.1, 1.0, 7), part(0.1, 2.0, 1)]);
        // No step is lost where the sum is past the largest number.
        let many = [part(0.1, 1.0, u64::MAX), part(0.1, 1.0, u64::MAX)];
        assert_eq!(merged(&many), many);
    }
}
