//! Random points of the ball fool as many samples as the attack. An attack that follows gradients is a
//! search with directions; if it does no better than one without, its directions are worth nothing.
//!
//! Carlini et al. 2019, section 4.11. Where neither fools anything, nothing is found: a small enough ball
//! looks the same.

use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str = "Carlini et al. 2019, section 4.11";

/// Samples that noise must fool before it is compared.
const FEWEST: usize = 5;

/// Noise that fools a few samples at least, and no fewer than the attack, which left some.
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let duel = facts.noise.as_ref()?;
    let enough = duel.both + duel.rival_only >= FEWEST;
    if !enough || duel.rival_only < duel.attack_only || duel.left_by_attack() == 0 {
        return None;
    }
    let sentence = format!(
        "{} leaves {} of {} samples, {} {}: directions should help, so the model masks its gradients; \
         attack it without the part that does, or approximate it",
        duel.rival,
        duel.left_by_rival(),
        duel.samples,
        facts.attack,
        duel.left_by_attack()
    );
    Some(Evidence { sentence, numbers: duel.numbers() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubt::Duel;

    #[test]
    fn noise_is_found_once_it_is_as_good_on_a_few_samples() {
        let facts = |samples, both, rival_only, attack_only| Facts {
            attack: "PGD-40".into(),
            noise: Some(Duel { rival: "noise".into(), samples, both, attack_only, rival_only }),
            ..Facts::default()
        };
        let found = look(&facts(96, 4, 1, 1)).unwrap();
        assert!(found.sentence.starts_with("noise leaves 91 of 96 samples, PGD-40 91"));
        assert_eq!(look(&facts(96, 4, 0, 0)), None, "too few to tell");
        assert_eq!(look(&facts(96, 20, 1, 2)), None, "the attack is ahead");
        assert_eq!(look(&facts(20, 20, 0, 0)), None, "nothing is left to find");
    }
}
