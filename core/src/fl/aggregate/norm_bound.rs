//! Norm bounding (Sun et al. 2019, "Can you really backdoor federated learning?", section 4): an update
//! that is longer than the bound is scaled down to it, then the mean by samples. A boosted update, as
//! model replacement sends one, then weighs no more than another.

use super::super::update::Update;
use super::mean::Sum;
use super::median::middle;
use crate::Result;

pub(super) fn norm_bound(updates: &[Update], bound: Option<f64>) -> Result<Vec<f64>> {
    let norms: Vec<f64> = updates.iter().map(Update::norm).collect();
    let bound = bound.unwrap_or_else(|| middle(&mut norms.clone()));
    let mut sum = Sum::default();
    let mut weights = 0.0;
    for (update, norm) in updates.iter().zip(&norms) {
        let samples = update.samples as f64;
        weights += samples;
        sum.add(samples * factor(*norm, bound), &update.delta);
    }
    Ok(sum.into_values().into_iter().map(|v| v / weights).collect())
}

/// `min(1, bound / norm)`.
fn factor(norm: f64, bound: f64) -> f64 {
    if norm > bound { bound / norm } else { 1.0 }
}
