//! Examples made on other models fool more samples than the attack on the model itself. They need none of
//! its gradients, so these do not lead where they should.
//!
//! The indicator of Pintor et al. is about a figure that rests on transferred examples only; here the attack
//! on the model itself is there to be compared.
//!
//! Carlini et al. 2019, section 4.5; Pintor et al. 2022, indicator 5.

use super::facts::winner;
use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str = "Carlini et al. 2019, section 4.5; Pintor et al. 2022, indicator 5";

/// A rival that wins.
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let duel = winner(&facts.transfer)?;
    let told = duel.told(&facts.attack);
    let sentence = format!(
        "{told}: an attack on the model itself should be the stronger, so the model masks its \
         gradients; count what is transferred as the worst case, and adapt the attack"
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
            transfer: vec![Duel {
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
