//! Within AutoAttack, Square fooled samples that the members with gradients before it could not.
//!
//! From the checks of the code of Croce and Hein 2020, which asks whether gradients are masked where that is
//! more than two in a thousand of all samples. Attack by attack such a lead would be chance, and
//! `black_box_beats_white_box` is silent about it; here Square met only what had withstood the others.

use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str = "Croce and Hein 2020, code";

/// Share of all samples that sound members leave to Square.
const SHARE: f64 = 0.002;

/// More than that.
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let added = facts.square.as_ref()?;
    if added.fooled as f64 <= SHARE * added.samples as f64 {
        return None;
    }
    let sentence = format!(
        "{} fooled {} of {} samples that attacks by gradients could not: the model may mask its gradients; \
         attack it without the part that does, or approximate that part",
        added.label, added.fooled, added.samples
    );
    let numbers = vec![("samples", added.samples as f64), ("fooled", added.fooled as f64)];
    Some(Evidence { sentence, numbers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::Stage;
    use crate::doubt::Added;

    #[test]
    fn square_may_win_two_in_a_thousand() {
        let stage = |attack, left| Stage { attack, label: "S".into(), left };
        let run =
            |before, after| [stage("apgd", 600), stage("fab", before), stage("square", after)];
        let found = |stages: &[Stage]| {
            look(&Facts { square: Added::by_square(stages, 1000), ..Facts::default() })
        };
        assert_eq!(found(&run(500, 498)), None);
        assert!(found(&run(500, 497)).unwrap().sentence.contains("3 of 1000"));
        assert_eq!(found(&run(500, 400)[..2]), None);
        assert_eq!(found(&run(500, 400)[2..]), None, "nothing stands before it");
    }
}
