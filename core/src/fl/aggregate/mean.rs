//! Federated averaging (McMahan et al. 2017, algorithm 1): the mean of the updates, weighted by samples.

use super::super::update::{Update, add_scaled};
use crate::{Result, bail};

/// A weighted sum that holds none of its terms.
#[derive(Debug, Clone, Default)]
pub struct Sum {
    values: Vec<f64>,
    weight: f64,
}

impl Sum {
    /// Adds `weight` times `values`.
    pub fn add(&mut self, weight: f64, values: &[f64]) {
        if self.values.is_empty() {
            self.values = vec![0.0; values.len()];
        }
        add_scaled(&mut self.values, weight, values);
        self.weight += weight;
    }

    /// The sum; empty where nothing was added.
    pub fn into_values(self) -> Vec<f64> {
        self.values
    }

    /// The sum over the weights.
    ///
    /// # Errors
    /// Nothing of positive weight was added.
    pub fn mean(self) -> Result<Vec<f64>> {
        if self.weight.is_nan() || self.weight <= 0.0 {
            bail!(Data, "federation: the mean of updates whose weights sum up to {}", self.weight);
        }
        Ok(self.values.into_iter().map(|v| v / self.weight).collect())
    }
}

pub(super) fn mean(updates: &[Update], uniform: bool) -> Result<Vec<f64>> {
    let mut sum = Sum::default();
    for update in updates {
        sum.add(if uniform { 1.0 } else { update.samples as f64 }, &update.delta);
    }
    sum.mean()
}
