//! The model answers the same input differently when it is asked again, or its margin jumps between
//! points that are next to each other: a gradient tells of one draw, or of one point.
//!
//! Pintor et al. 2022, indicator 2 (with its threshold of 10 %); Carlini et al. 2019, section 4.6; the same
//! question twice is from the code of Croce and Hein 2020.

use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str = "Pintor et al. 2022, indicator 2; Carlini et al. 2019, section 4.6";

/// Difference of two answers, over the largest logit, that is more than rounding.
const ROUNDING: f64 = 1e-4;

/// Mean relative change of the margin next to a sample beyond which it is not smooth.
const JUMP: f64 = 0.1;

/// Answers at random, or margins that jump.
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let found = facts.answers?;
    let sentence = if found.again > ROUNDING {
        format!(
            "the same {} samples got logits that differ by up to {:.1} % of the largest: the model answers \
             at random, so average gradients over its answers, as AutoAttack's version rand does",
            found.samples,
            100.0 * found.again
        )
    } else if found.nearby > JUMP {
        format!(
            "the margins of {} samples change by {:.0} % on average within a thousandth of the range of \
             inputs: gradients tell of points, so average them over neighbours",
            found.samples,
            100.0 * found.nearby
        )
    } else {
        return None;
    };
    let numbers = vec![
        ("samples", found.samples as f64),
        ("change_when_asked_again", found.again),
        ("change_nearby", found.nearby),
    ];
    Some(Evidence { sentence, numbers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubt::Answers;

    #[test]
    fn chance_and_jumps_are_found_and_rounding_is_not() {
        let facts = |again, nearby| Facts {
            answers: Some(Answers { samples: 64, again, nearby, ..Answers::default() }),
            ..Facts::default()
        };
        assert!(look(&facts(2e-4, 0.5)).unwrap().sentence.contains("answers at random"));
        assert!(look(&facts(9e-5, 0.11)).unwrap().sentence.contains("by 11 % on average"));
        assert_eq!(look(&facts(9e-5, 0.09)), None);
    }
}
