//! The geometric median (Pillutla et al. 2022, "Robust aggregation for federated learning", algorithm
//! 2): `argmin_v sum_i a_i |v - w_i|` with the shares of samples for `a_i`, by Weiszfeld's iteration
//! with distances smoothed below.

use super::super::update::{Update, squared_distance};
use super::mean::Sum;
use crate::Result;

pub(super) fn geometric_median(
    updates: &[Update],
    iterations: usize,
    smoothing: f64,
) -> Result<Vec<f64>> {
    /// Steps this much shorter than the updates have come to the point.
    const STILL: f64 = 1e-12;
    let mut point = super::mean::mean(updates, false)?;
    for _ in 0..iterations {
        let mut sum = Sum::default();
        let mut reach = 0.0_f64;
        for update in updates {
            let distance = squared_distance(&point, &update.delta).sqrt();
            reach = reach.max(distance);
            sum.add(update.samples as f64 / distance.max(smoothing), &update.delta);
        }
        let next = sum.mean()?;
        let step = squared_distance(&next, &point).sqrt();
        point = next;
        if step <= STILL * reach {
            break;
        }
    }
    Ok(point)
}
