//! The checker: models that hide their gradients in the ways known from broken defences, and attacks that
//! lack what attacks need, are each found out; sound attacks on models that hide nothing are not doubted.

#[path = "checker/attacks.rs"]
mod attacks;
#[path = "checker/masked.rs"]
mod masked;
#[path = "checker/subjects.rs"]
mod subjects;

use std::process::ExitCode;

use inocula_tests::harness::{Case, Check, run};

fn main() -> ExitCode {
    let cases: &[(&str, Check)] = &[
        ("sound::models_that_hide_nothing_are_not_doubted", attacks::sound),
        ("masked::logits_that_saturate_the_loss", masked::saturated),
        ("masked::inputs_without_a_slope", masked::rounded),
        ("masked::random_inputs", masked::random),
        ("masked::margins_that_jump", masked::jagged),
        ("masked::inputs_that_are_purified", masked::purified),
        ("masked::logits_that_are_probabilities", masked::probabilities),
        ("masked::noise_is_as_good_as_the_attack", masked::noise),
        ("masked::training_on_one_step", masked::overfitted),
        ("masked::an_evaluation_marks_the_model_that_hides", masked::evaluation),
        ("attacks::too_few_and_too_small_steps", attacks::stopped_early),
        ("attacks::too_few_starts", attacks::few_starts),
        ("attacks::a_success_that_is_lost", attacks::lost_success),
        ("attacks::too_few_classes", attacks::few_classes),
        ("attacks::a_trace_changes_no_result", attacks::traces),
        ("attacks::bad_requests", attacks::bad_requests),
    ];
    run(cases.iter().map(|&(name, check)| Case::new(name, check)).collect())
}
