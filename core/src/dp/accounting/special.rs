//! Tails of the normal distribution and sums of logarithms, to full relative accuracy.
//!
//! A delta of 1e-300 is asked for like any other, so nothing here is the difference of two numbers
//! near 1: probabilities are logarithms, upper tails come from Mills' ratio R(z) = Q(z) / phi(z)
//! (erfc near the middle, its continued fraction further out), and narrow intervals from a series.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

/// ln sqrt(2 pi).
pub(super) const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_8;
/// sqrt(pi / 2).
const SQRT_HALF_PI: f64 = 1.253_314_137_315_500_3;
/// From here outwards the continued fraction of Mills' ratio has converged after [`FRACTION_TERMS`].
const FRACTION_FROM: f64 = 5.0;
const FRACTION_TERMS: u32 = 60;
/// Intervals narrower than this, in units of the length over which the density changes, are summed
/// as a series: the next term, (w m)^6 / 322560, is below the rounding of a double.
const NARROW: f64 = 0.02;

/// ln of the density of the standard normal distribution at `z`.
pub(super) fn ln_density(z: f64) -> f64 {
    -0.5 * z * z - LN_SQRT_2PI
}

/// Mills' ratio Q(z) / phi(z) for `z` >= -5 (further left it would overflow before it is of use).
pub(super) fn mills(z: f64) -> f64 {
    if z < FRACTION_FROM {
        return SQRT_HALF_PI * (0.5 * z * z).exp() * libm::erfc(z * FRAC_1_SQRT_2);
    }
    // R(z) = 1/(z + 1/(z + 2/(z + 3/(z + ...)))), Abramowitz and Stegun 26.2.14, from its end.
    let tail = (1..=FRACTION_TERMS).rev().fold(z, |below, k| z + f64::from(k) / below);
    1.0 / tail
}

/// ln Q(z), the logarithm of the upper tail of the standard normal distribution.
pub(super) fn ln_tail(z: f64) -> f64 {
    if z <= 0.0 {
        (-0.5 * libm::erfc(-z * FRAC_1_SQRT_2)).ln_1p()
    } else if z.is_infinite() {
        f64::NEG_INFINITY
    } else {
        ln_density(z) + mills(z).ln()
    }
}

/// ln of the probability that a standard normal value lies in `[left, left + width]`, both finite.
///
/// The interval is given by its width, not by its right end, because the width is what cancels.
pub(super) fn ln_interval(left: f64, width: f64) -> f64 {
    if width <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let mirrored = left + 0.5 * width < 0.0;
    ln_right_half(if mirrored { -left - width } else { left }, width)
}

/// [`ln_interval`] of an interval whose middle is not negative.
fn ln_right_half(left: f64, width: f64) -> f64 {
    let middle = left + 0.5 * width;
    if width * middle.max(1.0) <= NARROW {
        let (m2, w2) = (middle * middle, width * width);
        let second = (m2 - 1.0) * w2 / 24.0;
        let fourth = ((m2 - 6.0) * m2 + 3.0) * w2 * w2 / 1920.0;
        return ln_density(middle) + width.ln() + (second + fourth).ln_1p();
    }
    let right = left + width;
    if left < 0.0 {
        return (0.5 * (libm::erf(right / SQRT_2) - libm::erf(left / SQRT_2))).ln();
    }
    let beyond = (-width * middle).exp() * mills(right);
    ln_density(left) + (mills(left) - beyond).ln()
}

/// ln(e^a + e^b).
pub(super) fn ln_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY || high == f64::INFINITY {
        return high;
    }
    high + (low - high).exp().ln_1p()
}

/// ln(e^x - 1) for `x` > 0.
pub(super) fn ln_expm1(x: f64) -> f64 {
    if x > 40.0 { x + (-(-x).exp()).ln_1p() } else { x.exp_m1().ln() }
}

/// The point in `[low, high]` where `below` turns from true to false, from above: `below` is false
/// there, or the point is `high`. Halves the bracket until no double lies inside it, or 200 times.
pub(super) fn bisect(mut low: f64, mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = low + 0.5 * (high - low);
        if middle <= low || middle >= high {
            break;
        }
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64, relative: f64) {
        assert!((got - want).abs() <= relative * want.abs(), "{got} is not {want}");
    }

    #[test]
    fn tails_of_tables() {
        // Q(1), Q(5), Q(10) to the digits of tables; Q(40) from its asymptotic series.
        close(ln_tail(1.0).exp(), 0.158_655_253_931_457_05, 1e-14);
        close(ln_tail(5.0).exp(), 2.866_515_718_791_939e-7, 1e-13);
        close(ln_tail(10.0).exp(), 7.619_853_024_160_527e-24, 1e-13);
        let z2 = 1.0 / 1600.0_f64;
        let series = 1.0 - z2 * (1.0 - 3.0 * z2 * (1.0 - 5.0 * z2 * (1.0 - 7.0 * z2)));
        close(ln_tail(40.0), ln_density(40.0) + (series / 40.0).ln(), 1e-14);
        close(ln_tail(-1.0).exp(), 1.0 - 0.158_655_253_931_457_05, 1e-15);
    }

    #[test]
    fn branches_meet() {
        close(mills(FRACTION_FROM - 1e-12), mills(FRACTION_FROM), 1e-11);
        for left in [0.0, 0.3, 1.0, 7.0, 30.0_f64] {
            let width = NARROW / left.max(1.0) * 0.98;
            let halves = ln_add(ln_interval(left, width), ln_interval(left + width, width));
            close(halves, ln_interval(left, 2.0 * width), 1e-12);
        }
    }

    #[test]
    fn intervals_are_symmetric_and_add_up() {
        for (left, width) in [(-3.0, 0.001), (-0.5, 2.0), (1.0, 4.0), (20.0, 0.5)] {
            close(ln_interval(left, width), ln_interval(-left - width, width), 1e-14);
        }
        let edges: Vec<f64> = (-900..=900).map(|i| f64::from(i) / 100.0).collect();
        let sum: f64 = edges.windows(2).map(|e| ln_interval(e[0], e[1] - e[0]).exp()).sum();
        close(sum, 1.0, 1e-13);
        assert_eq!(ln_interval(1.0, 0.0), f64::NEG_INFINITY);
    }
}
