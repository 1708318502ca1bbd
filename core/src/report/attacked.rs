//! What an attack did in detail: class by class, and what it asked of the model.

use serde::{Deserialize, Serialize};

/// One class under one attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttackedClass {
    /// Name of the class.
    pub name: String,
    /// Samples of the class that were attacked.
    pub support: u64,
    /// Of these, the fraction right both before and after; absent without samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robust_accuracy: Option<f64>,
    /// Of those right before, the fraction wrong after; absent where none was right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<f64>,
    /// The wrong class that turned samples are taken for most often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_for: Option<WrongClass>,
}

/// A class that samples of another are taken for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrongClass {
    /// Its name.
    pub name: String,
    /// Of the turned samples, the fraction taken for it.
    pub share: f64,
}

/// Queries a sample of an attack that asks a different number for each. Samples that reached the goal
/// unperturbed are not asked about, and not counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QueryCounts {
    /// Samples asked about.
    pub samples: u64,
    /// Mean over them, fooled or not.
    pub mean: f64,
    /// Median over them.
    pub median: f64,
    /// The most for one.
    pub max: u64,
    /// The same of the samples that were fooled. An attack that stops at success asked so many until
    /// then; one that goes on to shrink its perturbation asks what its budget allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fooled: Option<FooledQueries>,
}

/// Queries a sample of those that were fooled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FooledQueries {
    /// Samples fooled.
    pub samples: u64,
    /// Mean queries.
    pub mean: f64,
    /// Median queries.
    pub median: f64,
    /// The most for one.
    pub max: u64,
}

impl QueryCounts {
    /// Of the queries of each sample, and whether it was fooled. `None` without samples.
    pub fn new(asked: impl Iterator<Item = (u64, bool)>) -> Option<Self> {
        let asked: Vec<(u64, bool)> = asked.collect();
        let (samples, mean, median, max) = summary(asked.iter().map(|(count, _)| *count))?;
        let fooled = asked.iter().filter(|(_, fooled)| *fooled).map(|(count, _)| *count);
        let fooled = summary(fooled).map(|(samples, mean, median, max)| FooledQueries {
            samples,
            mean,
            median,
            max,
        });
        Some(QueryCounts { samples, mean, median, max, fooled })
    }
}

/// Number, mean, median (mean of the middle two of an even number) and largest.
fn summary(counts: impl Iterator<Item = u64>) -> Option<(u64, f64, f64, u64)> {
    let mut sorted: Vec<u64> = counts.collect();
    sorted.sort_unstable();
    let (&max, n) = (sorted.last()?, sorted.len());
    let mean = sorted.iter().sum::<u64>() as f64 / n as f64;
    let median = f64::midpoint(sorted[(n - 1) / 2] as f64, sorted[n / 2] as f64);
    Some((n as u64, mean, median, max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_made_by_hand() {
        let counts = QueryCounts::new([(4, true), (10, false), (1, true), (10, false)].into_iter());
        let fooled = FooledQueries { samples: 2, mean: 2.5, median: 2.5, max: 4 };
        let all =
            QueryCounts { samples: 4, mean: 6.25, median: 7.0, max: 10, fooled: Some(fooled) };
        assert_eq!(counts, Some(all));
        assert_eq!(QueryCounts::new([].into_iter()), None);
        assert_eq!(QueryCounts::new([(3, false)].into_iter()).unwrap().fooled, None);
    }
}
