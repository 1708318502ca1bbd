//! What is seen of a batch of records, with or without the clipping and noise of private training in
//! between.

use serde::{Deserialize, Serialize};

use super::matching::{Target, gradients};
use super::{Leaked, Method, features};
use crate::dp::ghost::PerSample;
use crate::dp::mechanism::Mechanism;
use crate::loss::cross_entropy;
use crate::model::Network;
use crate::nn::{Mode, Params};
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// Clipping of each record's gradient and Gaussian noise on the sum, as in a step of DP-SGD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Defence {
    /// Largest norm of a record's gradient, C.
    pub clip: f64,
    /// Standard deviation of the noise in units of C.
    pub noise_multiplier: f64,
}

impl Defence {
    /// Checks the constants.
    ///
    /// # Errors
    /// Names the one that is out of range.
    pub fn check(&self) -> Result<()> {
        self.mechanism(1).check()
    }

    fn mechanism(&self, batch: usize) -> Mechanism {
        let Defence { clip: bound, noise_multiplier } = *self;
        Mechanism { bound, noise_multiplier, expected_batch: batch as f64 }
    }
}

/// What `method` attacks, of the records `x` with classes `y`; the outputs of the first `depth` layers
/// where it attacks those (all layers if absent).
///
/// # Errors
/// A constant is out of range, outputs are to be defended, or the device failed.
pub fn observe(
    method: &Method,
    network: &Network,
    (x, y): (&Tensor, &Tensor),
    depth: Option<usize>,
    defence: Option<&Defence>,
    rng: &Rng,
) -> Result<Leaked> {
    let step = |params: &Params, (at, n): (usize, usize), step: u64| {
        let (x, y) = (x.narrow(0, at, n), y.narrow(0, at, n));
        match defence {
            None => gradients(network, params, &x, &Target::Classes(y), false),
            Some(defence) => {
                let logits = network.forward(params, &x, &mut Mode::Eval)?;
                let each = PerSample::of(&cross_entropy(&logits, &y), &params.values())?;
                defence.mechanism(n).mean(&each, &rng.index(step))
            }
        }
    };
    Ok(match method {
        Method::Features(_) => {
            if defence.is_some() {
                bail!(
                    Config,
                    "features: clipping and noise are of gradients, and outputs have none; leave \
                     them out"
                );
            }
            let depth = depth.unwrap_or(network.spec().layers.len());
            Leaked::Features { depth, values: features(network, x, depth)? }
        }
        Method::Updates(updates) => {
            let mut count = 0;
            let mut by = |params: &Params, part| {
                count += 1;
                step(params, part, count)
            };
            updates.local.check()?;
            Leaked::Update(updates.local.run(network.params(), x.dim(0), false, &mut by)?)
        }
        _ => Leaked::Gradient(step(&network.params().tracked(), (0, x.dim(0)), 0)?),
    })
}
