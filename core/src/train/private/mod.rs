//! Differentially private training (Abadi et al. 2016): each sample's gradient is clipped, their sum
//! gets Gaussian noise, and the optimiser sees nothing else.
//!
//! It composes with the rules of training rather than being one of them: a rule gives every sample a
//! loss, and what is done with the losses is the loop's choice. [`Private`] is the configuration;
//! the parts are how gradients are clipped ([`Clipping`]), how the noise changes ([`NoiseSchedule`]),
//! what may not be combined (`lemma`), one step (`step`), and what it all cost (`account`).
//!
//! What the noise is drawn from, which samples a batch has, and what attacks and dropout draw must stay secret:
//! all of it comes from `secret` and nowhere else.

mod account;
mod average;
mod clipping;
mod lemma;
mod schedule;
mod secret;
mod step;

use serde::{Deserialize, Serialize};

pub use clipping::Clipping;
pub use schedule::NoiseSchedule;
pub(super) use step::{PrivateRun, Sums};

use super::{CheckedRule, TrainConfig};
use crate::dp::accounting::Sampling;
use crate::{Result, bail};

/// How a training is made differentially private.
///
/// The batch size of the training is the expected size of a batch, which is drawn anew for each step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Private {
    /// Standard deviation of the noise in units of the clipping norm, in the first epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_multiplier: Option<f64>,
    /// Epsilon that the training may spend, in place of a noise multiplier: the smallest one that
    /// keeps within it is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Probability with which the bound may fail, in (0, 1): well below one over the samples.
    pub delta: f64,
    /// How each sample's gradient is bounded.
    pub clipping: Clipping,
    /// How the noise changes from epoch to epoch.
    pub schedule: NoiseSchedule,
    /// How batches are drawn. Only Poisson sampling is what is accounted.
    pub sampling: Sampling,
    /// Samples that are on the device at a time: batches are worked through in portions of this size,
    /// and noise is added to the sum. By default as many as fit into 64 MiB with what is held of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,
    /// Decay of an exponential moving average of the weights, in (0, 1), which is then what is
    /// released. It costs no privacy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    /// Whether noise, batches, attacks and dropout follow from the seed of the training, so that it repeats, and
    /// is not private. By default they come from the operating system.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub seeded: bool,
}

impl Default for Private {
    fn default() -> Self {
        Private {
            noise_multiplier: None,
            epsilon: None,
            delta: 1e-5,
            clipping: Clipping::default(),
            schedule: NoiseSchedule::Constant {},
            sampling: Sampling::Poisson,
            micro_batch: None,
            average: None,
            seeded: false,
        }
    }
}

impl Private {
    /// The noise and the clipping: `noise 1.1, flat clipping at 1`.
    pub fn describe(&self) -> String {
        let noise = match (self.noise_multiplier, self.epsilon) {
            (Some(sigma), _) => format!("noise {sigma}"),
            (None, epsilon) => format!("noise for epsilon {}", epsilon.unwrap_or(f64::NAN)),
        };
        let (kind, bound) = (self.clipping.name(), self.clipping.bound());
        format!("{noise}, {kind} clipping at {bound}")
    }

    /// Checks every constant, and that the rule gives each sample a loss of its own.
    ///
    /// # Errors
    /// Names the constant or the rule, and what to do.
    pub(super) fn check(&self, train: &TrainConfig, rule: &CheckedRule) -> Result<()> {
        self.check_noise()?;
        let delta = self.delta;
        if !(delta > 0.0 && delta < 1.0) {
            bail!(
                Config,
                "private: delta = {delta} must be in (0, 1), well below one over the samples"
            );
        }
        if self.micro_batch == Some(0) {
            bail!(
                Config,
                "private: micro_batch = 0 must be at least 1; remove it for the usual size"
            );
        }
        if let Some(decay) = self.average
            && !(decay > 0.0 && decay < 1.0)
        {
            bail!(Config, "private: average = {decay} must be in (0, 1), say 0.99");
        }
        self.clipping.check()?;
        self.schedule.check()?;
        if let Some(sigma) = self.noise_multiplier {
            self.clipping.gradient_noise(sigma, train.batch_size as f64)?;
        }
        lemma::check(rule, train.rule.name())
    }

    fn check_noise(&self) -> Result<()> {
        let positive = |name: &str, value: f64| -> Result<()> {
            if !(value > 0.0 && value.is_finite()) {
                bail!(
                    Config,
                    "private: {name} = {value} must be positive and finite; to train without privacy, \
                     remove the section"
                );
            }
            Ok(())
        };
        match (self.noise_multiplier, self.epsilon) {
            (Some(sigma), None) => positive("noise_multiplier", sigma),
            (None, Some(epsilon)) => positive("epsilon", epsilon),
            (None, None) => bail!(
                Config,
                "private: how much noise? set noise_multiplier, say 1.0, or epsilon, say 3.0"
            ),
            (Some(_), Some(_)) => bail!(
                Config,
                "private: noise_multiplier and epsilon both say how much noise; remove one"
            ),
        }
    }
}
