//! Networks and records that attacks are tried on.

use inocula_core::data::{Dataset, digits};
use inocula_core::model::Network;
use inocula_core::nn::layers::{AvgPool2d, Conv2d, Flatten, Linear, Tanh};
use inocula_core::nn::{Layer, ModelSpec, Preset, init_params};
use inocula_core::privacy::reconstruction::{Experiment, Method, Outcome};
use inocula_core::rng::Rng;
use inocula_core::{DType, Device};
use libtest_mimic::Failed;

/// A preset for the digits with weights that are not trained.
pub(crate) fn preset(device: &Device, dtype: DType, name: &str) -> Result<Network, Failed> {
    fresh(device, dtype, Preset::find(name)?.spec(&[1, 8, 8], 10, [0.0, 1.0])?)
}

/// A smooth network, as the paper of DLG uses: strided convolutions and no ReLU.
pub(crate) fn smooth(device: &Device, dtype: DType) -> Result<Network, Failed> {
    let layers = vec![
        Layer::Conv2d(Conv2d::new(8, 3, 1, 1)),
        Layer::Tanh(Tanh {}),
        Layer::AvgPool2d(AvgPool2d { kernel: 2, stride: None }),
        Layer::Conv2d(Conv2d::new(12, 3, 1, 1)),
        Layer::Tanh(Tanh {}),
        Layer::Flatten(Flatten {}),
        Layer::Linear(Linear { features: 10, bias: true }),
    ];
    fresh(
        device,
        dtype,
        ModelSpec { input: vec![1, 8, 8], classes: 10, bounds: [0.0, 1.0], layers },
    )
}

fn fresh(device: &Device, dtype: DType, spec: ModelSpec) -> Result<Network, Failed> {
    let params = init_params(&spec, device, dtype, &Rng::new(5).child("init"))?;
    Ok(Network::new(spec, params, device)?)
}

/// The digits, and others of their kind.
pub(crate) fn records() -> Result<(Dataset, Dataset), Failed> {
    Ok(digits()?.split_stratified(0.25, &Rng::new(2).child("split")))
}

/// A method on records that share nothing, with labels read off.
pub(crate) fn single(method: Method) -> Experiment {
    Experiment {
        method,
        batch: 1,
        depth: None,
        labels_known: false,
        defence: None,
        recovered_from: 20.0,
    }
}

/// Runs an experiment on the digits.
pub(crate) fn attack(
    experiment: &Experiment,
    network: &Network,
    rows: &[usize],
) -> Result<Outcome, Failed> {
    let (data, others) = records()?;
    Ok(experiment.run(network, &data, rows, &others, &Rng::new(7), &mut |_, _| Ok(()))?)
}
