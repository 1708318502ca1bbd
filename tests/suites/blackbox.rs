//! Black-box attacks, each held to what makes it that attack, and all to what an attacker without
//! gradients has: a number of questions, and what the answers may be used for.

#[path = "blackbox/decisions.rs"]
mod decisions;
#[path = "blackbox/every.rs"]
mod every;
#[path = "blackbox/scores.rs"]
mod scores;
#[path = "blackbox/square.rs"]
mod square;
#[path = "blackbox/subjects.rs"]
mod subjects;

use std::process::ExitCode;

use inocula_tests::files;
use inocula_tests::harness::{Case, Check, Outcome, run};

use crate::subjects::Images;

/// What is tested with the images and the network of the golden vectors.
type Golden = fn(&Images) -> Outcome;

fn main() -> ExitCode {
    let golden: &[(&str, Golden)] = &[
        ("square::golden_images", square::golden),
        ("decisions::golden_images", decisions::golden),
        ("scores::golden_images", scores::golden),
    ];
    let cases: &[(&str, Check)] = &[
        ("every::budgets_and_access", every::budgets_and_access),
        ("every::same_seed_same_bits", every::seeds),
        ("every::stronger_budgets_fool_no_fewer", every::strength),
        ("every::results_do_not_depend_on_batches", every::batches),
        ("every::shapes_and_targets", every::shapes_and_targets),
        ("every::a_model_that_cannot_be_fooled", every::constant),
        ("every::bad_requests", every::bad_requests),
        ("square::proposals_are_vertices_and_the_best_is_kept", square::vertices),
        ("square::euclidean_proposals_use_the_budget", square::euclidean),
        ("decisions::linear_models_closed_form", decisions::closed_form),
        ("decisions::given_points_lead_to_targets", decisions::given_points),
        ("scores::estimates_ask_in_pairs", scores::pairs),
        ("scores::simba_moves_along_one_vector", scores::one_vector_at_a_time),
        ("scores::linear_models_closed_form", scores::closed_form),
    ];
    let golden = golden.iter().map(|&(name, check)| {
        Case::new(name, move |device| match files::oracles() {
            Ok(folder) => check(&Images::read(device, &folder)?),
            Err(why) => files::skip(&why),
        })
    });
    run(cases.iter().map(|&(name, check)| Case::new(name, check)).chain(golden).collect())
}
