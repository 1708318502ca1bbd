//! The gradient of the attack's loss is zero, or no number, at samples and next to them: an operation
//! without a slope, a saturated activation, or a cross-entropy that underflowed.
//!
//! Pintor et al. 2022, indicator 1; Carlini et al. 2019, section 4.7. Only exact zeros count: a sign step uses
//! any other number, however small.

use super::statistics::{FLOOR, at_least};
use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str = "Pintor et al. 2022, indicator 1; Carlini et al. 2019, section 4.7";

/// A share of points that is surely larger than [`FLOOR`].
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let found = facts.gradients?;
    let share = at_least(found.zero + found.broken, found.points);
    if share <= FLOOR {
        return None;
    }
    let what = match (found.zero, found.broken) {
        (zero, 0) => format!("exactly zero at {zero}"),
        (0, broken) => format!("not a finite number at {broken}"),
        (zero, broken) => format!("exactly zero at {zero} and not a finite number at {broken}"),
    };
    let sentence = format!(
        "the gradient of the loss of {} is {what} of {} points: it underflowed or is masked; attack with \
         a loss that does not saturate, such as DLR, or replace what has no slope by something like it",
        facts.attack, found.points
    );
    let numbers = vec![
        ("points", found.points as f64),
        ("zero", found.zero as f64),
        ("not_finite", found.broken as f64),
        ("share_at_least", share),
    ];
    Some(Evidence { sentence, numbers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubt::Gradients;

    #[test]
    fn many_zeros_are_found_and_a_few_are_not() {
        let facts = |zero, broken| Facts {
            attack: "PGD-40".into(),
            gradients: Some(Gradients { points: 192, zero, broken }),
            ..Facts::default()
        };
        assert!(look(&facts(11, 0)).unwrap().sentence.contains("exactly zero at 11 of 192"));
        assert!(look(&facts(0, 11)).unwrap().sentence.contains("not a finite number at 11"));
        assert!(
            look(&facts(6, 5)).unwrap().sentence.contains("zero at 6 and not a finite number at 5")
        );
        assert_eq!(look(&facts(7, 0)), None);
    }
}
