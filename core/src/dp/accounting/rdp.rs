//! Renyi divergence of one step, of any order.
//!
//! Mironov, Talwar and Zhang 2019: for add-or-remove neighbours a step on a Poisson batch has
//! RDP(a) = ln A(a) / (a - 1) with A(a) = E[((1-q) + q e^u)^a], u = (2x - 1) / (2 s^2), x normal of
//! mean 0 and deviation s. Integer orders are a binomial sum (their section 3.3, eq. for integers),
//! fractional ones two infinite series, split at z0, whose binomial coefficients change sign beyond
//! a; the signs are kept, which a common simplification drops.
//!
//! What is summed is A - 1, not A: in private training it is 1e-6 or less, and A would have spent
//! its digits on the 1. As E[e^u] = 1, A - 1 = E[(1 + q w)^a - 1 - a q w] with w = e^u - 1, so the
//! terms of order 0 and 1 nearly cancel analytically rather than in the sum.
//!
//! Where a series still cancels too much (noise multipliers beyond a thousand) or converges too
//! slowly, the chord between the neighbouring integer orders stands in: ln A is convex in the order,
//! so the chord is never below it. The error that the end of a series may have is added to it. The
//! result is an upper bound either way.

use super::special::{ln_add, ln_expm1, ln_tail};

/// Integer orders above this one would be long sums; the divergence without sampling bounds them.
const LARGEST_SUMMED_ORDER: f64 = 16384.0;
/// Relative error of A - 1 beyond which the series is given up for the chord.
const SERIES_ERROR: f64 = 1e-9;
/// Relative error of the end of a series.
const SERIES_END: f64 = 1e-11;
const SERIES_TERMS: u32 = 1000;

/// RDP of order `order` > 1 of one step: an upper bound, and within 1e-9 of it in ordinary ranges.
pub(super) fn per_step(order: f64, sampling_rate: f64, noise_multiplier: f64) -> f64 {
    let (q, s) = (sampling_rate, noise_multiplier);
    if q == 0.0 {
        return 0.0;
    }
    // Divided twice: s^2 may underflow where the quotient does not overflow.
    let without_sampling = 0.5 * (order / s) / s;
    if q == 1.0 || order > LARGEST_SUMMED_ORDER || without_sampling.is_infinite() {
        return without_sampling;
    }
    let sampled = ln_moment(order, q, s) / (order - 1.0);
    if sampled.is_nan() { without_sampling } else { sampled.clamp(0.0, without_sampling) }
}

/// ln A(order) for 0 < q < 1.
fn ln_moment(order: f64, q: f64, s: f64) -> f64 {
    let floor = order.floor();
    if order == floor {
        return ln_moment_of_integer(order, q, s);
    }
    fractional_excess(order, q, s).map_or_else(
        || {
            let low = ln_moment_of_integer(floor, q, s);
            let high = ln_moment_of_integer(floor + 1.0, q, s);
            low + (order - floor) * (high - low)
        },
        |ln_excess| ln_add(0.0, ln_excess),
    )
}

/// ln A of an integer order: all terms of A - 1 are positive.
fn ln_moment_of_integer(order: f64, q: f64, s: f64) -> f64 {
    let (ln_q, ln_rest) = (q.ln(), (-q).ln_1p());
    let mut sum = SignedSum::new();
    let mut ln_choose = order.ln();
    let mut k = 2.0;
    while k <= order {
        ln_choose += ((order - k + 1.0) / k).ln();
        let moment = ln_expm1(0.5 * (k / s) * ((k - 1.0) / s));
        sum.add(ln_choose + k * ln_q + (order - k) * ln_rest + moment, 1.0);
        k += 1.0;
    }
    ln_add(0.0, sum.ln())
}

/// ln (A - 1) of a fractional order by the two series; none where they are of no use.
fn fractional_excess(order: f64, q: f64, s: f64) -> Option<f64> {
    let (ln_q, ln_rest) = (q.ln(), (-q).ln_1p());
    let z0 = s * s * (ln_rest - ln_q) + 0.5;
    if !z0.is_finite() {
        return None;
    }
    let mut sum = SignedSum::new();
    let below = |k: f64| ln_tail((k - z0) / s);
    let above = |k: f64| ln_tail((z0 - k) / s);
    // Orders 0 and 1 of the first series, less the part of 1 + a q w left of z0.
    sum.add(linear_remainder(order, q).ln() + below(0.0), 1.0);
    let first = -((order - 1.0) * ln_rest).exp_m1();
    sum.add((order * q * first).ln() + below(1.0), -1.0);
    // The part of 1 + a q w right of z0.
    let constant = 1.0 - order * q;
    sum.add(constant.abs().ln() + above(0.0), -constant.signum());
    sum.add((order * q).ln() + above(1.0), -1.0);

    let moment = |k: f64| 0.5 * (k / s) * ((k - 1.0) / s);
    let (mut ln_choose, mut sign) = (0.0_f64, 1.0);
    let mut last = Last::default();
    for k in 0..SERIES_TERMS {
        let k = f64::from(k);
        let j = order - k;
        let left = ln_choose + j * ln_rest + k * ln_q + moment(k) + below(k);
        let right = ln_choose + j * ln_q + k * ln_rest + moment(j) + above(j);
        let term = if k >= 2.0 { ln_add(left, right) } else { right };
        if let Some((old, sign)) = last.push(term, sign) {
            sum.add(old, sign);
        }
        if k > order + 4.0 && last.end(&mut sum) {
            return (sum.relative_error() <= SERIES_ERROR).then(|| sum.ln());
        }
        let factor = j / (k + 1.0);
        ln_choose += factor.abs().ln();
        sign *= factor.signum();
    }
    None
}

/// The last four terms of a series, by their logarithms and signs.
///
/// Beyond the order the terms alternate and fall, but no faster than a power of k. Euler's
/// transform of the last terms sums up what is left in a hundredth of the terms.
#[derive(Default)]
struct Last {
    terms: std::collections::VecDeque<(f64, f64)>,
}

impl Last {
    /// Takes a term in, and gives back the one that it pushes out.
    fn push(&mut self, ln_term: f64, sign: f64) -> Option<(f64, f64)> {
        self.terms.push_back((ln_term, sign));
        if self.terms.len() > 4 { self.terms.pop_front() } else { None }
    }

    /// Adds these terms, and all that would follow, to `sum`, with the error this may have on top.
    /// Refuses, and adds nothing, where that error would be felt.
    fn end(&self, sum: &mut SignedSum) -> bool {
        // 1/2 first term - 1/4 first difference + 1/8 second - 1/16 third, collected by term.
        const WEIGHTS: [f64; 4] = [15.0 / 16.0, 11.0 / 16.0, 5.0 / 16.0, 1.0 / 16.0];
        let Some(&(first, _)) = self.terms.front() else { return false };
        if first == f64::NEG_INFINITY {
            return true;
        }
        let ratio = |i: usize| (self.terms[i].0 - first).exp();
        let (second, third, fourth) = (ratio(1), ratio(2), ratio(3));
        let falls = 1.0 > second && second > third && third > fourth;
        let difference = (1.0 - 3.0 * second + 3.0 * third - fourth).abs();
        let error = first + (difference.max((1.0 - second).powi(3)) / 16.0).ln();
        if !falls || error > sum.ln() + SERIES_END.ln() {
            return false;
        }
        for ((ln_term, sign), weight) in self.terms.iter().zip(WEIGHTS) {
            sum.add(ln_term + weight.ln(), *sign);
        }
        sum.add(error, 1.0);
        true
    }
}

/// (1-q)^a - 1 + a q, which is a (a-1) q^2 / 2 for small q.
fn linear_remainder(order: f64, q: f64) -> f64 {
    if order.max(1.0) * q > 0.01 {
        return (order * (-q).ln_1p()).exp_m1() + order * q;
    }
    let (mut term, mut sum) = (-order * q, 0.0);
    for j in 2..12 {
        let j = f64::from(j);
        term *= -(order - j + 1.0) / j * q;
        sum += term;
    }
    sum
}

/// A sum of signed terms that are given by their logarithms, with a bound of its rounding error.
struct SignedSum {
    scale: f64,
    sum: f64,
    error: f64,
}

impl SignedSum {
    fn new() -> Self {
        SignedSum { scale: f64::NEG_INFINITY, sum: 0.0, error: 0.0 }
    }

    fn add(&mut self, ln_term: f64, sign: f64) {
        if ln_term == f64::NEG_INFINITY {
            return;
        }
        if ln_term > self.scale {
            let shrink = (self.scale - ln_term).exp();
            self.sum *= shrink;
            self.error *= shrink;
            self.scale = ln_term;
        }
        let term = (ln_term - self.scale).exp();
        self.sum += sign * term;
        self.error += f64::EPSILON * term;
    }

    /// ln of the sum; minus infinity if it is not positive, and not a number if it overflowed.
    fn ln(&self) -> f64 {
        if self.sum <= 0.0 { f64::NEG_INFINITY } else { self.scale + self.sum.ln() }
    }

    fn relative_error(&self) -> f64 {
        if self.sum > 0.0 { self.error / self.sum } else { f64::INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A - 1 by the trapezoidal rule on its definition, whose integrand is never negative.
    fn integrated(order: f64, q: f64, s: f64) -> f64 {
        let step = s / 64.0;
        let (from, to) = (-14.0 * s, order + 14.0 * s);
        let count = ((to - from) / step) as usize;
        let at = |i: usize| {
            let x = from + i as f64 * step;
            let w = ((2.0 * x - 1.0) / (2.0 * s * s)).exp_m1();
            let (t, ln_density) = (q * w, -x * x / (2.0 * s * s));
            if t.abs() < 0.01 {
                // The binomial series, which does not cancel.
                let (mut term, mut sum) = (order * t, 0.0);
                for j in 2..14 {
                    let j = f64::from(j);
                    term *= (order - j + 1.0) / j * t;
                    sum += term;
                }
                sum * ln_density.exp()
            } else {
                // The power overflows where its product with the density does not.
                let power = (order * t.ln_1p() + ln_density).exp();
                power - (1.0 + order * t) * ln_density.exp()
            }
        };
        (0..=count).map(at).sum::<f64>() * step / (s * (2.0 * std::f64::consts::PI).sqrt())
    }

    #[test]
    fn series_are_the_integral() {
        for s in [0.5, 0.7, 1.1, 4.0] {
            for q in [1e-6, 1e-3, 0.01, 0.3, 0.5, 0.9] {
                for order in [1.01, 1.5, 2.0, 2.5, 3.0, 7.3, 12.0] {
                    let got = (ln_moment(order, q, s)).exp_m1();
                    let want = integrated(order, q, s);
                    let error = (got / want - 1.0).abs();
                    assert!(error < 3e-9, "{order} {q} {s}: {got} {want} {error}");
                }
            }
        }
    }

    #[test]
    fn never_decreases_with_the_order() {
        for (q, s) in [(0.01, 0.7), (1e-5, 2.0), (0.3, 3000.0), (0.5, 1e-3), (0.999, 1.0)] {
            let orders = (0..400).map(|i| 1.0 + 1e-6 * 1.06_f64.powi(i)).take_while(|a| *a < 1e4);
            let values: Vec<f64> = orders.map(|a| per_step(a, q, s)).collect();
            assert!(values.iter().all(|v| *v >= 0.0 && !v.is_nan()));
            let falls = values.windows(2).find(|v| v[1] < v[0] * (1.0 - 1e-8));
            assert!(falls.is_none(), "{q} {s}: {falls:?}");
        }
    }

    #[test]
    fn noise_next_to_nothing_is_no_privacy() {
        for s in [1e-160, 1e-200, 5e-324] {
            assert_eq!(per_step(2.0, 0.1, s), f64::INFINITY, "{s}");
        }
        assert!(per_step(2.0, 0.1, 1e-150) > 1e290);
    }
}
