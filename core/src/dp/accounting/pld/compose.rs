//! The sum of many losses, where it decides epsilon.
//!
//! Sums of losses are convolutions, which the FFT makes cheap, and circular ones at that: what falls
//! outside of the window comes back in on its other side. Both that and the rounding of the FFT are
//! absolute errors, which would drown a delta of 1e-12. So the probabilities are tilted first, by
//! e^(tilt loss), with the tilt for which the Chernoff bound is smallest (then the mean of the tilted
//! sum lies about where epsilon will); they are untilted when delta is summed up. A small delta then
//! is a sum of ordinary numbers, and the window need only hold the tilted sum, to 1e-13 on either
//! side by a Chernoff bound of its own. What may be missing is added.

use std::f64::consts::LN_10;

use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

use super::super::conversion::lowest;
use super::super::special::ln_add;
use super::grid::Pmf;

/// Probability of the tilted sum on either side of the window.
const OUTSIDE: f64 = 1e-13;
/// Rounding of the probabilities and of the FFT, relative and per step.
const ROUNDING: f64 = 1e-14;
/// Whole numbers up to here are exact.
const EXACT: f64 = 4_503_599_627_370_496.0;
const SMALLEST_WINDOW: usize = 32;

/// A distribution of one step, and the number of its steps.
pub(super) struct Part {
    pub(super) pmf: Pmf,
    pub(super) steps: f64,
}

/// ln of the moment, mean and variance of one tilted step.
struct Moments {
    ln_moment: f64,
    mean: f64,
    variance: f64,
}

impl Pmf {
    /// ln E[e^(tilt loss)] over finite losses.
    fn ln_moment(&self, tilt: f64) -> f64 {
        let high = self.entries().map(|(l, p)| p + tilt * l).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.entries().map(|(l, p)| (p + tilt * l - high).exp()).sum();
        high + sum.ln()
    }

    fn moments(&self, tilt: f64) -> Moments {
        let ln_moment = self.ln_moment(tilt);
        let mass = |l: f64, p: f64| (p + tilt * l - ln_moment).exp();
        let mean: f64 = self.entries().map(|(l, p)| l * mass(l, p)).sum();
        let variance = self.entries().map(|(l, p)| (l - mean).powi(2) * mass(l, p)).sum();
        Moments { ln_moment, mean, variance }
    }
}

/// ln E[e^(tilt sum)].
fn ln_moment(parts: &[Part], tilt: f64) -> f64 {
    parts.iter().map(|part| part.steps * part.pmf.ln_moment(tilt)).sum()
}

/// ln of the largest value of e^(-tilt u) (1 - e^-u), which a loss of u above epsilon adds to delta
/// for each unit of its tilted probability.
fn ln_largest_weight(tilt: f64) -> f64 {
    -tilt * (1.0 / tilt).ln_1p() - tilt.ln_1p()
}

/// The tilt for which the Chernoff bound of epsilon is smallest, and that bound.
pub(super) fn best_tilt(parts: &[Part], ln_delta: f64) -> (f64, f64) {
    let variance: f64 = parts.iter().map(|part| part.steps * part.pmf.moments(0.0).variance).sum();
    let step = parts.first().map_or(1.0, |part| part.pmf.step);
    let unit = variance.sqrt().max(step).recip().ln();
    let bound = |x: f64| {
        let tilt = (unit + x).exp();
        (ln_moment(parts, tilt) + ln_largest_weight(tilt) - ln_delta) / tilt
    };
    // The bound falls, then rises: a grid finds the valley, golden sections its bottom.
    let spacing = 0.5 * LN_10;
    let coarse = (-8..=10).map(|i| f64::from(i) * spacing);
    let (_, bottom) = coarse
        .map(|x| (bound(x), x))
        .fold((f64::INFINITY, 0.0), |best, next| if next.0 < best.0 { next } else { best });
    let (x, epsilon) = lowest(bottom - spacing, bottom + spacing, bound);
    ((unit + x).exp(), epsilon)
}

/// A tilted sum on a window of the grid.
pub(super) struct Composed {
    step: f64,
    tilt: f64,
    /// ln E[e^(tilt sum)], the factor that undoes the tilt.
    ln_scale: f64,
    /// The multiple of `step` of the first entry.
    first: f64,
    /// Whether no loss is below the window.
    whole: bool,
    /// Tilted probabilities.
    mass: Vec<f64>,
    ln_infinite: f64,
    steps: f64,
}

/// The window of a tilted sum, as multiples of the step: its first, and how many.
pub(super) struct Window {
    first: f64,
    /// Whether it begins at the smallest sum there is.
    whole: bool,
    pub(super) length: usize,
    tilt: f64,
    ln_scale: f64,
}

impl Window {
    /// The window of `parts` under `tilt`; none where its places are past exact counting.
    pub(super) fn of(parts: &[Part], tilt: f64) -> Option<Self> {
        let step = parts.first()?.pmf.step;
        let moments: Vec<_> = parts.iter().map(|p| (p.steps, p.pmf.moments(tilt))).collect();
        let sum = |of: fn(&Moments) -> f64| moments.iter().map(|(n, m)| n * of(m)).sum::<f64>();
        let (ln_scale, mean) = (sum(|m| m.ln_moment), sum(|m| m.mean));
        let deviation = sum(|m| m.variance).sqrt().max(0.01 * step);
        let total = |of: fn(&Pmf) -> f64| parts.iter().map(|p| p.steps * of(&p.pmf)).sum::<f64>();
        let smallest = total(Pmf::smallest);
        let (mut low, mut high) = (smallest, total(Pmf::largest));
        let usual = (-2.0 * OUTSIDE.ln()).sqrt() / deviation;
        for power in -4..=2 {
            let extra = usual * 2.0_f64.powi(power);
            let reach = |extra: f64| ln_moment(parts, tilt + extra) - ln_scale - OUTSIDE.ln();
            high = high.min((reach(extra) / extra).max(mean));
            low = low.max((-reach(-extra) / extra).min(mean));
        }
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let counted = first.abs() < EXACT && last.abs() < EXACT;
        let length = last - first + 1.0;
        let length = (counted && length < EXACT).then_some(length as usize)?;
        let length = length.max(SMALLEST_WINDOW).next_power_of_two();
        Some(Window { first, whole: low == smallest, length, tilt, ln_scale })
    }
}

impl Composed {
    /// The sum of the losses of all `parts`, on `window`.
    pub(super) fn of(parts: &[Part], window: &Window) -> Option<Self> {
        let length = window.length;
        let mut planner = RealFftPlanner::<f64>::new();
        let (forward, inverse) =
            (planner.plan_fft_forward(length), planner.plan_fft_inverse(length));
        let mut product = vec![Complex::new(1.0, 0.0); length / 2 + 1];
        let mut spectrum = forward.make_output_vec();
        for part in parts {
            let mut mass = folded(&part.pmf, window.tilt, length);
            forward.process(&mut mass, &mut spectrum).ok()?;
            for (product, value) in product.iter_mut().zip(&spectrum) {
                *product *= power(*value, part.steps);
            }
        }
        // Real input, so the first and last entries are real up to rounding.
        product[0].im = 0.0;
        product[length / 2].im = 0.0;
        let mut circular = inverse.make_output_vec();
        inverse.process(&mut product, &mut circular).ok()?;
        let start = window.first.rem_euclid(length as f64) as usize;
        circular.rotate_left(start);
        let scale = 1.0 / length as f64;
        circular.iter_mut().for_each(|mass| *mass = (*mass * scale).max(0.0));
        let infinite = parts.iter().map(|p| p.steps.ln() + p.pmf.ln_infinite);
        Some(Composed {
            step: parts.first()?.pmf.step,
            tilt: window.tilt,
            ln_scale: window.ln_scale,
            first: window.first,
            whole: window.whole,
            mass: circular,
            ln_infinite: infinite.fold(f64::NEG_INFINITY, ln_add),
            steps: parts.iter().map(|part| part.steps).sum(),
        })
    }

    /// The smallest epsilon whose delta is at most e^`ln_delta`, to the top of the window or beyond
    /// (then infinite).
    pub(super) fn epsilon(&self, ln_delta: f64) -> f64 {
        if self.ln_infinite >= ln_delta {
            return f64::INFINITY;
        }
        // What finite losses may add to delta.
        let ln_left = ln_delta + (-(self.ln_infinite - ln_delta).exp()).ln_1p();
        let missing = 2.0 * OUTSIDE * ln_largest_weight(self.tilt).exp();
        let inflation = 1.0 + ROUNDING * self.steps;
        let (shrink, shrink_other) =
            ((-self.tilt * self.step).exp(), (-(self.tilt + 1.0) * self.step).exp());
        let gap = -(-self.step).exp_m1();
        // Sums over the losses above a point, in units of the tilted probability there: of
        // probabilities under the other output, and of what they add to delta.
        let (mut other, mut excess) = (0.0, 0.0);
        for (k, mass) in self.mass.iter().enumerate().rev() {
            let loss = (self.first + k as f64) * self.step;
            let ln_unit = self.ln_scale - self.tilt * loss;
            let allowed = (ln_left - ln_unit).exp() / inflation - missing;
            if excess > allowed {
                if k + 1 == self.mass.len() {
                    return f64::INFINITY;
                }
                // Between this point and the one above delta is straight in e^epsilon.
                let within = ((excess - allowed) / other).ln_1p();
                return (loss + within.clamp(0.0, self.step)).max(0.0);
            }
            if loss <= 0.0 {
                return 0.0;
            }
            excess = shrink * (excess + gap * (other + mass));
            other = shrink_other * (other + mass);
        }
        let below = (self.first - 1.0) * self.step;
        if !self.whole {
            return below + self.step;
        }
        // Nothing lies further down, so delta is straight in e^epsilon from here.
        let ln_unit = self.ln_scale - self.tilt * below;
        let allowed = (ln_left - ln_unit).exp() / inflation - 2.0 * OUTSIDE;
        let left = (excess + other - allowed) / other;
        if left > 0.0 { (below + left.ln().min(0.0)).max(0.0) } else { 0.0 }
    }
}

/// Tilted probabilities, wrapped around a circle of `length`.
fn folded(pmf: &Pmf, tilt: f64, length: usize) -> Vec<f64> {
    let ln_moment = pmf.ln_moment(tilt);
    let mut circle = vec![0.0; length];
    let mut place = pmf.first.rem_euclid(length as i64) as usize;
    for (loss, ln_mass) in pmf.entries() {
        circle[place] += (ln_mass + tilt * loss - ln_moment).exp();
        place = if place + 1 == length { 0 } else { place + 1 };
    }
    circle
}

fn power(value: Complex<f64>, exponent: f64) -> Complex<f64> {
    if exponent == 1.0 {
        return value;
    }
    let (radius, angle) = value.to_polar();
    Complex::from_polar((radius.ln() * exponent).exp(), angle * exponent)
}
