//! Krum and Multi-Krum (Blanchard et al. 2017): an update is judged by its squared distances to the
//! `n - f - 2` others that are closest, and those that are judged best are taken.

use super::super::update::{Update, squared_distance};
use super::mean::Sum;
use crate::Result;

/// The mean of the `keep` best updates; Krum with one. Of equals the first client is better.
pub(super) fn multi_krum(updates: &[Update], byzantine: usize, keep: usize) -> Result<Vec<f64>> {
    let distances = distances(updates);
    let all: Vec<usize> = (0..updates.len()).collect();
    let scores = scores(&distances, &all, byzantine);
    let mut order = all;
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut best = order[..keep].to_vec();
    best.sort_unstable();
    let mut sum = Sum::default();
    best.iter().for_each(|&i| sum.add(1.0, &updates[i].delta));
    sum.mean()
}

/// Squared distances of all pairs.
pub(super) fn distances(updates: &[Update]) -> Vec<Vec<f64>> {
    let n = updates.len();
    let mut distances = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..i {
            let d = squared_distance(&updates[i].delta, &updates[j].delta);
            (distances[i][j], distances[j][i]) = (d, d);
        }
    }
    distances
}

/// For each of `among`, the sum of the distances to the closest others of them: `n - f - 2` of n, and
/// at least one.
pub(super) fn scores(distances: &[Vec<f64>], among: &[usize], byzantine: usize) -> Vec<f64> {
    let neighbours = among.len().saturating_sub(byzantine + 2).max(1);
    let score = |&i: &usize| {
        let others = among.iter().filter(|&&j| j != i);
        let mut to: Vec<f64> = others.map(|&j| distances[i][j]).collect();
        to.sort_unstable_by(f64::total_cmp);
        to.iter().take(neighbours).sum()
    };
    among.iter().map(score).collect()
}
