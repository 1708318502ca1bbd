//! The sum of many losses, where it decides epsilon.
//!
//! Sums of losses are convolutions, which the FFT makes cheap, and circular ones at that: what falls
//! outside of the window comes back in on its other side. Both that and the rounding of the FFT are
//! absolute errors, which would drown a delta of 1e-12. So the probabilities are tilted first, by
//! e^(tilt loss), with the tilt for which the Chernoff bound is smallest (then the mean of the tilted
//! sum lies about where epsilon will); they are untilted when delta is summed up. A small delta then
//! is a sum of ordinary numbers, and the window need only hold the tilted sum, to 1e-13 on either
//! side by a Chernoff bound of its own. What may be missing is added.
//!
//! # Rounding
//!
//! A sum of T steps is the power T of one, and a power makes T errors of one. With u = 2^-52:
//!
//! - A tilted probability m_k is off by a share e_k: by u for each unit of the logarithms it is made
//!   of, and by u |loss| / step because neighbouring buckets meet in a rounded point. The product over
//!   T steps is then off by at most (1 + sum m_k e_k)^T - 1 in all, as probabilities are positive
//!   ([`Moments::error`]).
//! - A value v of the spectrum is off by 8 u log2(length) + 16 u =: f in its modulus and its phase (no
//!   output of an FFT of positive numbers that sum to 1 is off by more than log2(length) butterflies
//!   of 5 u; then a logarithm, an angle). v^T is off by T f |v|^(T-1), at most 2 T f |v^T| where |v|
//!   is above a half, and f elsewhere. By Parseval and Cauchy and Schwarz the probabilities are off
//!   by sqrt(length) (2 T f norm + f) in all, where norm is their Euclidean norm, about
//!   1 / sqrt(length) for a sum that fills its window.
//! - The mean of one step is off by what the shares are on the grid, which are rounded up there.
//!
//! What the first two come to is a tilted probability, and is added to what may be missing. Both grow
//! as T: 1e-4 at 10^9 steps, more than all there is at 10^14, where a window that is off by its own
//! length gives an epsilon of 0. So nothing is composed where the first is above [`MOST_ERROR`], nor
//! beyond [`MOST_STEPS`], where the second is at most a hundredth.

use std::f64::consts::LN_10;

use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

use super::super::conversion::lowest;
use super::super::special::ln_add;
use super::grid::{EXACT, Pmf};

/// Probability of the tilted sum on either side of the window.
const OUTSIDE: f64 = 1e-13;
/// The most steps that are composed, 4.3e9; beyond, rounding costs more than the grid gains.
pub(super) const MOST_STEPS: f64 = 4_294_967_296.0;
/// The most that rounding of the probabilities may come to, over all steps.
const MOST_ERROR: f64 = 0.05;
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
    /// What rounding may have taken from the probabilities, in all.
    error: f64,
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
        let units = |l: f64, p: f64| p.abs() + (tilt * l).abs() + 2.0 * l.abs() / self.step;
        let weigh = |(l, p): (f64, f64)| match mass(l, p) {
            0.0 => 0.0,
            mass => mass * units(l, p),
        };
        let units = self.entries().map(weigh).sum::<f64>() + ln_moment.abs();
        Moments { ln_moment, mean, variance, error: 8.0 * f64::EPSILON * (units + 8.0) }
    }
}

/// ln E[e^(tilt sum)].
fn ln_moment(parts: &[Part], tilt: f64) -> f64 {
    parts.iter().map(|part| part.steps * part.pmf.ln_moment(tilt)).sum()
}

/// What rounding of the probabilities may come to over all steps; none where it is too much.
fn error_of(moments: &[(f64, Moments)]) -> Option<f64> {
    let sum: f64 = moments.iter().map(|(steps, m)| steps * m.error).sum();
    (sum <= MOST_ERROR).then(|| sum.exp_m1())
}

/// ln of what finite losses may add to delta; none where infinite ones are more than delta.
fn ln_left(parts: &[Part], ln_delta: f64) -> Option<f64> {
    let infinite = parts.iter().map(|part| part.steps.ln() + part.pmf.ln_infinite);
    let ln_infinite = infinite.fold(f64::NEG_INFINITY, ln_add);
    (ln_infinite < ln_delta).then(|| ln_delta + (-(ln_infinite - ln_delta).exp()).ln_1p())
}

/// ln of the largest value of e^(-tilt u) (1 - e^-u), which a loss of u above epsilon adds to delta
/// for each unit of its tilted probability.
fn ln_largest_weight(tilt: f64) -> f64 {
    -tilt * (1.0 / tilt).ln_1p() - tilt.ln_1p()
}

/// The tilt for which the Chernoff bound of epsilon is smallest, and that bound, with what rounding
/// may have taken from it.
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
    let (x, _) = lowest(bottom - spacing, bottom + spacing, bound);
    let tilt = (unit + x).exp();
    (tilt, chernoff(parts, tilt, ln_delta).unwrap_or(f64::INFINITY))
}

/// The Chernoff bound of epsilon under `tilt`, from above; none where it is not finite.
fn chernoff(parts: &[Part], tilt: f64, ln_delta: f64) -> Option<f64> {
    let moments: Vec<_> = parts.iter().map(|p| (p.steps, p.pmf.moments(tilt))).collect();
    let ln_moment: f64 = moments.iter().map(|(steps, m)| steps * m.ln_moment).sum();
    let rounding = error_of(&moments)? + 4.0 * f64::EPSILON * ln_moment.abs();
    let above = ln_moment + rounding + ln_largest_weight(tilt) - ln_left(parts, ln_delta)?;
    Some(above / tilt)
}

/// A tilted sum on a window of the grid.
struct Composed {
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
    /// Tilted probability that may be missing: outside of the window, or lost to rounding.
    missing: f64,
}

/// The window of a tilted sum, as multiples of the step: its first, and how many.
pub(super) struct Window {
    first: f64,
    /// Whether it begins at the smallest sum there is.
    whole: bool,
    pub(super) length: usize,
    tilt: f64,
    ln_scale: f64,
    /// Tilted probability that rounding of the steps may have taken.
    error: f64,
}

impl Window {
    /// The window of `parts` under `tilt`; none where its places are past exact counting, or rounding
    /// of the steps has taken too much.
    pub(super) fn of(parts: &[Part], tilt: f64) -> Option<Self> {
        let step = parts.first()?.pmf.step;
        let moments: Vec<_> = parts.iter().map(|p| (p.steps, p.pmf.moments(tilt))).collect();
        let error = error_of(&moments)?;
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
        Some(Window { first, whole: low == smallest, length, tilt, ln_scale, error })
    }
}

impl Composed {
    /// ln of what a tilted probability at `loss` is untilted, from above: by its rounding, and by that
    /// of the sums over the window.
    fn ln_unit(&self, loss: f64) -> f64 {
        let units = self.ln_scale.abs() + (self.tilt * loss).abs() + self.mass.len() as f64;
        self.ln_scale - self.tilt * loss + 4.0 * f64::EPSILON * units
    }

    /// The sum of the losses of all `parts`, on `window`.
    fn of(parts: &[Part], window: &Window) -> Option<Self> {
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
        let steps: f64 = parts.iter().map(|part| part.steps).sum();
        let norm = circular.iter().map(|mass| mass * mass).sum::<f64>().sqrt();
        let of_spectrum = f64::EPSILON * (8.0 * (length as f64).log2() + 16.0);
        let spectral = of_spectrum * (2.0 * steps * norm + parts.len() as f64);
        Some(Composed {
            step: parts.first()?.pmf.step,
            tilt: window.tilt,
            ln_scale: window.ln_scale,
            first: window.first,
            whole: window.whole,
            mass: circular,
            missing: 2.0 * OUTSIDE + window.error + (length as f64).sqrt() * spectral,
        })
    }

    /// The smallest epsilon to which finite losses add at most e^`ln_left` of delta, to the top of the
    /// window or beyond (then infinite).
    fn epsilon(&self, ln_left: f64) -> f64 {
        let missing = self.missing * ln_largest_weight(self.tilt).exp();
        let (shrink, shrink_other) =
            ((-self.tilt * self.step).exp(), (-(self.tilt + 1.0) * self.step).exp());
        let gap = -(-self.step).exp_m1();
        // Sums over the losses above a point, in units of the tilted probability there: of
        // probabilities under the other output, and of what they add to delta.
        let (mut other, mut excess) = (0.0, 0.0);
        for (k, mass) in self.mass.iter().enumerate().rev() {
            let loss = (self.first + k as f64) * self.step;
            let allowed = (ln_left - self.ln_unit(loss)).exp() - missing;
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
        let allowed = (ln_left - self.ln_unit(below)).exp() - self.missing;
        let left = (excess + other - allowed) / other;
        if left > 0.0 { (below + left.ln().min(0.0)).max(0.0) } else { 0.0 }
    }
}

/// Epsilon of the sum of all `parts` on `window`.
pub(super) fn epsilon(parts: &[Part], window: &Window, ln_delta: f64) -> Option<f64> {
    let ln_left = ln_left(parts, ln_delta)?;
    Some(Composed::of(parts, window)?.epsilon(ln_left))
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
