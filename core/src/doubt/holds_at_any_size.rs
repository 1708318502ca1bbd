//! The model holds although the perturbation may be of any size. Somewhere in the box there is an input of
//! another class, so the attack does not find what surely exists.
//!
//! Carlini et al. 2019, section 5.3; Pintor et al. 2022, indicator 6. It starts at the sample itself: a random
//! point of the whole box is mostly of another class already, gradients or not.

use super::statistics::{FLOOR, at_least};
use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str = "Carlini et al. 2019, section 5.3; Pintor et al. 2022, indicator 6";

/// A share of samples that is surely larger than [`FLOOR`].
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let found = facts.unbounded.as_ref()?;
    let share = at_least(found.left, found.samples);
    if share <= FLOOR {
        return None;
    }
    let sentence = format!(
        "{}, which may change everything, leaves {} of {} samples: its gradients lead nowhere, so attack \
         with another loss, from other starts, or what remains without the masking part",
        found.label, found.left, found.samples
    );
    let numbers = vec![
        ("samples", found.samples as f64),
        ("left", found.left as f64),
        ("left_share_at_least", share),
    ];
    Some(Evidence { sentence, numbers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubt::Unbounded;

    #[test]
    fn seven_of_96_are_found_and_five_are_not() {
        let facts = |left| Facts {
            unbounded: Some(Unbounded { label: "PGD-50 L∞ 1".into(), samples: 96, left }),
            ..Facts::default()
        };
        assert!(look(&facts(7)).unwrap().sentence.contains("leaves 7 of 96"));
        assert_eq!(look(&facts(5)), None);
    }
}
