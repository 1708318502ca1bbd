//! Differentially private training against its definition: every sample's gradient taken and clipped by
//! itself, noise of the size that is accounted, and nothing else let through.

#[path = "dp_training/average.rs"]
mod average;
#[path = "dp_training/cost.rs"]
mod cost;
#[path = "dp_training/embedding.rs"]
mod embedding;
#[path = "dp_training/learning.rs"]
mod learning;
#[path = "dp_training/noise.rs"]
mod noise;
#[path = "dp_training/refusals.rs"]
mod refusals;
#[path = "dp_training/sums.rs"]
mod sums;

use std::process::ExitCode;

use inocula_core::attack::{AttackConfig, Norm, Pgd};
use inocula_core::data::Dataset;
use inocula_core::model::Network;
use inocula_core::nn::{ModelSpec, init_params};
use inocula_core::optim::{OptimizerConfig, Sgd};
use inocula_core::rng::Rng;
use inocula_core::train::{Clipping, Private, Rule, TrainConfig, Trained, fit};
use inocula_core::{DType, Device, Error, ErrorKind, Result};
use inocula_tests::harness::{Case, Check, run};

fn main() -> ExitCode {
    let cases: &[(&str, Check)] = &[
        ("sums::a_step_is_a_loop_of_batches_of_one", sums::by_definition),
        ("sums::portions_of_a_batch_add_up", sums::portions),
        ("sums::both_passes_of_a_sample_are_clipped_as_one", sums::two_passes),
        ("embedding::gradients_are_those_of_batches_of_one", embedding::by_batches_of_one),
        ("embedding::there_is_no_gradient_in_the_input", embedding::no_gradient_in_the_input),
        ("noise::a_batch_of_nobody_is_noise_alone", noise::nobody),
        ("noise::gradients_make_room_for_the_count", noise::room_for_the_count),
        ("noise::same_seed_same_bits", noise::same_bits),
        ("noise::attacks_and_dropout_draw_in_secret", noise::secret_draws),
        ("noise::the_bound_comes_to_the_quantile", noise::quantile),
        ("cost::every_step_is_told_before_it_is_taken", cost::told),
        ("cost::epsilon_is_that_of_the_steps", cost::epsilon),
        ("cost::noise_for_an_epsilon_keeps_within_it", cost::calibrated),
        ("cost::no_loss_is_recorded", cost::no_loss),
        ("average::is_the_closed_form", average::closed_form),
        ("refusals::couplings_name_the_rule", refusals::couplings),
        ("refusals::mistakes_are_named", refusals::mistakes),
        ("learning::digits_at_epsilon_three", learning::at_three),
    ];
    run(cases.iter().map(|&(name, check)| Case::new(name, check)).collect())
}

/// Noise that is next to nothing: what is left is the clipped sum.
const SILENT: f64 = 1e-9;

const CONVOLUTIONS: &str = r#"{"input": [1, 6, 6], "classes": 3, "bounds": [0.0, 1.0], "layers": [
    {"type": "conv2d", "channels": 4, "kernel": 3}, {"type": "relu"},
    {"type": "conv2d", "channels": 6, "kernel": 3}, {"type": "tanh"},
    {"type": "flatten"}, {"type": "linear", "features": 3}]}"#;

const DENSE: &str = r#"{"input": [1, 6, 6], "classes": 3, "bounds": [0.0, 1.0], "layers": [
    {"type": "flatten"}, {"type": "linear", "features": 40}, {"type": "relu"},
    {"type": "linear", "features": 3}]}"#;

const DROPOUT: &str = r#"{"input": [1, 6, 6], "classes": 3, "bounds": [0.0, 1.0], "layers": [
    {"type": "flatten"}, {"type": "linear", "features": 40}, {"type": "relu"},
    {"type": "dropout", "p": 0.5}, {"type": "linear", "features": 3}]}"#;

fn network(device: &Device, json: &str) -> Result<Network> {
    let spec: ModelSpec =
        serde_json::from_str(json).map_err(|e| Error::new(ErrorKind::Config, e.to_string()))?;
    let params = init_params(&spec, device, DType::F64, &Rng::new(3))?;
    Network::new(spec, params, device)
}

/// Samples for these networks, of random values and labels.
fn data(samples: usize) -> Result<Dataset> {
    let mut rng = Rng::new(17);
    let features = (0..samples * 36).map(|_| rng.uniform(0.0, 1.0) as f32).collect();
    let labels = (0..samples).map(|_| rng.below(3) as i64).collect();
    Dataset {
        name: "random".into(),
        source: "drawn".into(),
        licence: "none".into(),
        features,
        shape: vec![1, 6, 6],
        labels,
        classes: 3,
        class_names: ["a", "b", "c"].map(String::from).to_vec(),
        bounds: (0.0, 1.0),
    }
    .checked()
}

fn private(sigma: f64, clipping: Clipping) -> Private {
    Private { noise_multiplier: Some(sigma), clipping, seeded: true, ..Private::default() }
}

/// Plain descent with learning rate 1, so that what a step adds to the weights is its noisy mean.
fn config(epochs: usize, batch_size: usize, rule: Rule, private: Private) -> TrainConfig {
    let optimizer = OptimizerConfig::Sgd(Sgd { lr: 1.0, momentum: 0.0, weight_decay: 0.0 });
    let private = Some(private);
    TrainConfig { epochs, batch_size, optimizer, rule, private, ..TrainConfig::default() }
}

fn pgd() -> AttackConfig {
    AttackConfig::Pgd(Pgd { steps: 3, ..Pgd::new(Norm::Linf, 0.1) })
}

fn train(
    network: &mut Network,
    data: &Dataset,
    config: &TrainConfig,
    seed: u64,
) -> Result<Trained> {
    fit(network, data, None, config, &Rng::new(seed), &mut ())
}

/// All weights, one parameter after the other.
fn weights(network: &Network) -> Result<Vec<Vec<f64>>> {
    network.params().values().into_iter().map(|p| p.to_f64_vec()).collect()
}

/// How far the weights have moved against the gradient: with [`config`], the noisy mean of one step.
fn moved(before: &[Vec<f64>], network: &Network) -> Result<Vec<Vec<f64>>> {
    let after = weights(network)?;
    let difference = |(a, b): (&Vec<f64>, Vec<f64>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
    Ok(before.iter().zip(after).map(difference).collect())
}
