//! Confidence bounds for a proportion, exact (Clopper and Pearson 1934) rather than approximate.
//!
//! Privacy audits and certificates stand on small counts near 0 or 1, where the normal approximation
//! and Wilson's interval can cover less than they promise. The bounds are quantiles of a beta
//! distribution; the quantile is found by bisection, which needs neither a good start nor a
//! derivative and always ends at the nearest representable numbers.

use serde::{Deserialize, Serialize};

use crate::{Result, bail};

/// A range that covers the true proportion with a stated confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower bound, in `[0, 1]`.
    pub low: f64,
    /// Upper bound, in `[0, 1]`.
    pub high: f64,
}

/// The two-sided interval at confidence `1 - alpha`: each tail has `alpha / 2`.
///
/// # Errors
/// As [`clopper_pearson_upper`].
pub fn clopper_pearson(successes: u64, trials: u64, alpha: f64) -> Result<Interval> {
    Ok(Interval {
        low: clopper_pearson_lower(successes, trials, alpha / 2.0)?,
        high: clopper_pearson_upper(successes, trials, alpha / 2.0)?,
    })
}

/// The one-sided upper bound at confidence `1 - alpha`: the proportion at which at most `successes`
/// of `trials` have probability `alpha`. 1 when every trial succeeded.
///
/// # Errors
/// More successes than trials, no trial, or `alpha` not between 0 and 1.
pub fn clopper_pearson_upper(successes: u64, trials: u64, alpha: f64) -> Result<f64> {
    check(successes, trials, alpha)?;
    if successes == trials {
        return Ok(1.0);
    }
    // By the symmetry 1 - quantile of the failures, so that a small alpha keeps its digits.
    Ok(1.0 - beta_quantile(alpha, (trials - successes) as f64, successes as f64 + 1.0))
}

/// The one-sided lower bound at confidence `1 - alpha`. 0 when no trial succeeded.
///
/// # Errors
/// As [`clopper_pearson_upper`].
pub fn clopper_pearson_lower(successes: u64, trials: u64, alpha: f64) -> Result<f64> {
    check(successes, trials, alpha)?;
    if successes == 0 {
        return Ok(0.0);
    }
    Ok(beta_quantile(alpha, successes as f64, (trials - successes) as f64 + 1.0))
}

fn check(successes: u64, trials: u64, alpha: f64) -> Result<()> {
    if trials == 0 || successes > trials {
        bail!(Usage, "interval: {successes} successes of {trials}; pass 0 <= successes <= trials");
    }
    if !(alpha > 0.0 && alpha < 1.0) {
        bail!(Usage, "interval: alpha is {alpha}; choose one between 0 and 1, such as 0.05");
    }
    Ok(())
}

/// The `x` in `[0, 1]` with `I_x(a, b) = p`, for `a, b > 0` and `p` in `[0, 1]`.
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0f64, 1.0f64);
    loop {
        let middle = f64::midpoint(low, high);
        // No representable number is left between the two.
        if middle <= low || middle >= high {
            return middle;
        }
        if regularized_beta(middle, a, b) < p { low = middle } else { high = middle }
    }
}

/// The regularised incomplete beta function `I_x(a, b)`, for `a, b > 0`: the probability that a
/// beta-distributed variable is at most `x`.
pub fn regularized_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The continued fraction converges fast below the mean, so the other side is reflected.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - below_mean(1.0 - x, b, a);
    }
    below_mean(x, a, b)
}

fn below_mean(x: f64, a: f64, b: f64) -> f64 {
    let ln_beta = libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    let front = a * x.ln() + b * (-x).ln_1p() - ln_beta;
    (front.exp() / (a * continued_fraction(x, a, b))).clamp(0.0, 1.0)
}

/// `1 + d_1/(1 + d_2/(1 + ...))` (DLMF 8.17.22), by Lentz's algorithm as modified by Thompson and
/// Barnett. It needs O(sqrt(max(a, b))) terms.
fn continued_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guard = |v: f64| if v.abs() < TINY { TINY } else { v };
    let terms = 200 + 20 * a.max(b).sqrt() as usize;
    let (mut value, mut c, mut d) = (1.0, 1.0, 0.0);
    for n in 1..=terms {
        let m = (n / 2) as f64;
        let numerator = if n % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        d = 1.0 / guard(1.0 + numerator * d);
        c = guard(1.0 + numerator / c);
        value *= c * d;
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() <= tolerance * b.abs().max(1e-300), "{a} != {b}");
    }

    #[test]
    fn incomplete_beta_has_its_closed_forms() {
        for x in [1e-9, 0.01, 0.3, 0.5, 0.77, 0.999] {
            close(regularized_beta(x, 1.0, 1.0), x, 1e-13);
            close(regularized_beta(x, 7.0, 1.0), x.powi(7), 1e-12);
            close(regularized_beta(x, 1.0, 5.0), -(5.0 * (-x).ln_1p()).exp_m1(), 1e-12);
            close(regularized_beta(x, 2.0, 3.0), x * x * (6.0 - 8.0 * x + 3.0 * x * x), 1e-11);
        }
        assert_eq!(regularized_beta(0.0, 2.0, 3.0), 0.0);
        assert_eq!(regularized_beta(1.0, 2.0, 3.0), 1.0);
    }

    /// `P[Bin(n, p) >= k] = I_p(k, n - k + 1)`, summed term by term.
    #[test]
    fn incomplete_beta_is_the_binomial_tail() {
        let (n, p) = (40u32, 0.37f64);
        let mut term = (1.0 - p).powi(n as i32);
        let mut below = 0.0;
        for k in 1..=n {
            below += term;
            let tail = regularized_beta(p, f64::from(k), f64::from(n - k + 1));
            assert!((tail - (1.0 - below)).abs() < 1e-13, "{k}: {tail} != {}", 1.0 - below);
            term *= f64::from(n - k + 1) / f64::from(k) * p / (1.0 - p);
        }
    }

    #[test]
    fn quantiles_invert_for_small_and_large_shapes() {
        for (a, b) in [(0.5, 0.5), (1.0, 100.0), (101.0, 900.0), (5e5, 5e5), (1e6, 3.0)] {
            for p in [1e-6, 0.025, 0.5, 0.975] {
                close(regularized_beta(beta_quantile(p, a, b), a, b), p, 1e-6);
            }
        }
    }

    /// Upper bounds computed by an independent implementation: successes, trials, alpha, bound.
    #[test]
    fn upper_bounds_agree_with_an_independent_implementation() {
        for (successes, trials, alpha, upper) in [
            (0, 100, 0.05, 0.029_513_049_607_039_925),
            (5, 100, 0.05, 0.102_253_377_643_274_5),
            (50, 100, 0.025, 0.601_678_870_496_699),
            (10, 1000, 0.025, 0.018_313_243_055_112_45),
        ] {
            close(clopper_pearson_upper(successes, trials, alpha).unwrap(), upper, 1e-12);
        }
    }

    #[test]
    fn bounds_have_their_closed_forms_and_mirror_each_other() {
        let n = 30;
        close(
            clopper_pearson_upper(0, n, 0.05).unwrap(),
            1.0 - 0.05f64.powf(1.0 / n as f64),
            1e-13,
        );
        close(clopper_pearson_lower(n, n, 0.05).unwrap(), 0.05f64.powf(1.0 / n as f64), 1e-13);
        for k in 0..=n {
            let two = clopper_pearson(k, n, 0.05).unwrap();
            let mirrored = clopper_pearson(n - k, n, 0.05).unwrap();
            close(two.high, 1.0 - mirrored.low, 1e-12);
            assert!(two.low <= k as f64 / n as f64 && k as f64 / n as f64 <= two.high);
        }
        assert!(clopper_pearson(5, 4, 0.05).is_err());
        assert!(clopper_pearson(0, 0, 0.05).is_err());
        assert!(clopper_pearson(0, 4, 0.0).is_err());
    }
}
