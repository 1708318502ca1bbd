//! Reasons to doubt a figure of robustness: what a reader of the literature on failed evaluations would
//! look at, measured after each evaluation.
//!
//! An accuracy under attack is an upper bound that is only as good as the attack. [`measure`] collects
//! facts (the attack's own trace, gradients, answers, and what other attacks do to some of the same
//! samples), and each indicator, a function of these facts and nothing else, either finds nothing or
//! says one sentence with its numbers. The alternative, thresholds inside of the measuring, could only be
//! tested with models that are broken in just the right way.
//!
//! A finding does not say that the figure is wrong, but why it may be; a figure without one is not proved
//! right. Sources: Carlini et al. 2019, "On evaluating adversarial robustness"; Pintor et al. 2022,
//! "Indicators of attack failure"; the checks of the code of Croce and Hein 2020.
//!
//! Adding an indicator is its file, its `mod` line, and its line in the table.

mod black_box_beats_white_box;
mod facts;
mod few_classes;
mod finding;
mod gradients_in_answers;
mod holds_at_any_size;
mod incomplete_optimization;
mod measure;
mod noise_as_good;
mod one_step_beats_iterated;
mod path;
mod probabilities_as_logits;
mod probes;
mod silent_success;
mod square_after_gradients;
mod statistics;
mod steps_not_saturated;
mod too_few_restarts;
mod transfer_beats_white_box;
mod unadapted_loss;
mod unstable_predictions;
mod zero_gradients;

pub use facts::{Added, Answers, Duel, Extra, Facts, Gradients, Unbounded};
use finding::indicators;
pub use finding::{Evidence, Finding, Indicator};
pub use measure::{Attacked, Means, Rival, SAMPLES, Subject, measure};
pub use path::Path;
pub use statistics::{FLOOR, LEVEL, MORE, OTHER};

use crate::Result;

indicators! {
    one_step_beats_iterated::OneStepBeatsIterated,
    black_box_beats_white_box::BlackBoxBeatsWhiteBox,
    square_after_gradients::SquareAfterGradients,
    transfer_beats_white_box::TransferBeatsWhiteBox,
    noise_as_good::NoiseAsGood,
    holds_at_any_size::HoldsAtAnySize,
    steps_not_saturated::StepsNotSaturated,
    too_few_restarts::TooFewRestarts,
    zero_gradients::ZeroGradients,
    unstable_predictions::UnstablePredictions,
    silent_success::SilentSuccess,
    incomplete_optimization::IncompleteOptimization,
    unadapted_loss::UnadaptedLoss,
    probabilities_as_logits::ProbabilitiesAsLogits,
    few_classes::FewClasses,
    gradients_in_answers::GradientsInAnswers,
}

/// What the indicators find in `facts`, at most one finding each: of the model `model`, about the
/// figure `figure`.
pub fn findings(facts: &Facts, model: &str, figure: &str) -> Vec<Finding> {
    let found = INDICATORS.iter().filter_map(|indicator| {
        let Evidence { sentence, numbers } = (indicator.look)(facts)?;
        Some(Finding {
            kind: indicator.kind,
            model: model.to_owned(),
            figure: figure.to_owned(),
            sentence,
            evidence: numbers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        })
    });
    found.collect()
}

/// Measures and looks: the findings about the figure `figure` of an attack. None where the attack left
/// nothing standing, as a figure of zero cannot be too high.
///
/// # Errors
/// The model, an attack or the device failed, or `progress`, which hears of steps done and their number,
/// stopped it.
pub fn check(
    subject: &Subject<'_>,
    attacked: &Attacked<'_>,
    rivals: &[Rival],
    figure: &str,
    progress: &mut dyn FnMut(usize, usize) -> Result<()>,
) -> Result<Vec<Finding>> {
    let stands = |(right, fooled): (&bool, &bool)| *right && !*fooled;
    if !subject.right.iter().zip(attacked.fooled).any(stands) {
        return Ok(Vec::new());
    }
    let facts = measure(subject, attacked, rivals, progress)?;
    Ok(findings(&facts, subject.name, figure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_indicator_has_one_name_everywhere_and_a_source() {
        for indicator in INDICATORS {
            let name = serde_json::to_string(&indicator.kind).unwrap();
            assert_eq!(name, format!("{:?}", indicator.name));
            assert_eq!(indicator.kind.name(), indicator.name);
            assert!(indicator.source.contains(" 20"), "{}: {}", indicator.name, indicator.source);
        }
    }

    #[test]
    fn nothing_is_found_where_nothing_was_measured() {
        assert_eq!(findings(&Facts::default(), "plain", "PGD-40"), []);
    }

    #[test]
    fn a_finding_survives_json() {
        let facts = Facts { attack: "APGD-T".into(), dlr_classes: Some(3), ..Facts::default() };
        let found = findings(&facts, "plain", "APGD-T L∞ 0.1");
        let text = serde_json::to_string(&found).unwrap();
        assert!(text.contains("\"kind\":\"few_classes\"") && text.contains("\"classes\":3.0"));
        assert_eq!(serde_json::from_str::<Vec<Finding>>(&text).unwrap(), found);
    }

    /// `docs/checking.md` describes each indicator under its name.
    #[test]
    fn the_page_describes_every_indicator() {
        let page = include_str!("../../../docs/checking.md");
        for indicator in INDICATORS {
            assert!(page.contains(&format!("| `{}` |", indicator.name)), "{}", indicator.name);
        }
    }
}
