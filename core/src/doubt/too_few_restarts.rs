//! More random starts fool more samples: the figure depends on luck with the start. Carlini et al. report ten
//! starts as effective.
//!
//! Carlini et al. 2019, section 4.9.

use super::statistics::MORE;
use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str = "Carlini et al. 2019, section 4.9";

/// A drop of accuracy that is surely larger than [`MORE`].
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let extra = facts.restarts.as_ref().filter(|extra| extra.drop() > MORE)?;
    let (told, attack) = (extra.told(), &facts.attack);
    let sentence = format!(
        "{told} by {attack}: the outcome depends on where it starts, so give it more random \
         starts"
    );
    Some(Evidence { sentence, numbers: extra.numbers() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubt::Extra;

    #[test]
    fn twelve_more_of_96_are_found_and_ten_are_not() {
        let facts = |fell| Facts {
            attack: "PGD-40".into(),
            restarts: Some(Extra { rival: "more".into(), samples: 96, left: 50, fell }),
            ..Facts::default()
        };
        let found = look(&facts(12)).unwrap();
        assert!(found.sentence.contains("more fools 12 of the 50"), "{}", found.sentence);
        assert!(found.numbers.contains(&("left_after", 38.0)));
        assert_eq!(look(&facts(10)), None);
    }
}
