//! How the server makes one step of the updates of a round.
//!
//! A rule is data ([`Aggregate`]) and a function of the updates, which come sorted by client, so that
//! the same updates give the same bits. Means add up as updates come and hold none of them; rules
//! that compare clients need all of a round at once. What the server does with the step, momentum
//! and the like, is another choice ([`super::ServerOptimizer`]).

mod bulyan;
mod geometric_median;
mod krum;
mod mean;
mod median;
mod norm_bound;
mod slack;
mod trimmed_mean;

use serde::{Deserialize, Serialize};

pub use mean::Sum;

use super::update::Update;
use crate::{Result, bail};

/// How updates become one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Aggregate {
    /// The mean, weighted by samples (McMahan et al. 2017, algorithm 1), or not.
    Mean {
        /// Whether every client weighs the same.
        #[serde(default)]
        uniform: bool,
    },
    /// The median of each coordinate (Yin et al. 2018, option I).
    Median {},
    /// The mean of each coordinate without the `byzantine` largest and smallest values (Yin et al.
    /// 2018, option II).
    TrimmedMean {
        /// Clients that may send anything.
        byzantine: usize,
    },
    /// The update closest to its neighbours (Blanchard et al. 2017, section 4).
    Krum {
        /// Clients that may send anything.
        byzantine: usize,
    },
    /// The mean of the updates that Krum likes best (Blanchard et al. 2017, section 5).
    MultiKrum {
        /// Clients that may send anything.
        byzantine: usize,
        /// How many; `n - byzantine - 2` of n if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep: Option<usize>,
    },
    /// Krum again and again, then for each coordinate the mean of the values closest to the median (El
    /// Mhamdi et al. 2018, section 4).
    Bulyan {
        /// Clients that may send anything.
        byzantine: usize,
    },
    /// The point whose distances to the updates, weighted by samples, sum up to the least, by the
    /// smoothed Weiszfeld algorithm (Pillutla et al. 2022, algorithm 2).
    GeometricMedian {
        /// Iterations.
        #[serde(default = "iterations")]
        iterations: usize,
        /// Distances count as at least this.
        #[serde(default = "smoothing")]
        smoothing: f64,
    },
    /// The mean of updates scaled down to a norm (Sun et al. 2019, section 4).
    NormBound {
        /// The norm; the median of those of the round if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bound: Option<f64>,
    },
    /// The mean with more weight on clients of small loss: `(1 + slack) / (1 - slack)` for the
    /// share `kept` of them, 1 for the others (Zhu et al. 2023, SFAT, equation 4).
    Slack {
        /// alpha, in [0, 1); 1/6 in the paper.
        #[serde(default = "slack")]
        slack: f64,
        /// Share of the clients with more weight, rounded up; a fifth in the paper.
        #[serde(default = "kept")]
        kept: f64,
    },
}

fn iterations() -> usize {
    100
}

fn smoothing() -> f64 {
    1e-6
}

fn slack() -> f64 {
    1.0 / 6.0
}

fn kept() -> f64 {
    0.2
}

impl Default for Aggregate {
    fn default() -> Self {
        Aggregate::Mean { uniform: false }
    }
}

impl Aggregate {
    /// The geometric median at its usual constants.
    pub fn geometric_median() -> Self {
        Aggregate::GeometricMedian { iterations: iterations(), smoothing: smoothing() }
    }

    /// The re-weighting at its usual constants.
    pub fn slack() -> Self {
        Aggregate::Slack { slack: slack(), kept: kept() }
    }

    /// One line for tables: `multi-Krum, 2 Byzantine`.
    pub fn describe(&self) -> String {
        match self {
            Aggregate::Mean { uniform: false } => "mean by samples".into(),
            Aggregate::Mean { uniform: true } => "mean".into(),
            Aggregate::Median {} => "median".into(),
            Aggregate::TrimmedMean { byzantine } => format!("trimmed mean, {byzantine} Byzantine"),
            Aggregate::Krum { byzantine } => format!("Krum, {byzantine} Byzantine"),
            Aggregate::MultiKrum { byzantine, .. } => format!("multi-Krum, {byzantine} Byzantine"),
            Aggregate::Bulyan { byzantine } => format!("Bulyan, {byzantine} Byzantine"),
            Aggregate::GeometricMedian { .. } => "geometric median".into(),
            Aggregate::NormBound { bound: Some(bound) } => format!("mean, norm bound {bound}"),
            Aggregate::NormBound { bound: None } => "mean, norm bound at the median".into(),
            Aggregate::Slack { slack, .. } => format!("slack {slack:.3}"),
        }
    }

    /// Sets the number of Byzantine clients, of rules that count on one.
    ///
    /// # Errors
    /// The rule does not.
    pub fn set_byzantine(&mut self, count: usize) -> Result<()> {
        match self {
            Aggregate::TrimmedMean { byzantine }
            | Aggregate::Krum { byzantine }
            | Aggregate::MultiKrum { byzantine, .. }
            | Aggregate::Bulyan { byzantine } => *byzantine = count,
            other => bail!(
                Config,
                "federation: {} counts on no number of Byzantine clients; choose trimmed_mean, krum, \
                 multi_krum or bulyan",
                other.describe()
            ),
        }
        Ok(())
    }

    /// The fewest updates that the rule is defined for, and the condition in words.
    pub fn needs(&self) -> (usize, &'static str) {
        match *self {
            Aggregate::TrimmedMean { byzantine: f } => (2 * f + 1, "n >= 2 f + 1"),
            Aggregate::Krum { byzantine: f } | Aggregate::MultiKrum { byzantine: f, .. } => {
                (2 * f + 3, "n >= 2 f + 3")
            }
            Aggregate::Bulyan { byzantine: f } => (4 * f + 3, "n >= 4 f + 3"),
            _ => (1, "n >= 1"),
        }
    }

    /// Whether clients weigh by what the server can only take their word for.
    pub fn is_mean(&self) -> bool {
        matches!(self, Aggregate::Mean { .. })
    }

    /// Checks every constant, for rounds of `clients` updates.
    ///
    /// # Errors
    /// Names the constant, or the number of clients that the rule needs.
    pub fn check(&self, clients: usize) -> Result<()> {
        let (least, condition) = self.needs();
        if clients < least {
            bail!(
                Config,
                "federation: {} needs {condition}, so at least {least} updates a round, and there are \
                 {clients}; sample more clients or count on fewer Byzantine ones",
                self.describe()
            );
        }
        match *self {
            Aggregate::MultiKrum { byzantine, keep: Some(keep) } => {
                let most = clients - byzantine - 2;
                if keep == 0 || keep > most {
                    bail!(
                        Config,
                        "federation: keep = {keep} must be in 1..={most}, which is n - f - 2"
                    );
                }
            }
            Aggregate::GeometricMedian { iterations, smoothing }
                if iterations == 0 || !(smoothing > 0.0 && smoothing.is_finite()) =>
            {
                bail!(
                    Config,
                    "federation: iterations = {iterations} and smoothing = {smoothing} must be positive"
                )
            }
            Aggregate::NormBound { bound: Some(bound) } if !(bound > 0.0 && bound.is_finite()) => {
                bail!(Config, "federation: bound = {bound} must be positive and finite")
            }
            Aggregate::Slack { slack, kept }
                if !((0.0..1.0).contains(&slack) && kept > 0.0 && kept <= 1.0) =>
            {
                bail!(
                    Config,
                    "federation: slack = {slack} must be in [0, 1) and kept = {kept} in (0, 1]"
                )
            }
            _ => {}
        }
        Ok(())
    }

    /// One update of those of a round, sorted by client.
    ///
    /// # Errors
    /// There are fewer than the rule needs, they differ in length, or lack the losses that it reads.
    pub fn combine(&self, updates: &[Update]) -> Result<Vec<f64>> {
        let (least, condition) = self.needs();
        if updates.len() < least {
            let n = updates.len();
            bail!(Data, "federation: {n} updates where {condition} is needed, at least {least}");
        }
        let length = updates[0].delta.len();
        if let Some(other) = updates.iter().find(|u| u.delta.len() != length) {
            let got = other.delta.len();
            bail!(Shape, "federation: an update of {got} values beside one of {length}");
        }
        match *self {
            Aggregate::Mean { uniform } => mean::mean(updates, uniform),
            Aggregate::Median {} => Ok(median::median(updates)),
            Aggregate::TrimmedMean { byzantine } => {
                Ok(trimmed_mean::trimmed_mean(updates, byzantine))
            }
            Aggregate::Krum { byzantine } => krum::multi_krum(updates, byzantine, 1),
            Aggregate::MultiKrum { byzantine, keep } => {
                let most = updates.len() - byzantine - 2;
                krum::multi_krum(updates, byzantine, keep.unwrap_or(most).min(most))
            }
            Aggregate::Bulyan { byzantine } => Ok(bulyan::bulyan(updates, byzantine)),
            Aggregate::GeometricMedian { iterations, smoothing } => {
                geometric_median::geometric_median(updates, iterations, smoothing)
            }
            Aggregate::NormBound { bound } => norm_bound::norm_bound(updates, bound),
            Aggregate::Slack { slack, kept } => slack::slack(updates, slack, kept),
        }
    }
}

/// Applies `f` to the values of each coordinate over all updates, in the order of the clients.
fn by_coordinate(vectors: &[&[f64]], mut f: impl FnMut(&mut [f64]) -> f64) -> Vec<f64> {
    let length = vectors.first().map_or(0, |v| v.len());
    let mut column = vec![0.0; vectors.len()];
    (0..length)
        .map(|i| {
            column.iter_mut().zip(vectors).for_each(|(value, vector)| *value = vector[i]);
            f(&mut column)
        })
        .collect()
}

fn deltas(updates: &[Update]) -> Vec<&[f64]> {
    updates.iter().map(|u| &u.delta[..]).collect()
}

#[cfg(test)]
mod tests;
