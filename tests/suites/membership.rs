//! Attacks on the training data, held to what they promise: a network that memorised is told from one
//! that was never trained, shadow models are the same however they are made, secrets that were there
//! come back and others do not.

#[path = "membership/scenes.rs"]
mod scenes;
#[path = "membership/secrets.rs"]
mod secrets;
#[path = "membership/shadows.rs"]
mod shadows;

use std::process::ExitCode;

use inocula_core::DType;
use inocula_tests::harness::{Case, Check, Needs, run};

fn main() -> ExitCode {
    let cases: &[(&str, Check)] = &[
        ("membership::over_fitted_is_told_and_untrained_is_not", scenes::told),
        ("membership::attacks_without_shadow_models", scenes::alone),
        ("membership::an_evaluation_reports_every_cheap_attack", scenes::evaluation),
        ("shadows::same_bits_for_any_jobs_and_after_a_stop", shadows::same_bits),
        ("shadows::more_models_keep_those_that_are_there", shadows::grow),
        ("shadows::mistakes_are_named", shadows::mistakes),
        ("exposure::ranks_are_exact_and_ties_expose_nothing", secrets::ranks),
        ("exposure::inserted_secrets_rise_above_chance_and_others_do_not", secrets::inserted),
    ];
    let needs = Needs::All(&[DType::F32]);
    run(cases.iter().map(|&(name, check)| Case::new(name, check).needs(needs)).collect())
}
