//! A training that was stopped and taken up again comes to the bits of one that was not.

use std::path::Path;

use inocula_core::attack::{AttackConfig, Norm, Pgd};
use inocula_core::data::Dataset;
use inocula_core::dp::accounting::Mechanism;
use inocula_core::model::Network;
use inocula_core::optim::OptimizerConfig;
use inocula_core::report::EpochRecord;
use inocula_core::rng::Rng;
use inocula_core::train::{
    Clipping, Observer, Private, Rule, State, TrainConfig, Trained, fit, resume,
};
use inocula_core::{Device, Error, ErrorKind, Result};
use inocula_tests::harness::{Outcome, ensure};

use super::{data, network};

/// Writes the state after every batch, and stops after so many.
struct StopAfter<'a> {
    path: &'a Path,
    batches: usize,
}

impl Observer for StopAfter<'_> {
    fn checkpoint(&mut self, state: &dyn Fn() -> Result<State>) -> Result<()> {
        state()?.save(self.path)?;
        if self.batches == 0 {
            return Err(Error::new(ErrorKind::Cancelled, "stopped"));
        }
        self.batches -= 1;
        Ok(())
    }
}

/// Everything that a training keeps from step to step, a config each.
fn configs() -> Result<Vec<(&'static str, TrainConfig)>> {
    let monitor = Some(AttackConfig::Pgd(Pgd { steps: 2, ..Pgd::new(Norm::Linf, 0.1) }));
    let base = TrainConfig {
        epochs: 2,
        batch_size: 50,
        monitor,
        monitor_samples: 20,
        ..TrainConfig::default()
    };
    let of = |optimizer: &str, rule: Rule| -> Result<TrainConfig> {
        let optimizer = OptimizerConfig::named(optimizer, Some(0.01))?;
        Ok(TrainConfig { optimizer, rule, ..base.clone() })
    };
    let private = |clipping: &str| -> Result<Option<Private>> {
        let clipping = Clipping::named(clipping, 0.5)?;
        let (noise_multiplier, average, seeded) = (Some(1.0), Some(0.9), true);
        Ok(Some(Private { noise_multiplier, clipping, average, seeded, ..Private::default() }))
    };
    let fast = Rule::Fast { eps: 0.1, step: None, grad_align: 0.0 };
    let standard = Rule::Standard {};
    let madry =
        Rule::Madry { attack: AttackConfig::Pgd(Pgd { steps: 2, ..Pgd::new(Norm::Linf, 0.1) }) };
    Ok(vec![
        ("adam", of("adam", madry)?),
        ("momentum", of("momentum", fast)?),
        ("sgd", of("sgd", standard.clone())?),
        ("free", of("rmsprop", Rule::Free { eps: 0.1, replays: 3 })?),
        ("private", TrainConfig { private: private("quantile")?, ..of("adam", standard)? }),
    ])
}

fn bits(network: &Network) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    for (_, value) in network.params().iter() {
        all.extend(value.to_vec::<f32>()?.iter().map(|v| v.to_bits()));
    }
    Ok(all)
}

/// Trains without a stop, or with stops after so many batches each; what it comes to.
fn train(device: &Device, config: &TrainConfig, stops: &[usize]) -> Result<(Vec<u32>, Trained)> {
    let (train, test) = data()?;
    let train: Dataset = train.take_stratified(120, &Rng::new(1));
    let folder = tempfile::tempdir().map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    let path = folder.path().join("state");
    let rng = Rng::new(7);
    for (i, &batches) in stops.iter().enumerate() {
        let mut model = network(device, "mlp")?;
        let mut stop = StopAfter { path: &path, batches };
        let stopped = match i {
            0 => fit(&mut model, &train, Some(&test), config, &rng, &mut stop),
            _ => {
                let state = State::load(&path, device)?;
                resume(&state, &mut model, &train, Some(&test), config, &rng, &mut stop)
            }
        };
        match stopped {
            Err(err) if err.kind() == ErrorKind::Cancelled => {}
            Err(err) => return Err(err),
            Ok(_) => return Err(Error::new(ErrorKind::Usage, "it was not stopped")),
        }
    }
    let mut model = network(device, "mlp")?;
    let trained = match stops {
        [] => fit(&mut model, &train, Some(&test), config, &rng, &mut ())?,
        _ => {
            let state = State::load(&path, device)?;
            resume(&state, &mut model, &train, Some(&test), config, &rng, &mut ())?
        }
    };
    Ok((bits(&model)?, trained))
}

/// 120 samples are 3 batches an epoch: stops before the first, within an epoch, at its end.
pub(super) fn same_bits(device: &Device) -> Outcome {
    for (name, config) in configs()? {
        let (weights, trained) = train(device, &config, &[])?;
        for stops in [&[0][..], &[1], &[2, 1, 1], &[3, 0], &[6]] {
            let (again, resumed) = train(device, &config, stops)?;
            let what = || format!("{name}, stopped after {stops:?}");
            ensure(again == weights, || format!("{}: other weights", what()))?;
            let histories: [&[EpochRecord]; 2] = [&trained.history, &resumed.history];
            ensure(histories[0] == histories[1], || format!("{}: {histories:?}", what()))?;
            ensure(resumed.privacy == trained.privacy, || {
                format!("{}: {:?}", what(), resumed.privacy)
            })?;
        }
    }
    Ok(())
}

/// A ledger may know of more steps than the state: they count, and are told.
pub(super) fn recorded_steps_count(device: &Device) -> Outcome {
    let (_, config) = configs()?.pop().ok_or_else(|| Error::new(ErrorKind::Usage, "no config"))?;
    let (train, _) = data()?;
    let train = train.take_stratified(120, &Rng::new(1));
    let folder = tempfile::tempdir().map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    let path = folder.path().join("state");
    let mut stop = StopAfter { path: &path, batches: 2 };
    let rng = Rng::new(7);
    let mut model = network(device, "mlp")?;
    if fit(&mut model, &train, None, &config, &rng, &mut stop).is_ok() {
        return Err("it was not stopped".to_owned().into());
    }
    let budget = |recorded: u64| -> Result<_> {
        let mut state = State::load(&path, device)?;
        state.count(&[Mechanism::new(50.0 / 120.0, 1.0, recorded)?]);
        let mut model = network(device, "mlp")?;
        let trained = resume(&state, &mut model, &train, None, &config, &rng, &mut ())?;
        trained.privacy.ok_or_else(|| Error::new(ErrorKind::Usage, "no budget"))
    };
    let (exact, over) = (budget(2)?, budget(3)?);
    ensure((exact.steps, over.steps) == (6, 7), || format!("{} {}", exact.steps, over.steps))?;
    ensure(over.epsilon > exact.epsilon, || format!("{} {}", over.epsilon, exact.epsilon))?;
    let told = over.warnings.iter().any(|w| w.contains("1 noisy steps were lost"));
    ensure(told, || format!("{:?}", over.warnings))?;
    let quiet = !exact.warnings.iter().any(|w| w.contains("lost"));
    ensure(quiet, || format!("{:?}", exact.warnings))
}

/// The state of another training is refused, and so is a file that is none.
pub(super) fn refusals(device: &Device) -> Outcome {
    let (_, config) = configs()?.remove(0);
    let (train, _) = data()?;
    let train = train.take_stratified(120, &Rng::new(1));
    let folder = tempfile::tempdir().map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    let path = folder.path().join("state");
    let mut model = network(device, "mlp")?;
    let mut stop = StopAfter { path: &path, batches: 1 };
    if fit(&mut model, &train, None, &config, &Rng::new(7), &mut stop).is_ok() {
        return Err("it was not stopped".to_owned().into());
    }
    let state = State::load(&path, device)?;
    let longer = TrainConfig { epochs: 3, ..config.clone() };
    let fewer = train.take_stratified(100, &Rng::new(1));
    for (config, train, seed) in [(&longer, &train, 7), (&config, &fewer, 7), (&config, &train, 8)]
    {
        let mut model = network(device, "mlp")?;
        let before = bits(&model)?;
        match resume(&state, &mut model, train, None, config, &Rng::new(seed), &mut ()) {
            Err(err) => ensure(err.to_string().contains("another training"), || err.to_string())?,
            Ok(_) => return Err("another training's state was taken up".to_owned().into()),
        }
        ensure(bits(&model)? == before, || "the weights were touched".into())?;
    }
    let weights = folder.path().join("weights");
    inocula_core::nn::save_params(&weights, model.params())?;
    for (path, part) in [(&weights, "not the state"), (&folder.path().join("none"), "none")] {
        match State::load(path, device) {
            Err(err) => ensure(err.to_string().contains(part), || err.to_string())?,
            Ok(_) => return Err(format!("{} was taken for a state", path.display()).into()),
        }
    }
    let mut cut = std::fs::read(&path).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    cut.truncate(cut.len() - 9);
    std::fs::write(&path, cut).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    ensure(State::load(&path, device).is_err(), || "half a state was read".into())
}
