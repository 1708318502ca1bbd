//! Attacks that reconstruct training data, each held to what its paper proves or shows: division is
//! exact, smooth networks give records up, noise takes them back.

#[path = "reconstruction/exact.rs"]
mod exact;
#[path = "reconstruction/minimiser.rs"]
mod minimiser;
#[path = "reconstruction/search.rs"]
mod search;
#[path = "reconstruction/subjects.rs"]
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
        ("search::cosine_on_a_network_with_pooling", search::cosine),
        ("search::clipping_and_noise_destroy_it", search::noise),
        ("search::updates_need_their_steps_unrolled", search::updates),
        ("search::outputs_of_layers", search::outputs),
        ("search::bad_requests", search::bad_requests),
    ];
    run(cases.iter().map(|&(name, check)| Case::new(name, check)).collect())
}
