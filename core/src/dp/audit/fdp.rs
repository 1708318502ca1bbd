//! The bound of Mahloujifar, Melis and Chaudhuri 2024 ("Auditing f-differential privacy in one run",
//! arXiv 2410.22235) on a whole trade-off curve.
//!
//! A pair (epsilon, delta) is one tangent of the curve that says how well any test can tell two
//! neighbouring data sets apart. A test of the whole curve knows more, and needs fewer guesses for
//! the same conclusion. It works with the inverse of the blow-up function: `least(y)` is the smallest
//! probability, without the sample, of an event that has probability y with it.
//!
//! Suppose that v or more of r guesses among m canaries are right with probability alpha. Then the
//! probabilities that one canary is guessed right, and wrong, while i or more others are right, are
//! bounded below by r_i and h_i, from (r_v, h_v) = alpha (v/m, (r-v)/m) downwards:
//!
//! h_i = max(h_(i+1), least(r_(i+1))),  r_i = r_(i+1) + i / (r-i) (h_i - h_(i+1)).
//!
//! At i = 0 nothing is asked of the others, so r_0 + h_0 is at most r/m; more refutes the curve
//! (their algorithm with abstention).

use super::guess::Guesses;
use super::normal::{cdf, quantile};
use super::one_run::{check_alpha, largest_refuted};
use crate::dp::accounting::gaussian;
use crate::{Result, bail};

/// The theorem, for the provenance of a figure.
pub(super) const SOURCE: &str = "Mahloujifar, Melis and Chaudhuri 2024";
/// Gaussian curves beyond this mu are not told apart.
const LARGEST_MU: f64 = 40.0;

/// What a mechanism claims of all tests at once.
#[derive(Debug, Clone, PartialEq)]
pub enum TradeOff {
    /// That of N(0, 1) against N(mu, 1): exact for Gaussian noise without sampling.
    Gaussian {
        /// Sensitivity over standard deviation.
        mu: f64,
    },
    /// The curve above all these tangents, pairs (epsilon, delta): what a mechanism is known to keep
    /// that keeps every one of them.
    Tangents(Vec<(f64, f64)>),
}

impl TradeOff {
    /// The smallest probability under one of two neighbours of an event of probability `y` under the
    /// other.
    fn least(&self, y: f64) -> f64 {
        match self {
            TradeOff::Gaussian { mu } => cdf(quantile(y) - mu),
            TradeOff::Tangents(pairs) => {
                let bound = |&(epsilon, delta): &(f64, f64)| {
                    // Of the event, and of its complement.
                    let below = (y - delta) * (-epsilon).exp();
                    let above = 1.0 - delta - epsilon.exp() * (1.0 - y);
                    below.max(above)
                };
                pairs.iter().map(bound).fold(0.0, f64::max)
            }
        }
    }

    fn check(&self) -> Result<()> {
        let fits = match self {
            TradeOff::Gaussian { mu } => *mu >= 0.0,
            TradeOff::Tangents(pairs) => {
                pairs.iter().all(|&(e, d)| e >= 0.0 && (0.0..=1.0).contains(&d))
            }
        };
        if !fits {
            bail!(
                Usage,
                "audit: {self:?} is no trade-off curve; pass epsilon, mu >= 0, delta in [0, 1]"
            );
        }
        Ok(())
    }
}

/// Whether the guesses refute the curve, with error probability `alpha`.
///
/// # Errors
/// The counts contradict each other, or `curve` or `alpha` are out of range.
pub fn refutes(guesses: &Guesses, curve: &TradeOff, alpha: f64) -> Result<bool> {
    guesses.check()?;
    curve.check()?;
    check_alpha(alpha)?;
    Ok(refuted(guesses, curve, alpha))
}

/// The largest epsilon at `delta` of a Gaussian curve that the guesses refute with error probability
/// `alpha`: a lower bound for mechanisms that have such a curve, as Gaussian noise without sampling
/// has, and for no others.
///
/// # Errors
/// As [`refutes`], or `delta` is not in (0, 1).
pub fn gaussian_epsilon_lower(guesses: &Guesses, delta: f64, alpha: f64) -> Result<f64> {
    guesses.check()?;
    check_alpha(alpha)?;
    if !(delta > 0.0 && delta < 1.0) {
        bail!(Usage, "audit: delta {delta} must be in (0, 1), say 1e-5");
    }
    let refuted = |mu| refuted(guesses, &TradeOff::Gaussian { mu }, alpha);
    Ok(gaussian::epsilon(largest_refuted(LARGEST_MU, refuted), delta))
}

fn refuted(guesses: &Guesses, curve: &TradeOff, alpha: f64) -> bool {
    let [m, trials, correct] =
        [guesses.canaries, guesses.guesses, guesses.correct].map(|n| n as f64);
    if guesses.guesses == 0 {
        return false;
    }
    let mut right = alpha * correct / m;
    let mut wrong = alpha * (trials - correct) / m;
    for i in (0..guesses.correct).rev() {
        let next = curve.least(right.min(1.0));
        if next <= wrong {
            // Neither changes from here on.
            break;
        }
        let i = i as f64;
        right += i / (trials - i) * (next - wrong);
        wrong = next;
    }
    right + wrong > trials / m
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUND: Guesses = Guesses { canaries: 1000, guesses: 100, correct: 90 };

    #[test]
    fn curves_that_allow_more_are_refuted_less() {
        let of = |mu| refutes(&FOUND, &TradeOff::Gaussian { mu }, 0.05).unwrap();
        assert!(of(0.0) && of(0.5) && !of(5.0));
        let of =
            |epsilon| refutes(&FOUND, &TradeOff::Tangents(vec![(epsilon, 1e-5)]), 0.05).unwrap();
        assert!(of(0.0) && of(0.5) && !of(5.0));
        assert!(refutes(&FOUND, &TradeOff::Gaussian { mu: -1.0 }, 0.05).is_err());
        assert!(refutes(&FOUND, &TradeOff::Tangents(vec![(1.0, f64::NAN)]), 0.05).is_err());
        let nothing = Guesses { canaries: 10, guesses: 0, correct: 0 };
        assert!(!refutes(&nothing, &TradeOff::Gaussian { mu: 0.0 }, 0.05).unwrap());
    }

    /// Tangents of a Gaussian curve lie below it and close in on it.
    #[test]
    fn tangents_close_in_on_their_curve() {
        let mu = 1.2;
        let curve = TradeOff::Gaussian { mu };
        let tangents = |count: i32| {
            let at = |i| f64::from(i) * 8.0 / f64::from(count);
            TradeOff::Tangents((0..count).map(|i| (at(i), gaussian::delta(mu, at(i)))).collect())
        };
        for y in [1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999] {
            let [whole, few, many] =
                [curve.clone(), tangents(4), tangents(400)].map(|c| c.least(y));
            assert!(few <= many + 1e-15 && many <= whole + 1e-12, "{y}: {few} {many} {whole}");
            assert!(many >= whole - 1e-4 * y, "{y}: {many} {whole}");
        }
    }

    /// Gaussian noise of a known mu, one run for each seed: refuted no more often than promised.
    #[test]
    fn gaussian_noise_is_refuted_as_seldom_as_promised() {
        let (mu, m, runs, alpha) = (1.0, 200, 300, 0.05);
        let mut rng = crate::rng::Rng::new(3);
        let refuted = (0..runs).filter(|_| {
            let coins: Vec<bool> = (0..m).map(|_| rng.bernoulli(0.5)).collect();
            let scores: Vec<f64> =
                coins.iter().map(|c| mu * f64::from(u8::from(*c)) + rng.normal()).collect();
            let guesses = Guesses::balanced(&scores, &coins, 40).unwrap();
            refutes(&guesses, &TradeOff::Gaussian { mu }, alpha).unwrap()
        });
        let share = refuted.count() as f64 / f64::from(runs);
        assert!(share <= alpha, "{share}");
    }
}
