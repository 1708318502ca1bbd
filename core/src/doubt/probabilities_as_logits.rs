//! The model answers with probabilities where attacks expect logits. The loss then takes a softmax of a
//! softmax, whose gradients vanish where the model is sure.
//!
//! From the checks of the code of Croce and Hein 2020; an instance of Carlini et al. 2019, section 4.7.

use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str = "Croce and Hein 2020, code; Carlini et al. 2019, section 4.7";

/// Answers in `[0, 1]` that add up to 1, all of them.
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let found = facts.answers.filter(|answers| answers.probabilities)?;
    let sentence = format!(
        "the logits of all {} samples are probabilities: attack what comes before the softmax, whose \
         gradients do not vanish",
        found.samples
    );
    Some(Evidence { sentence, numbers: vec![("samples", found.samples as f64)] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubt::Answers;

    #[test]
    fn probabilities_are_found() {
        let facts = |probabilities| Facts {
            answers: Some(Answers { samples: 64, probabilities, ..Answers::default() }),
            ..Facts::default()
        };
        assert!(look(&facts(true)).is_some() && look(&facts(false)).is_none());
    }
}
