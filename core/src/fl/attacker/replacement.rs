//! Model replacement with a backdoor (Bagdasaryan et al. 2020, "How to backdoor federated learning",
//! equation 3): the update is boosted by what the mean divides by, so that the model of the attacker
//! is what the server has after the round. It does its task, and knows the trigger.

use super::Trigger;
use crate::data::Dataset;
use crate::rng::Rng;

/// A share of the samples, at least one, with the trigger and the label `target`.
pub(super) fn poisoned(
    mut data: Dataset,
    share: f64,
    trigger: &Trigger,
    target: usize,
    rng: &Rng,
) -> Dataset {
    let count = ((share * data.len() as f64).ceil() as usize).clamp(1, data.len());
    let each: usize = data.shape.iter().product();
    for row in rng.child("poisoned").choose(data.len(), count) {
        let sample = &mut data.features[row * each..(row + 1) * each];
        trigger.put(sample, &data.shape, data.bounds.1);
        data.labels[row] = target as i64;
    }
    data
}

pub(super) fn boost(delta: &mut [f64], boost: f64) {
    delta.iter_mut().for_each(|value| *value *= boost);
}
