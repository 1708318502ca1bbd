//! The bound of Steinke, Nasr and Jagielski 2023 on (epsilon, delta) from one run.
//!
//! Under (epsilon, 0) the number of right guesses is below a binomial one in the usual order: each
//! of r guesses is right with probability at most e^epsilon / (1 + e^epsilon), whatever became of the
//! others. Delta lets the mechanism fail, on average for 2 m delta canaries in all (their main result), and
//! the worst way to spread these failures over outcomes adds to the probability of v or more right
//! guesses
//!
//! 2 m delta max over i in 1..=v of P\[v - i <= W < v\] / i,  W binomial.

use super::guess::Guesses;
use crate::metrics::regularized_beta;
use crate::{Result, bail};

/// The theorem, for the provenance of a figure.
pub(super) const SOURCE: &str = "Steinke, Nasr and Jagielski 2023";
/// Epsilons beyond this one are not told apart.
const LARGEST: f64 = 64.0;

/// The probability with which an (`epsilon`, `delta`)-private mechanism lets somebody guess as well
/// as this, or better: an upper bound, at most 1.
///
/// # Errors
/// The counts contradict each other, `epsilon` is negative, or `delta` is no probability.
pub fn p_value(guesses: &Guesses, epsilon: f64, delta: f64) -> Result<f64> {
    guesses.check()?;
    if !(epsilon >= 0.0 && (0.0..=1.0).contains(&delta)) {
        bail!(Usage, "audit: epsilon {epsilon} must be >= 0 and delta {delta} in [0, 1]");
    }
    Ok(chance(guesses, epsilon, delta))
}

/// The largest epsilon that the guesses refute at `delta` with error probability `alpha`: 0 if they
/// refute none.
///
/// # Errors
/// As [`p_value`], or `alpha` is not between 0 and 1.
pub fn epsilon_lower(guesses: &Guesses, delta: f64, alpha: f64) -> Result<f64> {
    p_value(guesses, 0.0, delta)?;
    check_alpha(alpha)?;
    Ok(largest_refuted(LARGEST, |epsilon| chance(guesses, epsilon, delta) <= alpha))
}

pub(super) fn check_alpha(alpha: f64) -> Result<()> {
    if !(alpha > 0.0 && alpha < 1.0) {
        bail!(Usage, "audit: the error probability {alpha} must be between 0 and 1, say 0.05");
    }
    Ok(())
}

/// The end of the values from 0 that are `refuted`, up to `most`, from below to ten digits.
pub(super) fn largest_refuted(most: f64, refuted: impl Fn(f64) -> bool) -> f64 {
    if !refuted(0.0) {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, most);
    while high - low > 1e-10 * high {
        let middle = f64::midpoint(low, high);
        if refuted(middle) { low = middle } else { high = middle }
    }
    low
}

fn chance(guesses: &Guesses, epsilon: f64, delta: f64) -> f64 {
    let Guesses { canaries, guesses: trials, correct } = *guesses;
    let right = 1.0 / (1.0 + (-epsilon).exp());
    let by_luck = at_least(correct, trials, right);
    if delta == 0.0 {
        return by_luck;
    }
    // The probabilities of v-1, v-2, ... right guesses, added up.
    let mut below = 0.0;
    let mut worst = 0.0_f64;
    for i in 1..=correct {
        below += exactly(correct - i, trials, right);
        worst = worst.max(below / i as f64);
    }
    (by_luck + 2.0 * canaries as f64 * delta * worst).min(1.0)
}

/// P\[Binomial(n, p) >= k\].
fn at_least(k: usize, n: usize, p: f64) -> f64 {
    if k == 0 { 1.0 } else { regularized_beta(p, k as f64, (n - k) as f64 + 1.0) }
}

/// P\[Binomial(n, p) = k\] for 0 < p <= 1.
fn exactly(k: usize, n: usize, p: f64) -> f64 {
    if p >= 1.0 {
        return f64::from(u8::from(k == n));
    }
    let (n, k) = (n as f64, k as f64);
    let ln_choose = libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0);
    (ln_choose + k * p.ln() + (n - k) * (-p).ln_1p()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guesses(canaries: usize, guesses: usize, correct: usize) -> Guesses {
        Guesses { canaries, guesses, correct }
    }

    #[test]
    fn all_right_has_a_closed_form() {
        // q^r = alpha, epsilon = ln(q / (1-q)).
        let q = 0.05_f64.powf(0.01);
        let want = (q / (1.0 - q)).ln();
        let got = epsilon_lower(&guesses(1000, 100, 100), 0.0, 0.05).unwrap();
        assert!((got - want).abs() < 1e-8, "{got} {want}");
    }

    #[test]
    fn p_values_are_probabilities_that_rise_with_what_is_allowed() {
        let found = guesses(500, 100, 70);
        let at = |epsilon, delta| p_value(&found, epsilon, delta).unwrap();
        let values = [at(0.0, 0.0), at(0.2, 0.0), at(0.2, 1e-4), at(0.2, 1e-3), at(3.0, 1e-3)];
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{values:?}");
        assert_eq!(at(0.0, 1.0), 1.0);
        // Half of the guesses right is what coins give.
        assert_eq!(epsilon_lower(&guesses(500, 100, 50), 1e-5, 0.05).unwrap(), 0.0);
        assert_eq!(epsilon_lower(&guesses(500, 0, 0), 1e-5, 0.05).unwrap(), 0.0);
    }

    /// The theorem's example: randomised response of epsilon, audited many times, is refuted no
    /// more often than alpha allows.
    #[test]
    fn randomised_response_is_refuted_as_seldom_as_promised() {
        let (epsilon, alpha, runs) = (1.0_f64, 0.05, 2000);
        let right = epsilon.exp() / (1.0 + epsilon.exp());
        let mut rng = crate::rng::Rng::new(12);
        let refuted = (0..runs).filter(|_| {
            let correct = (0..100).filter(|_| rng.bernoulli(right)).count();
            epsilon_lower(&guesses(100, 100, correct), 0.0, alpha).unwrap() > epsilon
        });
        let share = refuted.count() as f64 / f64::from(runs);
        assert!(share <= alpha + 4.0 * (alpha / f64::from(runs)).sqrt(), "{share}");
        assert!(share > 0.01, "{share}: the bound is far from tight");
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(p_value(&guesses(10, 11, 5), 1.0, 0.0).is_err());
        assert!(p_value(&guesses(10, 5, 6), 1.0, 0.0).is_err());
        assert!(p_value(&guesses(10, 5, 5), f64::NAN, 0.0).is_err());
        assert!(p_value(&guesses(10, 5, 5), 1.0, 1.5).is_err());
        assert!(epsilon_lower(&guesses(10, 5, 5), 0.0, 0.0).is_err());
    }
}
