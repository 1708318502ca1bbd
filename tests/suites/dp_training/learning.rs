//! A private training learns.

use inocula_core::data::digits;
use inocula_core::model::{Network, confusion};
use inocula_core::nn::{Preset, init_params};
use inocula_core::optim::{OptimizerConfig, Sgd};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Clipping, Private, Rule, TrainConfig, fit};
use inocula_core::{DType, Device};
use inocula_tests::harness::{Outcome, ensure};

/// DP-SGD on 1,348 digits at epsilon 3: well above 80 % of the rest. Without noise the same network
/// gets 97 %.
pub(super) fn at_three(device: &Device) -> Outcome {
    let (train, test) = digits()?.split_stratified(0.25, &Rng::new(5));
    let spec = Preset::find("mlp")?.spec(&train.shape, 10, [0.0, 1.0])?;
    let params = init_params(&spec, device, DType::F32, &Rng::new(3))?;
    let mut network = Network::new(spec, params, device)?;
    let private = Private {
        epsilon: Some(3.0),
        clipping: Clipping::Flat { bound: 1.0 },
        average: Some(0.9),
        seeded: true,
        ..Private::default()
    };
    let config = TrainConfig {
        epochs: 15,
        batch_size: 128,
        optimizer: OptimizerConfig::Sgd(Sgd { lr: 1.0, momentum: 0.0, weight_decay: 0.0 }),
        rule: Rule::Standard {},
        private: Some(private),
        ..TrainConfig::default()
    };
    let trained = fit(&mut network, &train, None, &config, &Rng::new(4), &mut ())?;
    let budget = trained.privacy.ok_or("no budget")?;
    let accuracy = confusion(&network, &test, &Placement::new(device))?.accuracy();
    let line = format!("accuracy {accuracy} at {}", budget.line());
    ensure(budget.epsilon <= 3.0 && accuracy > 0.8, || line)
}
