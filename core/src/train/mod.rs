//! Training: a rule (what a step does with a batch), an optimiser, a schedule, and the loop.
//!
//! The accuracy on held-out data, clean and under an attack, is part of every epoch: a model that
//! only learnt the attack it was trained on shows up here first.

mod fit;
mod rule;
mod schedule;

use serde::{Deserialize, Serialize};

pub use crate::report::EpochRecord;
pub use fit::{Observer, fit};
pub use rule::{Batch, CheckedRule, Rule};
pub use schedule::Schedule;

use crate::attack::AttackConfig;
use crate::optim::OptimizerConfig;
use crate::{Result, bail};

/// How a model is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training data.
    pub epochs: usize,
    /// Samples per step.
    pub batch_size: usize,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// How its learning rate changes over training.
    pub schedule: Schedule,
    /// What a step trains on.
    pub rule: Rule,
    /// The attack of the robust accuracy on held-out data after each epoch; none by default.
    pub monitor: Option<AttackConfig>,
    /// Held-out samples that the monitor attacks.
    pub monitor_samples: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            epochs: 10,
            batch_size: 128,
            optimizer: OptimizerConfig::default(),
            schedule: Schedule::Constant {},
            rule: Rule::Standard {},
            monitor: None,
            monitor_samples: 200,
        }
    }
}

impl TrainConfig {
    /// Checks every constant.
    ///
    /// # Errors
    /// Names the one that is out of range.
    pub fn check(&self) -> Result<()> {
        if self.epochs == 0 || self.batch_size == 0 {
            let (epochs, batch) = (self.epochs, self.batch_size);
            bail!(Config, "train: epochs = {epochs} and batch_size = {batch} must be at least 1");
        }
        if self.monitor.is_some() && self.monitor_samples == 0 {
            bail!(
                Config,
                "train: monitor_samples = 0 leaves nothing to monitor; remove the monitor"
            );
        }
        self.optimizer.check()?;
        self.schedule.check()?;
        self.rule.check()?;
        self.monitor.as_ref().map_or(Ok(()), |a| a.check().map(|_| ()))
    }
}
