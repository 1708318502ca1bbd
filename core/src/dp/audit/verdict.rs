//! The bounds beside the claim.
//!
//! How many guesses are best depends on the leak that is looked for, so several numbers are tried,
//! each with three tests; each gets an equal share of the error probability, so that all of them
//! together keep the confidence. The numbers are fixed and do not depend on the coins.

use serde::Serialize;

use super::fdp::{self, TradeOff};
use super::guess::Guesses;
use super::one_run;
use crate::dp::accounting::{Accountant, Mechanism, Sampling, Spent};
use crate::{Result, bail};

/// Shares of the canaries of which guesses are made.
const SHARES: [f64; 5] = [1.0, 0.5, 0.25, 0.1, 0.04];
/// Tests of each number of guesses: two bounds and the curve.
const TESTS: usize = 3;
/// Deltas at which the claimed trade-off curve is known. An audit of a few thousand canaries sees
/// events that happen at least once in as many, hence none that are much smaller.
const DELTAS: [f64; 12] = [0.7, 0.5, 0.35, 0.25, 0.17, 0.1, 0.06, 0.03, 0.01, 1e-3, 1e-4, 1e-6];

/// What a mechanism is said to keep.
#[derive(Debug, Clone)]
pub struct Claim {
    spent: Spent,
    curve: TradeOff,
    /// Whether the curve is a Gaussian one, whatever its mu.
    gaussian: bool,
}

impl Claim {
    /// What `accountant` says of `history` at `delta`.
    ///
    /// # Errors
    /// As [`Accountant::spent`].
    pub fn accounted(history: &[Mechanism], accountant: &Accountant, delta: f64) -> Result<Self> {
        let at = |delta| accountant.spent(history, delta, Sampling::Poisson);
        let spent = at(delta)?;
        let gaussian = history.iter().all(|m| m.sampling_rate() == 1.0);
        let curve = if gaussian {
            let parts = history.iter().map(|m| (m.steps() as f64).sqrt() / m.noise_multiplier());
            TradeOff::Gaussian { mu: parts.filter(|mu| !mu.is_nan()).fold(0.0, f64::hypot) }
        } else {
            let known = DELTAS.iter().map(|&d| Ok((at(d)?.epsilon, d)));
            TradeOff::Tangents(known.collect::<Result<_>>()?)
        };
        Ok(Claim { spent, curve, gaussian })
    }

    /// The same mechanism with another epsilon claimed of it, such as one that was published.
    #[must_use]
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        let curve = TradeOff::Tangents(vec![(epsilon.max(0.0), self.spent.delta)]);
        let spent = Spent { epsilon, accountant: "none", conversion: "as stated", ..self.spent };
        Claim { spent, curve, gaussian: self.gaussian }
    }

    /// Epsilon, delta, and where they come from.
    pub fn spent(&self) -> &Spent {
        &self.spent
    }
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The largest epsilon that is refuted, at the delta of the claim; 0 if none is.
    pub epsilon: f64,
    /// The theorem that gave it.
    pub method: &'static str,
    /// The guesses that gave it, or those of all canaries.
    pub guesses: usize,
    /// How many of them were right.
    pub correct: usize,
    /// Canaries that had a coin.
    pub canaries: usize,
    /// Whether the claimed trade-off curve is refuted as a whole.
    pub curve_refuted: bool,
    /// Probability with which the audit refutes no claim that holds.
    pub confidence: f64,
    /// Whether the claim is refuted, by the bound or by its curve.
    pub exceeded: bool,
}

/// Guesses from `scores` who was in, as `coins` say, and sets the bounds beside the `claim`.
///
/// # Errors
/// `confidence` is not between 0 and 1, or as [`Guesses::of`] and the bounds.
pub fn judge(scores: &[f64], coins: &[bool], claim: &Claim, confidence: f64) -> Result<Verdict> {
    if !(confidence > 0.0 && confidence < 1.0) {
        bail!(Config, "audit: confidence {confidence} must be between 0 and 1, say 0.95");
    }
    let alpha = (1.0 - confidence) / (SHARES.len() * TESTS) as f64;
    let delta = claim.spent.delta;
    let all = Guesses::balanced(scores, coins, scores.len())?;
    let mut found = Bound { epsilon: 0.0, method: one_run::SOURCE, guesses: all };
    let mut curve_refuted = false;
    for share in SHARES {
        let count = (share * scores.len() as f64).round() as usize;
        let guesses = Guesses::balanced(scores, coins, count)?;
        let epsilon = one_run::epsilon_lower(&guesses, delta, alpha)?;
        found = found.larger(Bound { epsilon, method: one_run::SOURCE, guesses });
        if claim.gaussian && delta > 0.0 && delta < 1.0 {
            let epsilon = fdp::gaussian_epsilon_lower(&guesses, delta, alpha)?;
            found = found.larger(Bound { epsilon, method: fdp::SOURCE, guesses });
        }
        curve_refuted |= fdp::refutes(&guesses, &claim.curve, alpha)?;
    }
    Ok(Verdict {
        epsilon: found.epsilon,
        method: found.method,
        guesses: found.guesses.guesses,
        correct: found.guesses.correct,
        canaries: found.guesses.canaries,
        curve_refuted,
        confidence,
        exceeded: curve_refuted || found.epsilon > claim.spent.epsilon,
    })
}

/// A bound, and what gave it.
struct Bound {
    epsilon: f64,
    method: &'static str,
    guesses: Guesses,
}

impl Bound {
    fn larger(self, other: Bound) -> Bound {
        if other.epsilon > self.epsilon { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn claim(history: &[Mechanism]) -> Claim {
        Claim::accounted(history, Accountant::named("pld").unwrap(), 1e-5).unwrap()
    }

    #[test]
    fn claims_that_say_nothing_are_never_exceeded() {
        let coins: Vec<bool> = (0..400).map(|i| i % 2 == 0).collect();
        let scores: Vec<f64> = coins.iter().map(|c| f64::from(u8::from(*c))).collect();
        for rate in [1.0, 0.5] {
            let nothing = claim(&[Mechanism::new(rate, 0.0, 1).unwrap()]);
            assert!(!judge(&scores, &coins, &nothing, 0.95).unwrap().exceeded, "{rate}");
            let silent = claim(&[Mechanism::new(rate, f64::INFINITY, 1).unwrap()]);
            let verdict = judge(&scores, &coins, &silent, 0.95).unwrap();
            assert!(verdict.exceeded && verdict.curve_refuted && verdict.epsilon > 2.0);
            assert!(!judge(&scores, &coins, &nothing.with_epsilon(20.0), 0.95).unwrap().exceeded);
        }
    }

    #[test]
    fn more_confidence_shows_less() {
        let mut rng = Rng::new(4);
        let coins: Vec<bool> = (0..1000).map(|_| rng.bernoulli(0.5)).collect();
        let scores: Vec<f64> =
            coins.iter().map(|c| 2.0 * f64::from(u8::from(*c)) + rng.normal()).collect();
        let claim = claim(&[Mechanism::new(1.0, 0.5, 1).unwrap()]);
        let at = |confidence| judge(&scores, &coins, &claim, confidence).unwrap().epsilon;
        assert!(at(0.5) > at(0.95) && at(0.95) > at(0.9999) && at(0.9999) > 0.0);
        for confidence in [0.0, 1.0, f64::NAN] {
            assert!(judge(&scores, &coins, &claim, confidence).is_err());
        }
    }
}
