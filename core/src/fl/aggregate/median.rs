//! The coordinate-wise median (Yin et al. 2018, definition 1).

use super::super::update::Update;
use super::{by_coordinate, deltas};

pub(super) fn median(updates: &[Update]) -> Vec<f64> {
    by_coordinate(&deltas(updates), middle)
}

/// The median of some values, which it sorts; the mean of the two in the middle of an even number.
pub(super) fn middle(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) {
        0.5 * (values[half - 1] + values[half])
    } else {
        values[half]
    }
}
