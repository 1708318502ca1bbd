//! The coordinate-wise trimmed mean (Yin et al. 2018, definition 2), its share given as a number of
//! clients.

use super::super::update::Update;
use super::{by_coordinate, deltas};

pub(super) fn trimmed_mean(updates: &[Update], byzantine: usize) -> Vec<f64> {
    by_coordinate(&deltas(updates), |values| {
        values.sort_unstable_by(f64::total_cmp);
        let kept = &values[byzantine..values.len() - byzantine];
        kept.iter().sum::<f64>() / kept.len() as f64
    })
}
