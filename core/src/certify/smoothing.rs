//! Randomised smoothing (Cohen, Rosenfeld and Kolter 2019, arXiv 1902.02918): the class that a network
//! gives most often under Gaussian noise, and a radius in L2 within which that class does not change.
//!
//! The certificate is of this vote, not of the network without noise. It is wrong with probability at
//! most alpha over the noise that certified it. Noise is drawn on the host from a stream of each sample,
//! so that every backend is asked the same, whatever else is certified.

use serde::{Deserialize, Serialize};

use crate::metrics::clopper_pearson_lower;
use crate::model::{Classifier, predict};
use crate::rng::Rng;
use crate::{DType, Result, Tensor, bail};

/// How a vote is certified.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smoothing {
    /// Standard deviation of the noise, in units of the inputs.
    pub sigma: f64,
    /// Draws that choose the class.
    #[serde(default = "selection")]
    pub selection: usize,
    /// Draws that bound how often the class is given.
    #[serde(default = "estimation")]
    pub estimation: usize,
    /// Probability that a certificate is wrong.
    #[serde(default = "alpha")]
    pub alpha: f64,
    /// Draws of a forward pass.
    #[serde(default = "batch")]
    pub batch: usize,
}

fn selection() -> usize {
    100
}
fn estimation() -> usize {
    100_000
}
fn alpha() -> f64 {
    0.001
}
fn batch() -> usize {
    512
}

/// What was certified of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Vote {
    /// The class that the vote gives everywhere within an L2 distance.
    Class {
        /// The class.
        class: i64,
        /// The distance.
        radius: f64,
    },
    /// No class is given surely more often than all others together.
    Abstain,
}

impl Smoothing {
    /// The numbers of draws and the error of the paper's experiments.
    pub fn new(sigma: f64) -> Self {
        Smoothing {
            sigma,
            selection: selection(),
            estimation: estimation(),
            alpha: alpha(),
            batch: batch(),
        }
    }

    /// Checks the constants.
    ///
    /// # Errors
    /// Names the one that is out of range.
    pub fn check(&self) -> Result<()> {
        if !(self.sigma > 0.0 && self.sigma.is_finite()) {
            bail!(Config, "smoothing: sigma = {} must be positive and finite", self.sigma);
        }
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            bail!(Config, "smoothing: alpha = {} must be in (0, 1)", self.alpha);
        }
        let counts =
            [("selection", self.selection), ("estimation", self.estimation), ("batch", self.batch)];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => bail!(Config, "smoothing: {name} = 0 must be at least 1"),
            None => Ok(()),
        }
    }

    /// Certifies one sample `x` (`[1, ...]`): algorithm CERTIFY of the paper.
    ///
    /// # Errors
    /// As [`Smoothing::check`], `x` is not one sample, or the device failed.
    pub fn certify(&self, model: &dyn Classifier, x: &Tensor, rng: &Rng) -> Result<Vote> {
        self.check()?;
        if x.check()?.dim(0) != 1 {
            bail!(Shape, "smoothing: {} is not one sample [1, ...]", x.shape());
        }
        let first = self.count(model, x, self.selection, &rng.child("selection"))?;
        let mut class = 0;
        for (i, &votes) in first.iter().enumerate() {
            if votes > first[class] {
                class = i;
            }
        }
        let counts = self.count(model, x, self.estimation, &rng.child("estimation"))?;
        let share = clopper_pearson_lower(counts[class], self.estimation as u64, self.alpha)?;
        if share <= 0.5 {
            return Ok(Vote::Abstain);
        }
        Ok(Vote::Class { class: class as i64, radius: self.sigma * normal_quantile(share) })
    }

    /// How often each class is given to `x` under noise.
    fn count(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        draws: usize,
        rng: &Rng,
    ) -> Result<Vec<u64>> {
        let mut counts = vec![0; model.classes()];
        let each: usize = x.shape().iter().product();
        for (i, first) in (0..draws).step_by(self.batch).enumerate() {
            let rows = self.batch.min(draws - first);
            let mut shape = x.shape().to_vec();
            shape[0] = rows;
            let noise = noise(x.dtype(), rows * each, self.sigma, &mut rng.index(i as u64));
            let noise = Tensor::from_f64(x.device(), x.dtype(), &noise, &shape)?;
            for class in predict(model, &(x + noise))? {
                counts[class as usize] += 1;
            }
        }
        Ok(counts)
    }
}

pub(super) fn noise(dtype: DType, count: usize, sigma: f64, rng: &mut Rng) -> Vec<f64> {
    let round = |v: f64| if dtype == DType::F32 { f64::from(v as f32) } else { v };
    (0..count).map(|_| round(sigma * rng.normal())).collect()
}

/// The `r` with `P(Z <= r) = p` for a standard normal Z and `p` in [1/2, 1), by bisection.
fn normal_quantile(p: f64) -> f64 {
    let above = |r: f64| 0.5 * libm::erfc(r * std::f64::consts::FRAC_1_SQRT_2);
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if above(middle) > 1.0 - p { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (p, r) in [
            (0.5, 0.0),
            (0.841_344_746_068_542_9, 1.0),
            (0.975, 1.959_963_984_540_054),
            (0.999, 3.090_232_306_167_813),
        ] {
            assert!((normal_quantile(p) - r).abs() < 1e-10, "{p}: {}", normal_quantile(p));
        }
    }

    #[test]
    fn constants_are_checked() {
        for (wrong, word) in [
            (Smoothing::new(0.0), "sigma"),
            (Smoothing::new(f64::NAN), "sigma"),
            (Smoothing { alpha: 1.0, ..Smoothing::new(1.0) }, "alpha"),
            (Smoothing { selection: 0, ..Smoothing::new(1.0) }, "selection"),
            (Smoothing { batch: 0, ..Smoothing::new(1.0) }, "batch"),
        ] {
            assert!(wrong.check().unwrap_err().to_string().contains(word));
        }
    }
}
