//! Inversion as optimisation: the cross-entropy with the class, total variation and distance from the
//! middle of the range, minimised by Adam within the box from noise.
//!
//! The confidence that MI-Face descends is flat where it is near 0 or 1; the cross-entropy is not. The
//! priors keep the result a picture rather than an adversarial example (Mahendran and Vedaldi 2015,
//! section 3; Yin et al. 2020, equation 3).

use serde::{Deserialize, Serialize};

use super::{Inverted, Progress, batch_shape, confidence};
use crate::loss::cross_entropy;
use crate::model::{Classifier, Network};
use crate::privacy::descend::Descent;
use crate::privacy::prior::{l2, total_variation};
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// Constants of the search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimised {
    /// Steps.
    pub steps: usize,
    /// Step size in units of the range of values.
    pub lr: f64,
    /// Weight of the total variation.
    pub tv: f64,
    /// Weight of the mean squared distance from the middle of the range.
    pub l2: f64,
}

impl Default for Optimised {
    fn default() -> Self {
        Optimised { steps: 300, lr: 0.05, tv: 1.0, l2: 0.1 }
    }
}

impl Optimised {
    pub(super) fn check(&self) -> Result<Descent> {
        for (name, value) in [("tv", self.tv), ("l2", self.l2)] {
            if !(value >= 0.0 && value.is_finite()) {
                bail!(Config, "optimised: {name} = {value} must not be negative, say 0.1");
            }
        }
        let descent = Descent { steps: self.steps, lr: self.lr, signed: false, decay: true };
        descent.check("optimised")?;
        Ok(descent)
    }

    pub(super) fn run(
        &self,
        network: &Network,
        classes: &[i64],
        rng: &Rng,
        progress: Progress<'_>,
    ) -> Result<Inverted> {
        let (n, bounds) = (classes.len(), network.bounds());
        let labels = Tensor::from_slice(network.device(), classes, &[n])?;
        let shape = batch_shape(network, n);
        let each: usize = network.spec().input.iter().product();
        let draws = (0..n as u64).flat_map(|i| {
            let mut draws = rng.child("start").index(i);
            (0..each).map(move |_| draws.uniform(bounds[0], bounds[1])).collect::<Vec<_>>()
        });
        let start = draws.collect::<Vec<f64>>();
        let start = Tensor::from_f64(network.device(), network.dtype(), &start, &shape)?;
        let mut objective = |x: &Tensor| {
            let loss = cross_entropy(&network.logits(x)?, &labels);
            Ok(loss + total_variation(x) * self.tv + l2(x, bounds) * self.l2)
        };
        let best = self.check()?.minimise(&start, bounds, &mut objective, progress)?;
        let confidence = confidence(&network.logits(&best.x)?, &labels).to_f64_vec()?;
        let gradient_steps = (self.steps * n) as u64;
        Ok(Inverted { x: best.x, confidence, gradient_steps, stops: Vec::new() })
    }
}
