//! The loss of one step on a grid, never smaller than it is.
//!
//! Connect the dots (Doroshenko, Ghazi, Kamath, Kumar and Manurangsi 2022): a loss between two points
//! of the grid is moved to both, in the shares that keep its probability under either output. As a
//! function of e^epsilon, delta is then the chord of the true one, which is convex: exact on the
//! grid, above in between. What lies above the grid is moved to its end and to infinity in the same
//! way, what lies below is moved up. A grid of half the step has all the points of this one, so its
//! delta is never larger.
//!
//! Shares are rounded up. What a share lacks is missing in the mean of the loss, once for each step:
//! a rounding of 1e-16 is 100 after 10^18 steps.

use super::super::special::ln_add;
use super::loss::{Event, Loss};

/// Whole numbers up to here are exact, with room for sums of two.
pub(super) const EXACT: f64 = 4_503_599_627_370_496.0;

/// Probabilities of losses that are whole multiples of `step`.
pub(super) struct Pmf {
    pub(super) step: f64,
    /// The multiple of the first entry.
    pub(super) first: i64,
    /// ln of the probabilities.
    pub(super) ln_mass: Vec<f64>,
    /// ln of the probability of an infinite loss.
    pub(super) ln_infinite: f64,
}

/// Points of a grid of `step` over the losses in `range`; none where there is no such grid: the range
/// is inverted or not finite, or the points are past counting.
pub(super) fn points(range: (f64, f64), step: f64) -> Option<usize> {
    let (first, last) = ((range.0 / step).floor(), (range.1 / step).ceil());
    let counted = first.abs() < EXACT && last.abs() < EXACT && first <= last;
    counted.then(|| (last - first) as usize + 1)
}

impl Pmf {
    /// `loss` on a grid of `step` that begins at `low` and has so many `points`, at least one.
    pub(super) fn of(loss: &Loss, low: f64, points: usize, step: f64) -> Self {
        let first = (low / step).floor();
        let buckets = points.saturating_sub(1);
        let mut ln_mass = Vec::with_capacity(points);
        let mut from_below = loss.below(first * step).own;
        for k in 0..buckets {
            let lower = (first + k as f64) * step;
            let (stays, rises) = split(loss.within(lower, step), lower, -(-step).exp_m1());
            ln_mass.push(ln_add(from_below, stays));
            from_below = rises;
        }
        let end = (first + buckets as f64) * step;
        let (stays, ln_infinite) = split(loss.above(end), end, 1.0);
        ln_mass.push(ln_add(from_below, stays));
        Pmf { step, first: first as i64, ln_mass, ln_infinite }
    }

    /// Losses and the logarithms of their probabilities.
    pub(super) fn entries(&self) -> impl Iterator<Item = (f64, f64)> {
        let first = self.first as f64;
        let loss = move |k: usize| (first + k as f64) * self.step;
        self.ln_mass.iter().enumerate().map(move |(k, ln_mass)| (loss(k), *ln_mass))
    }

    pub(super) fn largest(&self) -> f64 {
        (self.first as f64 + (self.ln_mass.len() - 1) as f64) * self.step
    }

    pub(super) fn smallest(&self) -> f64 {
        self.first as f64 * self.step
    }
}

/// Splits the probability of a bucket between its ends: `span` is 1 - e^-width. The other output has
/// e^-loss for each unit of its own, which the shares keep. The share of the upper end is more by what
/// the loss may be off.
fn split(event: Event, lower: f64, span: f64) -> (f64, f64) {
    if event.own == f64::NEG_INFINITY {
        return (f64::NEG_INFINITY, f64::NEG_INFINITY);
    }
    let error = event.error + f64::EPSILON * lower.abs();
    let share = (-(lower - event.loss - error).exp_m1() / span).clamp(0.0, 1.0);
    (event.own + (-share).ln_1p(), event.own + share.ln())
}
