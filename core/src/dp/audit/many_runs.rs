//! The older audit: independent runs with and without a canary, and exact bounds of two error rates.
//!
//! If the attack says "in" of `found` of `with` runs that had the canary and of `mistaken` of
//! `without` that had not, then epsilon >= ln((TPR - delta) / FPR), and the same of the complementary
//! guess (Jagielski, Ullman and Oprea 2020; Nasr et al. 2021, arXiv 2101.04535). The rates take
//! Clopper and Pearson's bounds at half the error probability each. Canaries of *one* run are no
//! independent runs: for those, [`super::one_run`].

use super::one_run::check_alpha;
use crate::metrics::clopper_pearson_upper;
use crate::{Result, bail};

/// Outcomes of an attack over independent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcomes {
    /// Runs with the canary of which the attack said so.
    pub found: u64,
    /// Runs with the canary.
    pub with: u64,
    /// Runs without it of which the attack said that it was there.
    pub mistaken: u64,
    /// Runs without it.
    pub without: u64,
}

/// A lower bound of epsilon at `delta` with error probability `alpha`; 0 if nothing is shown.
///
/// # Errors
/// The counts contradict each other, there is no run of a kind, `delta` is no probability, or
/// `alpha` is not between 0 and 1.
pub fn epsilon_lower(outcomes: &Outcomes, delta: f64, alpha: f64) -> Result<f64> {
    check_alpha(alpha)?;
    if !(0.0..=1.0).contains(&delta) {
        bail!(Usage, "audit: delta {delta} must be in [0, 1]");
    }
    let Outcomes { found, with, mistaken, without } = *outcomes;
    if found > with || mistaken > without {
        bail!(
            Usage,
            "audit: {found} of {with} and {mistaken} of {without} runs; pass counts that fit"
        );
    }
    let missed = clopper_pearson_upper(with - found, with, alpha / 2.0)?;
    let mistaken = clopper_pearson_upper(mistaken, without, alpha / 2.0)?;
    let bound = |miss: f64, mistake: f64| {
        let hit = 1.0 - miss - delta;
        if hit > 0.0 { (hit / mistake).ln().max(0.0) } else { 0.0 }
    };
    Ok(bound(missed, mistaken).max(bound(mistaken, missed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_rates() {
        let all = Outcomes { found: 500, with: 500, mistaken: 0, without: 500 };
        // No error in n runs: rates of at most 1 - (alpha/2)^(1/n).
        let rate = 1.0 - 0.025_f64.powf(1.0 / 500.0);
        let want = ((1.0 - rate) / rate).ln();
        assert!((epsilon_lower(&all, 0.0, 0.05).unwrap() - want).abs() < 1e-10);
        assert!(epsilon_lower(&all, 0.01, 0.05).unwrap() < want);
        let luck = Outcomes { found: 50, with: 100, mistaken: 50, without: 100 };
        assert_eq!(epsilon_lower(&luck, 0.0, 0.05).unwrap(), 0.0);
        let mirrored = Outcomes { found: 100, with: 100, mistaken: 60, without: 100 };
        let other = Outcomes { found: 40, with: 100, mistaken: 0, without: 100 };
        let [a, b] = [mirrored, other].map(|o| epsilon_lower(&o, 0.0, 0.05).unwrap());
        assert!((a - b).abs() < 1e-9 && a > 1.0, "{a} {b}");
        assert!(epsilon_lower(&Outcomes { found: 3, with: 2, ..all }, 0.0, 0.05).is_err());
        assert!(epsilon_lower(&Outcomes { without: 0, ..all }, 0.0, 0.05).is_err());
    }
}
