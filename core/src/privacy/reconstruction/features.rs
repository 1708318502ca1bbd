//! Inputs from what a layer makes of them: feature inversion (Mahendran and Vedaldi 2015; He et al.
//! 2019 in split inference).
//!
//! Every sample is searched for alone, so the result of one does not depend on the others.

use serde::{Deserialize, Serialize};

use super::{Guess, Leaked, Seen};
use crate::model::Network;
use crate::nn::{self, Mode, ModelSpec};
use crate::privacy::descend::{Best, Descent, Progress};
use crate::privacy::prior::{l2, total_variation};
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// Minimises `|f(x) - f0|^2 / |f0|^2 + tv TV(x) + l2 |x - middle|^2` by Adam within the box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Features {
    /// Steps of a start.
    pub steps: usize,
    /// Step size in units of the range of values.
    pub lr: f64,
    /// Weight of the total variation.
    pub tv: f64,
    /// Weight of the squared distance from the middle of the range.
    pub l2: f64,
    /// Starts; for each sample the one of the smallest objective counts.
    pub restarts: usize,
}

impl Default for Features {
    fn default() -> Self {
        Features { steps: 500, lr: 0.05, tv: 1e-3, l2: 0.0, restarts: 1 }
    }
}

/// The values `[N, ...]` behind the first `depth` layers of a network; all of them give the logits.
///
/// # Errors
/// The network has fewer layers, `depth` is 0, or `x` does not fit.
pub fn features(network: &Network, x: &Tensor, depth: usize) -> Result<Tensor> {
    let spec = network.spec();
    if depth == 0 || depth > spec.layers.len() {
        let layers = spec.layers.len();
        bail!(Config, "features: layer {depth} of a network of {layers}; give 1 to {layers}");
    }
    let first = ModelSpec { layers: spec.layers[..depth].to_vec(), ..spec.clone() };
    nn::forward(&first, network.params(), x, &mut Mode::Eval)
}

impl Features {
    pub(super) fn check(&self) -> Result<Descent> {
        for (name, value) in [("tv", self.tv), ("l2", self.l2)] {
            if !(value >= 0.0 && value.is_finite()) {
                bail!(Config, "features: {name} = {value} must not be negative, say 0.001");
            }
        }
        if self.restarts == 0 {
            bail!(Config, "features: restarts = 0 leaves no start; give at least 1");
        }
        let descent = Descent { steps: self.steps, lr: self.lr, signed: false, decay: true };
        descent.check("features")?;
        Ok(descent)
    }

    pub(super) fn run(&self, seen: &Seen<'_>, rng: &Rng, progress: Progress<'_>) -> Result<Guess> {
        let Leaked::Features { depth, values: target } = &seen.leaked else {
            bail!(Usage, "features: it needs the outputs of a layer; what was seen is not that");
        };
        let (network, depth) = (seen.network, *depth);
        let bounds = network.spec().bounds;
        let size = target.square().sum_per_sample();
        // Outputs that are all zero still have a distance.
        let size = size.maximum(&size.scalar(1e-12));
        let mut objective = |x: &Tensor| {
            let distance = (features(network, x, depth)? - target).square().sum_per_sample();
            Ok(distance / &size + total_variation(x) * self.tv + l2(x, bounds) * self.l2)
        };
        let descent = self.check()?;
        let mut best: Option<Best> = None;
        for restart in 0..self.restarts {
            let start = seen.uniform(&rng.index(restart as u64))?;
            let (before, total) = (restart * self.steps, self.restarts * self.steps);
            let mut heard = |step, _| progress(before + step, total);
            let next = descent.minimise(&start, bounds, &mut objective, &mut heard)?;
            best = Some(match best {
                Some(best) => best.or(next)?,
                None => next,
            });
        }
        let Some(best) = best else { bail!(Config, "features: restarts = 0 leaves no start") };
        let objective = best.values.iter().sum::<f64>() / best.values.len().max(1) as f64;
        Ok(Guess { x: best.x, labels: None, objective })
    }
}
