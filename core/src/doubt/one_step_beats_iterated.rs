//! One step fools more samples than many. What one step finds an iterated attack of the same budget can find
//! too, so the iterated one does not work as it should.
//!
//! Carlini et al. 2019, section 5.2.

use super::facts::winner;
use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str = "Carlini et al. 2019, section 5.2";

/// A rival that wins.
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let duel = winner(&facts.one_step)?;
    let told = duel.told(&facts.attack);
    let sentence = format!(
        "{told}: an iterated attack should be the stronger, so give it other steps or another \
         loss"
    );
    Some(Evidence { sentence, numbers: duel.numbers() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubt::Duel;

    #[test]
    fn a_lead_of_18_of_96_is_found_and_one_of_16_is_not() {
        let facts = |rival_only, attack_only| Facts {
            attack: "PGD-40".into(),
            one_step: vec![Duel {
                rival: "rival".into(),
                samples: 96,
                both: 20,
                attack_only,
                rival_only,
            }],
            ..Facts::default()
        };
        let found = look(&facts(19, 1)).unwrap();
        assert!(
            found.sentence.contains("rival leaves 57 of 96 samples, PGD-40 75"),
            "{}",
            found.sentence
        );
        assert!(found.numbers.contains(&("fooled_by_rival_only", 19.0)));
        assert_eq!(look(&facts(16, 0)), None, "as sound attacks differ");
        assert_eq!(look(&facts(47, 27)), None, "chance");
    }
}
