//! The attack passed through an adversarial point and returned another one: an error of the
//! implementation, or of its configuration.
//!
//! Pintor et al. 2022, indicator 3. Attacks of this crate keep the best iterate unless they are told to return
//! the last one, as the papers do. One such sample is enough: it is not a matter of chance.

use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str = "Pintor et al. 2022, indicator 3";

/// Any success that was lost.
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let path = facts.path.filter(|path| path.silent > 0)?;
    let sentence = format!(
        "{} of the {} samples that {} leaves were fooled by a point on its way: it returns another one, \
         so let it keep the best",
        path.silent, path.left, facts.attack
    );
    let numbers = vec![("left", path.left as f64), ("fooled_on_the_way", path.silent as f64)];
    Some(Evidence { sentence, numbers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubt::Path;

    #[test]
    fn one_lost_success_is_enough() {
        let facts = |silent| Facts {
            attack: "PGD-40".into(),
            path: Some(Path { left: 50, silent, ..Path::default() }),
            ..Facts::default()
        };
        assert!(look(&facts(1)).unwrap().sentence.starts_with("1 of the 50 samples that PGD-40"));
        assert_eq!(look(&facts(0)), None);
    }
}
