//! Another loss fools samples that neither more steps nor more starts of the attack's own loss did: the attack
//! ascends what the model does not move by. Cross-entropy saturates with the scale of the logits; the
//! difference-of-logits ratio does not depend on it (Croce and Hein 2020, section 4).
//!
//! Carlini et al. 2019, section 3.1; Pintor et al. 2022, non-adaptive attacks.

use super::statistics::OTHER;
use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str =
    "Carlini et al. 2019, section 3.1; Pintor et al. 2022, non-adaptive attacks";

/// A drop of accuracy that is surely larger than [`OTHER`].
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let extra = facts.loss.as_ref().filter(|extra| extra.drop() > OTHER)?;
    let (told, attack) = (extra.told(), &facts.attack);
    let sentence = format!(
        "{told} by {attack} and by more steps and starts of it: its loss does not fit the \
         model, so attack with the one that does"
    );
    Some(Evidence { sentence, numbers: extra.numbers() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubt::Extra;

    #[test]
    fn eighteen_more_of_96_are_found_and_sixteen_are_not() {
        let facts = |fell| Facts {
            attack: "PGD-40".into(),
            loss: Some(Extra { rival: "more".into(), samples: 96, left: 50, fell }),
            ..Facts::default()
        };
        let found = look(&facts(18)).unwrap();
        assert!(found.sentence.contains("more fools 18 of the 50"), "{}", found.sentence);
        assert!(found.numbers.contains(&("left_after", 32.0)));
        assert_eq!(look(&facts(16)), None);
    }
}
