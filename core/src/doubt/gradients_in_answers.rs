//! The model takes gradients while it answers: it may purify its input or adapt to it, and an attack on a
//! fixed model does not judge such a defence.
//!
//! From the checks of the code of Croce and Hein 2020 for dynamic defences (Croce et al. 2022, "Evaluating the
//! adversarial robustness of adaptive test-time defenses", section 3).

use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str = "Croce and Hein 2020, code; Croce et al. 2022, section 3";

/// Gradients taken during questions.
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let taken = facts.answers.filter(|answers| answers.gradients > 0)?.gradients;
    let sentence = format!(
        "the model takes gradients while it answers ({taken} in the questions asked): it may adapt to what it \
         is asked; attack it with an attack made for the defence"
    );
    Some(Evidence { sentence, numbers: vec![("gradients", taken as f64)] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubt::Answers;

    #[test]
    fn a_model_that_only_answers_takes_none() {
        let facts = |gradients| Facts {
            answers: Some(Answers { gradients, ..Answers::default() }),
            ..Facts::default()
        };
        assert!(look(&facts(2)).unwrap().sentence.contains("(2 in"));
        assert_eq!((look(&facts(0)), look(&Facts::default())), (None, None));
    }
}
