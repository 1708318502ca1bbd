//! Training: a rule (what a step does with a batch), an optimiser, a schedule, and the loop; and what
//! makes any of it differentially private.
//!
//! The accuracy on held-out data, clean and under an attack, is part of every epoch: a model that
//! only learnt the attack it was trained on shows up here first.

mod batches;
mod fit;
mod monitor;
mod overfitting;
mod private;
mod rule;
mod run;
mod schedule;
mod state;

use serde::{Deserialize, Serialize};

pub use crate::report::EpochRecord;
pub(crate) use fit::fit_local;
pub use fit::{Observer, Ready, Trained, fit, resume};
pub use overfitting::warnings;
pub use private::{Clipping, NoiseSchedule, Private};
pub(crate) use rule::Local;
pub use rule::{Batch, CheckedRule, RAMP, RULES, Rule, RuleEntry};
pub use schedule::Schedule;
pub use state::State;

use crate::attack::AttackConfig;
use crate::optim::OptimizerConfig;
use crate::{Result, bail};

/// How a model is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training data.
    pub epochs: usize,
    /// Samples per step; their expected number under Poisson sampling.
    pub batch_size: usize,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// How its learning rate changes over training.
    pub schedule: Schedule,
    /// What a step trains on.
    pub rule: Rule,
    /// The attack of the robust accuracy on held-out data after each epoch; none by default. A single
    /// step tells nothing of what single steps have taught: see [`Rule::usual_monitor`].
    pub monitor: Option<AttackConfig>,
    /// Held-out samples that the monitor attacks.
    pub monitor_samples: usize,
    /// Differential privacy; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private: Option<Private>,
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
            private: None,
        }
    }
}

impl TrainConfig {
    /// One line for tables: the rule, and the noise of private training.
    pub fn describe(&self) -> String {
        let rule = self.rule.describe();
        self.private.as_ref().map_or(rule.clone(), |p| format!("{rule}, {}", p.describe()))
    }

    /// Checks what depends on the number of training samples; [`fit`] does so too.
    ///
    /// # Errors
    /// Private training with a batch larger than the data.
    pub fn check_for(&self, samples: usize) -> Result<()> {
        if self.private.is_some() && self.batch_size > samples {
            let size = self.batch_size;
            bail!(
                Config,
                "private: batch_size = {size} is more than the {samples} training samples; lower it"
            );
        }
        Ok(())
    }

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
        let rule = self.rule.check()?;
        if let Some(private) = &self.private {
            private.check(self, &rule)?;
        }
        self.monitor.as_ref().map_or(Ok(()), |a| a.check().map(|_| ()))
    }
}
