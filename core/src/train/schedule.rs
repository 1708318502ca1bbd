//! How the learning rate changes over training.

use serde::{Deserialize, Serialize};

use crate::{Result, bail};

/// A factor on the optimiser's learning rate, as a function of the share of training done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Always 1.
    Constant {},
    /// Multiplied by `factor` at each share of training in `at`.
    Steps {
        /// Shares of training, each in (0, 1).
        at: Vec<f64>,
        /// The factor, in (0, 1].
        factor: f64,
    },
    /// Grows from 0 to 1 until the share `peak`, then falls to 0: the schedule of Wong et al. 2020.
    Triangle {
        /// Share of training at which the rate is largest, in (0, 1).
        peak: f64,
    },
}

impl Schedule {
    /// The factor when the share `t` in [0, 1] of training is done.
    pub fn factor(&self, t: f64) -> f64 {
        match self {
            Schedule::Constant {} => 1.0,
            Schedule::Steps { at, factor } => {
                factor.powi(at.iter().filter(|&&a| t >= a).count() as i32)
            }
            Schedule::Triangle { peak } => (t / peak).min((1.0 - t) / (1.0 - peak)).max(0.0),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let inside = |t: f64| t > 0.0 && t < 1.0;
        match self {
            Schedule::Constant {} => Ok(()),
            Schedule::Steps { at, factor } => {
                let factor_fits = *factor > 0.0 && *factor <= 1.0;
                if !(factor_fits && at.iter().all(|&t| inside(t))) {
                    bail!(Config, "schedule: at = {at:?} and factor = {factor} must be in (0, 1)");
                }
                Ok(())
            }
            Schedule::Triangle { peak } if inside(*peak) => Ok(()),
            Schedule::Triangle { peak } => {
                bail!(Config, "schedule: peak = {peak} must be in (0, 1)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors() {
        let steps = Schedule::Steps { at: vec![0.5, 0.75], factor: 0.1 };
        assert_eq!(steps.factor(0.4), 1.0);
        assert_eq!(steps.factor(0.5), 0.1);
        assert!((steps.factor(0.9) - 0.01).abs() < 1e-12);
        let triangle = Schedule::Triangle { peak: 0.4 };
        assert_eq!(
            [triangle.factor(0.2), triangle.factor(0.4), triangle.factor(1.0)],
            [0.5, 1.0, 0.0]
        );
    }
}
