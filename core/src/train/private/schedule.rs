//! How the noise changes over training.
//!
//! By epochs, not by steps: each epoch is then one mechanism to the accountants, which is what keeps
//! the exact accounting of a long run cheap.

use serde::{Deserialize, Serialize};

use crate::{Result, bail};

/// The noise multiplier as a function of the epoch, in terms of that of the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum NoiseSchedule {
    /// Always the same.
    Constant {},
    /// Multiplied by `factor` after each epoch.
    Exponential {
        /// The factor, in (0, 1].
        factor: f64,
    },
    /// Multiplied by `factor` after every `epochs` epochs.
    Steps {
        /// Epochs between two changes.
        epochs: usize,
        /// The factor, in (0, 1].
        factor: f64,
    },
}

impl NoiseSchedule {
    /// What the noise multiplier is multiplied with in epoch `epoch`, counted from 1.
    pub fn factor(&self, epoch: usize) -> f64 {
        let before = epoch.saturating_sub(1);
        let power = |factor: f64, times: usize| factor.powf(times as f64);
        match *self {
            NoiseSchedule::Constant {} => 1.0,
            NoiseSchedule::Exponential { factor } => power(factor, before),
            NoiseSchedule::Steps { epochs, factor } => power(factor, before / epochs.max(1)),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let (epochs, factor) = match *self {
            NoiseSchedule::Constant {} => return Ok(()),
            NoiseSchedule::Exponential { factor } => (1, factor),
            NoiseSchedule::Steps { epochs, factor } => (epochs, factor),
        };
        if epochs == 0 {
            bail!(Config, "private: schedule: epochs = 0 must be at least 1");
        }
        if !(factor > 0.0 && factor <= 1.0) {
            bail!(Config, "private: schedule: factor = {factor} must be in (0, 1]");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors() {
        let of = |schedule: NoiseSchedule| [1, 2, 3, 5].map(|epoch| schedule.factor(epoch));
        assert_eq!(of(NoiseSchedule::Constant {}), [1.0; 4]);
        assert_eq!(of(NoiseSchedule::Exponential { factor: 0.5 }), [1.0, 0.5, 0.25, 0.0625]);
        assert_eq!(of(NoiseSchedule::Steps { epochs: 2, factor: 0.5 }), [1.0, 1.0, 0.5, 0.25]);
    }

    #[test]
    fn what_is_no_decay_is_refused() {
        for factor in [0.0, -1.0, 1.5, f64::NAN] {
            assert!(NoiseSchedule::Exponential { factor }.check().is_err(), "{factor}");
        }
        assert!(NoiseSchedule::Steps { epochs: 0, factor: 0.5 }.check().is_err());
    }
}
