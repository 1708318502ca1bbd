//! The attack's loss compares the first, third and fourth largest logits, and there are fewer than four.
//!
//! From the checks of the code of Croce and Hein 2020, whose losses DLR and targeted DLR these are.

use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str = "Croce and Hein 2020, code";

/// Classes that targeted DLR needs.
const NEEDED: usize = 4;

/// Fewer classes than the loss needs.
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let classes = facts.dlr_classes.filter(|&classes| classes < NEEDED)?;
    let sentence = format!(
        "{classes} classes: the loss DLR of {} is made for {NEEDED} and more, and targets run out; run pgd with \
         restarts as well, whose cross-entropy needs two",
        facts.attack
    );
    Some(Evidence { sentence, numbers: vec![("classes", classes as f64)] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_classes_are_enough() {
        let facts = |classes| Facts { dlr_classes: classes, ..Facts::default() };
        assert!(look(&facts(Some(3))).unwrap().sentence.starts_with("3 classes"));
        assert_eq!((look(&facts(Some(4))), look(&facts(None))), (None, None));
    }
}
