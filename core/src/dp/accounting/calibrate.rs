//! The least noise that keeps a run within a given epsilon.
//!
//! Epsilon falls as the noise grows, so the answer is bracketed and the bracket narrowed: by the
//! secant in logarithms, near which epsilon is almost a straight line, and by halving where the
//! secant does not narrow it enough. The upper end of the bracket is returned, and was accounted:
//! its epsilon is at most the target.

use super::{Accountant, Mechanism, Sampling, Spent};
use crate::{Result, bail};

/// The bracket is narrow enough at this relative width.
const WIDTH: f64 = 1e-4;
/// Evaluations beyond those of the bracket; halving alone would need as many.
const EVALUATIONS: u32 = 40;
/// Noise outside of this range is of no use, or none at all.
const RANGE: [f64; 2] = [1e-4, 1e8];

/// The smallest noise multiplier, to a relative 1e-4 and from above, with which `steps` steps at
/// `sampling_rate` spend at most `epsilon` at `delta`, together with what they then spend.
///
/// # Errors
/// A value is out of range, or no noise multiplier from 1e-4 to 1e8 spends so little or so much.
pub fn calibrate(
    accountant: &Accountant,
    epsilon: f64,
    sampling_rate: f64,
    steps: u64,
    delta: f64,
    sampling: Sampling,
) -> Result<(f64, Spent)> {
    let history = |sigma| Ok(vec![Mechanism::new(sampling_rate, sigma, steps)?]);
    calibrate_history(accountant, epsilon, delta, sampling, history)
}

/// The same for steps that differ, all of whose noise grows with one number: `history` makes them.
///
/// # Errors
/// As [`calibrate`], or `history` fails.
pub fn calibrate_history(
    accountant: &Accountant,
    epsilon: f64,
    delta: f64,
    sampling: Sampling,
    history: impl Fn(f64) -> Result<Vec<Mechanism>>,
) -> Result<(f64, Spent)> {
    if epsilon.is_nan() || epsilon <= 0.0 {
        bail!(Config, "epsilon {epsilon}: must be positive, say 3");
    }
    let at = |sigma: f64| -> Result<Spent> { accountant.spent(&history(sigma)?, delta, sampling) };
    // Noise that costs nothing: no steps, nobody sampled, any epsilon allowed.
    let bare = at(0.0)?;
    if bare.epsilon <= epsilon {
        return Ok((0.0, bare));
    }
    if delta == 0.0 {
        bail!(
            Config,
            "delta 0: Gaussian noise never gives a finite epsilon for it; choose 1e-5, say"
        );
    }
    let mut bracket = Bracket::around(epsilon, at)?;
    bracket.narrow(epsilon, at)?;
    Ok((bracket.high, bracket.spent))
}

/// Noise that is too little, and noise that is enough.
struct Bracket {
    low: f64,
    low_epsilon: f64,
    high: f64,
    spent: Spent,
}

impl Bracket {
    fn around(target: f64, at: impl Fn(f64) -> Result<Spent>) -> Result<Self> {
        let mut sigma = 1.0;
        let mut spent = at(sigma)?;
        let mut factor = 2.0;
        if spent.epsilon <= target {
            while sigma > RANGE[0] {
                let low = sigma / factor;
                let less = at(low)?;
                if less.epsilon > target {
                    let low_epsilon = less.epsilon;
                    return Ok(Bracket { low, low_epsilon, high: sigma, spent });
                }
                (sigma, spent, factor) = (low, less, factor * 1.5);
            }
            bail!(
                Config,
                "epsilon {target}: even noise multiplier {sigma:.1e} spends no more; ask for less"
            );
        }
        while sigma < RANGE[1] {
            let (low, low_epsilon) = (sigma, spent.epsilon);
            sigma *= factor;
            spent = at(sigma)?;
            if spent.epsilon <= target {
                return Ok(Bracket { low, low_epsilon, high: sigma, spent });
            }
            factor *= 1.5;
        }
        bail!(
            Config,
            "epsilon {target}: even noise multiplier {sigma:.1e} spends {:.3}; take fewer steps or \
             a lower sampling rate",
            spent.epsilon
        );
    }

    fn narrow(&mut self, target: f64, at: impl Fn(f64) -> Result<Spent>) -> Result<()> {
        for round in 0..EVALUATIONS {
            let width = (self.high / self.low).ln();
            if width <= WIDTH {
                break;
            }
            // Every third point is the middle, so the bracket is sure to shrink.
            let share = if round % 3 == 2 { 0.5 } else { self.secant(target) };
            // Off the estimate by a little, alternately, so that it becomes an end on either side.
            let nudge = 0.4 * WIDTH / width;
            let share = if round % 2 == 0 { share + nudge } else { share - nudge };
            let sigma = self.low * (width * share.clamp(nudge, 1.0 - nudge)).exp();
            let spent = at(sigma)?;
            if spent.epsilon <= target {
                (self.high, self.spent) = (sigma, spent);
            } else {
                (self.low, self.low_epsilon) = (sigma, spent.epsilon);
            }
        }
        Ok(())
    }

    /// Where between the ends, as a share of ln sigma, the straight line of ln epsilon meets the
    /// target; the middle where there is no such line.
    fn secant(&self, target: f64) -> f64 {
        let (low, high) = (self.low_epsilon.ln(), self.spent.epsilon.ln());
        let share = (low - target.ln()) / (low - high);
        if share.is_finite() { share } else { 0.5 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_enough_and_little_less_is_not() {
        for name in ["rdp", "rdp-classic"] {
            let accountant = Accountant::named(name).unwrap();
            for (target, q, steps) in [(3.0, 0.01, 1000), (0.1, 0.1, 10), (50.0, 1.0, 100)] {
                let (sigma, spent) =
                    calibrate(accountant, target, q, steps, 1e-5, Sampling::Poisson).unwrap();
                assert!(spent.epsilon <= target && spent.epsilon > target * 0.999, "{spent:?}");
                let less = Mechanism::new(q, sigma * (1.0 - 2.0 * WIDTH), steps).unwrap();
                let more = accountant.spent(&[less], 1e-5, Sampling::Poisson).unwrap();
                assert!(more.epsilon > target, "{name} {target} {q} {steps}: {sigma}");
            }
        }
    }

    #[test]
    fn questions_without_an_answer_say_so() {
        let accountant = Accountant::named("rdp").unwrap();
        let ask =
            |eps, q, steps, delta| calibrate(accountant, eps, q, steps, delta, Sampling::Poisson);
        for eps in [0.0, -1.0, f64::NAN] {
            assert!(ask(eps, 0.1, 10, 1e-5).unwrap_err().to_string().starts_with("epsilon"));
        }
        assert!(ask(1.0, 0.1, 10, 0.0).unwrap_err().to_string().starts_with("delta 0"));
        assert!(ask(1e-9, 1.0, u64::MAX, 1e-9).is_err());
        assert_eq!(ask(1.0, 0.1, 0, 1e-5).unwrap().0, 0.0);
        assert_eq!(ask(1.0, 0.0, 5, 1e-5).unwrap().0, 0.0);
    }
}
