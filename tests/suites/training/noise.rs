//! The rule of Gaussian noise: which noise it is, and that it earns certificates.

use inocula_core::certify::smoothing::{Smoothing, Vote};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Batch, Rule, fit};
use inocula_core::{Device, Result};
use inocula_tests::harness::{Outcome, ensure};

use super::{config, data, network};

const SIGMA: f64 = 0.25;
/// Values of a sample.
const VALUES: usize = 64;

fn rule() -> Rule {
    Rule::Noise { sigma: SIGMA }
}

/// Test samples, and what the rule makes of them in a step.
fn made(device: &Device, ids: &[usize], step: u64, seed: u64) -> Result<(Vec<f64>, Vec<f64>)> {
    let (x, y) = Placement::new(device).tensors(&data()?.1, ids)?;
    let batch = Batch { x: &x, y: &y, ids, step, progress: 0.0 };
    let model = network(device, "logistic")?;
    let made = rule().check()?.inputs(&model, &batch, &Rng::new(seed))?;
    Ok((x.to_f64_vec()?, made.to_f64_vec()?))
}

/// Noise of the deviation that was asked for, beyond the box too.
pub(super) fn is_gaussian(device: &Device) -> Outcome {
    let ids: Vec<usize> = (0..200).collect();
    let (x, noisy) = made(device, &ids, 3, 1)?;
    let noise: Vec<f64> = noisy.iter().zip(&x).map(|(noisy, x)| noisy - x).collect();
    let count = noise.len() as f64;
    let mean = noise.iter().sum::<f64>() / count;
    let deviation = (noise.iter().map(|v| v * v).sum::<f64>() / count).sqrt();
    // Five standard errors: sigma / sqrt(n) of a mean, sigma / sqrt(2n) of a deviation.
    let error = 5.0 * SIGMA / count.sqrt();
    ensure(mean.abs() <= error && (deviation - SIGMA).abs() <= error * 0.5_f64.sqrt(), || {
        format!("{count} values of mean {mean} and deviation {deviation}")
    })?;
    // A normal value is beyond two deviations with probability 0.0455.
    let far = noise.iter().filter(|v| v.abs() > 2.0 * SIGMA).count() as f64 / count;
    let error = 5.0 * (0.0455 * 0.9545 / count).sqrt();
    ensure((far - 0.0455).abs() <= error, || format!("{far} beyond two deviations"))?;
    let beyond = noisy.iter().any(|v| *v < 0.0) && noisy.iter().any(|v| *v > 1.0);
    ensure(beyond, || "the noise is cut off at the box".into())
}

/// Each sample has noise of its own in each step, whatever else is in its batch.
pub(super) fn is_of_seed_step_and_sample(device: &Device) -> Outcome {
    let noisy = |ids: &[usize], step, seed| made(device, ids, step, seed).map(|(_, noisy)| noisy);
    let whole = noisy(&[7, 2, 9], 3, 1)?;
    ensure(noisy(&[7, 2, 9], 3, 1)? == whole, || "the same seed gave other noise".into())?;
    for (step, seed) in [(3, 2), (4, 1)] {
        let other = noisy(&[7, 2, 9], step, seed)?;
        let same = other.iter().zip(&whole).filter(|(a, b)| a == b).count();
        ensure(same < whole.len() / 10, || format!("step {step}, seed {seed}: {same} are equal"))?;
    }
    let alone = noisy(&[9], 3, 1)?;
    ensure(alone[..] == whole[2 * VALUES..], || "the batch decides on the noise".into())
}

/// The loss is the plain one of the noisy samples.
pub(super) fn loss(device: &Device) -> Outcome {
    let ids: Vec<usize> = (0..20).collect();
    let (x, y) = Placement::new(device).tensors(&data()?.1, &ids)?;
    let batch = Batch { x: &x, y: &y, ids: &ids, step: 3, progress: 0.0 };
    let (model, rng) = (network(device, "logistic")?, Rng::new(2));
    let checked = rule().check()?;
    let made = checked.inputs(&model, &batch, &rng)?;
    let got = checked.losses(&model, model.params(), &batch, &mut Rng::new(1), &rng)?;
    let plain = Rule::Standard {}.check()?;
    let at = |x| plain.losses_at(x, &model, model.params(), &batch, &mut Rng::new(1), &rng);
    let got = got.to_f64_vec()?;
    ensure(got == at(&made)?.to_f64_vec()?, || "not the loss of noisy samples".into())?;
    ensure(got != at(&x)?.to_f64_vec()?, || "the loss of samples without noise".into())
}

/// More is certified of a network that knows the noise.
pub(super) fn pays(device: &Device) -> Outcome {
    const SAMPLES: usize = 60;
    const NOISE: f64 = 0.5;
    let (train, test) = data()?;
    let smoothing = Smoothing { estimation: 1000, ..Smoothing::new(NOISE) };
    let certified = |rule: Rule| -> Result<usize> {
        let mut model = network(device, "mlp")?;
        fit(&mut model, &train, None, &config(12, rule), &Rng::new(4), &mut ())?;
        let mut held = 0;
        for row in 0..SAMPLES {
            let (x, y) = Placement::new(device).tensors(&test, &[row])?;
            let label = y.to_vec::<i64>()?[0];
            let vote = smoothing.certify(&model, &x, &Rng::new(9).index(row as u64))?;
            let Vote::Class { class, radius } = vote else { continue };
            held += usize::from(class == label && radius >= NOISE);
        }
        Ok(held)
    };
    let plain = certified(Rule::Standard {})?;
    let noisy = certified(Rule::Noise { sigma: NOISE })?;
    ensure(noisy >= plain + 6, || {
        format!("of {SAMPLES}, {noisy} are certified at {NOISE} with the rule, {plain} without")
    })
}
