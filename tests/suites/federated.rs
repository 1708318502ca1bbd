//! Simulated federations, held to what they promise: the same as training in one place where they
//! must be, the same bits for any number of workers and after a resume, losses that are their formulas,
//! and privacy that is accounted.

#[path = "federated/equal.rs"]
mod equal;
#[path = "federated/faults.rs"]
mod faults;
#[path = "federated/private.rs"]
mod private;
#[path = "federated/repeat.rs"]
mod repeat;

use std::path::Path;
use std::process::ExitCode;

use inocula_core::data::{Dataset, digits};
use inocula_core::fl::{Federation, Outcome, RoundRecord, Simulation, State, Watcher};
use inocula_core::model::Network;
use inocula_core::nn::{Preset, init_params};
use inocula_core::optim::{OptimizerConfig, Sgd};
use inocula_core::rng::Rng;
use inocula_core::train::TrainConfig;
use inocula_core::{DType, Device, Result};
use inocula_tests::harness::{Case, Check, run};

fn main() -> ExitCode {
    let cases: &[(&str, Check)] = &[
        ("equal::one_client_is_training_in_one_place", equal::one_client),
        ("equal::full_batches_of_all_are_those_of_the_whole", equal::full_batches),
        ("equal::without_weight_the_proximal_term_is_nothing", equal::proximal_zero),
        ("equal::the_proximal_term_is_its_formula", equal::proximal),
        ("equal::calibrated_losses_are_their_formula", equal::calibrated),
        ("repeat::workers_do_not_change_the_bits", repeat::workers),
        ("repeat::a_resumed_federation_has_the_same_bits", repeat::resumed),
        ("repeat::few_updates_exist_at_a_time", repeat::memory),
        ("faults::everybody_is_accounted_for", faults::counts),
        ("faults::too_few_answers_change_nothing", faults::lost),
        ("faults::a_backdoor_opens_under_the_mean_and_not_under_krum", faults::backdoor),
        ("faults::digits_are_learnt", faults::learns),
        ("private::secure_sums_are_the_plain_ones", private::secure),
        ("private::every_round_is_in_the_ledger", private::clients),
        ("private::every_client_has_a_ledger", private::samples),
    ];
    run(cases.iter().map(|&(name, check)| Case::new(name, check)).collect())
}

/// Digits: 300 to train on, 100 to judge by.
fn data() -> Result<(Dataset, Dataset)> {
    let (train, test) = digits()?.split_stratified(0.25, &Rng::new(1));
    let rng = Rng::new(2);
    Ok((train.take_stratified(300, &rng), test.take_stratified(100, &rng)))
}

fn network(device: &Device, dtype: DType) -> Result<Network> {
    let (train, _) = data()?;
    let spec = Preset::find("logistic")?.spec(&train.shape, train.classes, [0.0, 1.0])?;
    let params = init_params(&spec, device, dtype, &Rng::new(3))?;
    Network::new(spec, params, device)
}

fn sgd(epochs: usize, batch_size: usize) -> TrainConfig {
    let optimizer = OptimizerConfig::Sgd(Sgd { lr: 0.1, momentum: 0.0, weight_decay: 0.0 });
    TrainConfig { epochs, batch_size, optimizer, ..TrainConfig::default() }
}

fn weights(network: &Network) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for value in network.params().values() {
        all.extend(value.to_f64_vec()?);
    }
    Ok(all)
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// How a federation is run.
struct How<'a> {
    device: &'a Device,
    workers: usize,
    ledger: Option<&'a Path>,
}

impl<'a> How<'a> {
    fn on(device: &'a Device) -> Self {
        How { device, workers: 2, ledger: None }
    }

    /// Runs `federation` from the usual weights, or from `state`.
    fn run(
        &self,
        network: &mut Network,
        config: &TrainConfig,
        federation: &Federation,
        state: Option<&State>,
        watcher: &mut dyn Watcher,
    ) -> Result<Outcome> {
        let (train, test) = data()?;
        let devices = vec![self.device.clone(); self.workers];
        let simulation = Simulation {
            train: &train,
            test: &test,
            config,
            federation,
            devices: &devices,
            ledger: self.ledger,
            rng: &Rng::new(7),
        };
        simulation.run(network, state, watcher)
    }

    /// Runs it whole: the weights and the outcome.
    fn whole(&self, config: &TrainConfig, federation: &Federation) -> Result<(Vec<f64>, Outcome)> {
        let mut network = network(self.device, DType::F32)?;
        let outcome = self.run(&mut network, config, federation, None, &mut ())?;
        Ok((weights(&network)?, outcome))
    }
}

/// What is measured, without the time that it took.
fn timeless(history: &[RoundRecord]) -> Vec<RoundRecord> {
    history.iter().map(|r| RoundRecord { seconds: 0.0, held: 0, ..r.clone() }).collect()
}
