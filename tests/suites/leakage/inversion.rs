//! Model inversion: MI-Face by the rules of its paper, and the judgement of a network trained apart.

use inocula_core::data::Dataset;
use inocula_core::model::{Classifier, Network};
use inocula_core::nn::Params;
use inocula_core::privacy::inversion::{
    Evaluator, Inversion, Inverted, MiFace, Optimised, Stop, judge,
};
use inocula_core::rng::Rng;
use inocula_core::train::{TrainConfig, fit};
use inocula_core::{DType, Device};
use inocula_tests::harness::{Outcome, ensure};
use libtest_mimic::Failed;

use crate::subjects::{preset, records};

const CLASSES: [i64; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

fn trained(device: &Device, name: &str, train: &Dataset, seed: u64) -> Result<Network, Failed> {
    let mut network = preset(device, DType::F32, name)?;
    let config = TrainConfig { epochs: 6, batch_size: 32, ..TrainConfig::default() };
    fit(&mut network, train, None, &config, &Rng::new(seed), &mut ())?;
    Ok(network)
}

fn inverted(attack: &Inversion, network: &Network) -> Result<Inverted, Failed> {
    Ok(attack.run(network, &CLASSES, &Rng::new(3), &mut |_, _| Ok(()))?)
}

/// It ends where the cost is at most gamma, and not before: one step less has not reached it.
pub(crate) fn miface(device: &Device) -> Outcome {
    let (train, _) = records()?;
    let network = trained(device, "mlp", &train, 1)?;
    let rule = MiFace { gamma: 0.05, ..MiFace::default() };
    let found = inverted(&Inversion::Miface(rule.clone()), &network)?;
    ensure(found.stops.iter().all(|s| *s == Stop::Confident), || format!("{:?}", found.stops))?;
    let least = found.confidence.iter().copied().fold(1.0, f64::min);
    ensure(least >= 0.95, || format!("a confidence of {least}"))?;
    let logits = network.logits(&found.x)?.softmax(1).to_f64_vec()?;
    for (class, told) in found.confidence.iter().enumerate() {
        let got = logits[class * 10 + class];
        ensure((got - told).abs() < 1e-5, || format!("class {class}: {told} told, {got}"))?;
    }
    // Alone, class 0 takes as many steps as among others; one step less leaves it unfinished.
    let alone = |rule: &MiFace| {
        let attack = Inversion::Miface(rule.clone());
        attack.run(&network, &[0], &Rng::new(3), &mut |_, _| Ok(()))
    };
    let steps = alone(&rule)?.gradient_steps as usize;
    ensure(steps > 1, || format!("{steps} steps"))?;
    let short = alone(&MiFace { alpha: steps - 1, ..rule })?;
    ensure(short.stops == [Stop::Steps] && short.confidence[0] < 0.95, || {
        format!("{:?} at {}", short.stops, short.confidence[0])
    })
}

/// A model that is the same everywhere gives no progress, which is what is told.
pub(crate) fn miface_without_progress(device: &Device) -> Outcome {
    let mut network = preset(device, DType::F32, "logistic")?;
    let flat: Params = network.params().map(|p| p.fill(0.0));
    network.set_params(flat);
    let found = inverted(&Inversion::Miface(MiFace::default()), &network)?;
    ensure(found.stops.iter().all(|s| *s == Stop::NoProgress), || format!("{:?}", found.stops))?;
    ensure(found.gradient_steps == 10, || format!("{} steps", found.gradient_steps))
}

/// A network apart recognises the inversions of a trained model, and not those of an untrained one.
pub(crate) fn judgement(device: &Device) -> Outcome {
    let (train, test) = records()?;
    let network = trained(device, "mlp", &train, 1)?;
    let apart = trained(device, "small-cnn", &train, 2)?;
    let evaluator = Evaluator::new(&apart, &train, &test)?;
    ensure(evaluator.accuracy > 0.8, || format!("evaluator {}", evaluator.accuracy))?;
    let attack = Inversion::Optimised(Optimised { steps: 150, ..Optimised::default() });
    let found = inverted(&attack, &network)?;
    let report = judge("optimised", &found, &CLASSES, &evaluator, &Rng::new(1))?;
    ensure(report.recognised.rate >= 0.7, || report.finding.clone())?;
    ensure(!report.finding.contains("failed"), || report.finding.clone())?;
    ensure(report.confidence.min > 0.9, || format!("{:?}", report.confidence))?;
    ensure(report.ssim_window == Some(7), || format!("{:?}", report.ssim_window))?;
    let fresh = preset(device, DType::F32, "mlp")?;
    let nothing =
        judge("optimised", &inverted(&attack, &fresh)?, &CLASSES, &evaluator, &Rng::new(1))?;
    ensure(nothing.recognised.rate < report.recognised.rate, || nothing.finding.clone())?;
    ensure(nothing.finding.contains("95 % interval"), || nothing.finding.clone())?;
    ensure(nothing.feature_distance.mean > report.feature_distance.mean, || {
        format!("{:?} against {:?}", nothing.feature_distance, report.feature_distance)
    })
}

/// An inversion of one class does not depend on which others are asked for.
pub(crate) fn alone(device: &Device) -> Outcome {
    let (train, _) = records()?;
    let network = trained(device, "mlp", &train, 1)?;
    let attack = Inversion::Optimised(Optimised { steps: 40, ..Optimised::default() });
    let run = |classes: &[i64]| attack.run(&network, classes, &Rng::new(3), &mut |_, _| Ok(()));
    let (many, one) = (run(&[4, 7, 1])?, run(&[4])?);
    let (many, one) = (many.x.narrow(0, 0, 1).to_f64_vec()?, one.x.to_f64_vec()?);
    let off = many.iter().zip(&one).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    // Sums of other lengths round differently, and Adam's first step makes much of little.
    ensure(off < 1e-3, || format!("{off:e}"))?;
    for classes in [&[][..], &[10], &[-1]] {
        ensure(run(classes).is_err(), || format!("classes {classes:?} were taken"))?;
    }
    Ok(())
}
