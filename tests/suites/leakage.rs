//! Attacks on training data, each held to what its paper proves or shows: division is exact, smooth
//! networks give records up, noise takes them back, planted dependencies are found and absent ones not.

#[path = "leakage/attributes.rs"]
mod attributes;
#[path = "leakage/exact.rs"]
mod exact;
#[path = "leakage/inversion.rs"]
mod inversion;
#[path = "leakage/minimiser.rs"]
mod minimiser;
#[path = "leakage/search.rs"]
mod search;
#[path = "leakage/subjects.rs"]
mod subjects;

use std::process::ExitCode;

use inocula_tests::harness::{Case, Check, run};

fn main() -> ExitCode {
    let cases: &[(&str, Check)] = &[
        ("minimiser::quadratics_end_at_their_minimum", minimiser::quadratic),
        ("minimiser::rosenbrock", minimiser::rosenbrock),
        ("minimiser::functions_that_are_not_finite", minimiser::not_finite),
        ("exact::division_gives_the_record", exact::division),
        ("exact::a_batch_gives_what_units_show_alone", exact::batch),
        ("exact::labels_of_single_records", exact::labels),
        ("exact::the_missing_record_of_a_convex_model", exact::database),
        ("search::dlg_on_a_smooth_network", search::dlg),
        ("search::dlg_finds_labels_too", search::dlg_labels),
        ("search::cosine_on_a_convolutional_network", search::cosine),
        ("search::batches_are_found_as_one", search::batch),
        ("search::clipping_and_noise_destroy_it", search::noise),
        ("search::updates_need_their_steps_unrolled", search::updates),
        ("search::outputs_of_layers", search::outputs),
        ("inversion::miface_stops_as_published", inversion::miface),
        ("inversion::miface_without_progress", inversion::miface_without_progress),
        ("inversion::a_network_apart_judges", inversion::judgement),
        ("inversion::classes_do_not_depend_on_each_other", inversion::alone),
        ("attributes::a_planted_dependency_is_found", attributes::planted),
        ("attributes::independent_fields_are_not", attributes::independent),
        ("attributes::what_was_memorised_is_private", attributes::memorised),
        ("attributes::several_fields_at_once", attributes::two_fields),
        ("search::bad_requests", search::bad_requests),
    ];
    run(cases.iter().map(|&(name, check)| Case::new(name, check)).collect())
}
