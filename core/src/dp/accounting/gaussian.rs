//! The Gaussian mechanism without sampling, exactly.
//!
//! Balle and Wang 2018, Theorem 8: a release with mu = sensitivity / standard deviation has
//! delta(eps) = Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu). Gaussians compose to a Gaussian with
//! mu^2 the sum of theirs (Dong, Roth and Su 2022, Corollary 3.3), so any history at sampling rate 1
//! has a closed form. A history at lower rates leaks no more than the same at rate 1, which makes
//! this a bound for every accountant, however hard its own sum is to compute.
//!
//! With c = eps/mu - mu/2 and Mills' ratio R, delta = phi(c) (R(c) - R(c + mu)): the factor e^eps,
//! which overflows, is gone, and for small mu the difference is the integral of 1 - x R(x).

use super::mechanism::Mechanism;
use super::special::{bisect, ln_density, ln_tail, mills};

/// The theorem, for the provenance of a figure.
pub(super) const SOURCE: &str = "Balle and Wang 2018, Theorem 8";
/// Normal deviates beyond this one are rarer than the smallest positive double.
const FURTHEST: f64 = 39.0;
/// Below this mu the difference of Mills' ratios loses digits, and its integral does not.
const SMALL_MU: f64 = 0.1;

/// mu of the composition of `history` as if every sample were in every batch.
pub(super) fn mu_without_sampling(history: &[Mechanism]) -> f64 {
    let parts = history.iter().filter(|m| !m.is_silent());
    let inverse = |m: &Mechanism| (m.steps() as f64).sqrt() / m.noise_multiplier();
    parts.map(inverse).fold(0.0, f64::hypot)
}

/// ln delta of a Gaussian mechanism at c = eps/mu - mu/2.
fn ln_delta_at(c: f64, mu: f64) -> f64 {
    if mu < SMALL_MU {
        return ln_density(c) + integral(c, mu).ln();
    }
    if c < -4.0 {
        // delta = 1 - Phi(c) - phi(c) R(c + mu), and both subtrahends are small here.
        let lost = ln_tail(-c).exp() + (ln_density(c) + ln_mills(c + mu)).exp();
        return (-lost).ln_1p();
    }
    ln_density(c) + (mills(c) - mills(c + mu)).ln()
}

/// ln of Mills' ratio, also far to the left, where the ratio is 1 / phi.
fn ln_mills(z: f64) -> f64 {
    if z < -4.0 { ln_tail(z) - ln_density(z) } else { mills(z).ln() }
}

/// R(c) - R(c + mu), the integral of -R'(x) = 1 - x R(x): five points of Gauss and Legendre.
fn integral(c: f64, mu: f64) -> f64 {
    const POINTS: [(f64, f64); 3] = [
        (0.0, 0.568_888_888_888_888_9),
        (0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
        (0.906_179_845_938_664, 0.236_926_885_056_189_08),
    ];
    let slope = |x: f64| 1.0 - x * mills(x);
    let (middle, half) = (c + 0.5 * mu, 0.5 * mu);
    let sides = POINTS[1..].iter();
    let sum = sides.map(|(x, w)| w * (slope(middle - half * x) + slope(middle + half * x)));
    half * (POINTS[0].1 * slope(middle) + sum.sum::<f64>())
}

/// The smallest epsilon of a Gaussian mechanism at `delta` in (0, 1): 0 if `mu` (sensitivity over
/// standard deviation) is 0, infinite if `mu` is.
pub fn epsilon(mu: f64, delta: f64) -> f64 {
    if mu == 0.0 {
        return 0.0;
    }
    if !mu.is_finite() {
        return f64::INFINITY;
    }
    let target = delta.ln();
    let lowest = (-0.5 * mu).max(-FURTHEST);
    if lowest == -0.5 * mu && ln_delta_at(lowest, mu) <= target {
        return 0.0;
    }
    let c = bisect(lowest, FURTHEST, |c| ln_delta_at(c, mu) > target);
    (mu * (c + 0.5 * mu)).max(0.0)
}

/// The smallest delta of a Gaussian mechanism of `mu` (sensitivity over standard deviation) at
/// `epsilon` >= 0.
pub fn delta(mu: f64, epsilon: f64) -> f64 {
    if mu == 0.0 || epsilon == f64::INFINITY {
        return 0.0;
    }
    let c = epsilon / mu - 0.5 * mu;
    if !mu.is_finite() || c < -FURTHEST {
        return 1.0;
    }
    if c > FURTHEST { ln_tail(c).exp() } else { ln_delta_at(c, mu).exp().min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libm::erfc;

    /// Theorem 8 as it is printed, where that does not overflow or cancel.
    fn printed(mu: f64, eps: f64) -> f64 {
        let phi = |x: f64| 0.5 * erfc(-x / 2.0_f64.sqrt());
        phi(0.5 * mu - eps / mu) - eps.exp() * phi(-0.5 * mu - eps / mu)
    }

    #[test]
    fn delta_is_that_of_the_theorem() {
        for mu in [0.05, 0.0999, 0.1001, 0.5, 1.0, 4.0, 9.0] {
            for eps in [0.0, 0.1, 0.5, 2.0, 5.0] {
                let (got, want) = (delta(mu, eps), printed(mu, eps));
                assert!((got - want).abs() <= 1e-14 + 1e-10 * want, "{mu} {eps}: {got} {want}");
            }
        }
    }

    #[test]
    fn epsilon_inverts_delta() {
        for mu in [1e-6, 1e-3, 0.3, 1.0, 20.0, 1e3] {
            for target in [1e-300, 1e-12, 1e-5, 0.3] {
                let eps = epsilon(mu, target);
                assert!(delta(mu, eps) <= target * (1.0 + 1e-9), "{mu} {target}");
                assert!(eps == 0.0 || delta(mu, eps * (1.0 - 1e-6)) > target, "{mu} {target}");
            }
        }
    }

    #[test]
    fn extremes_have_answers() {
        for mu in [0.0, 1e-300, 1e-9, 1e9, 1e200, f64::INFINITY] {
            for target in [5e-324, 1e-300, 0.5, 1.0 - 1e-16] {
                let eps = epsilon(mu, target);
                assert!(eps >= 0.0, "{mu} {target}: {eps}");
                let back = delta(mu, 1.0);
                assert!((0.0..=1.0).contains(&back), "{mu}: {back}");
            }
        }
    }
}
