//! A step without noise to speak of is the sum of gradients that were clipped one by one.

use inocula_core::grad::grad;
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Batch, Clipping, Private, Rule};
use inocula_core::{DType, Device, Result};
use inocula_tests::harness::{Outcome, ensure};

use super::{
    CONVOLUTIONS, DENSE, SILENT, config, data, moved, network, pgd, private, train, weights,
};

/// Samples of the batch.
const SAMPLES: usize = 12;
const SEED: u64 = 6;

/// A norm that the gradients of most samples exceed.
const BOUND: f64 = 0.9;

/// The noise is 1e-9 of the bound, over the batch; a draw is below ten times that.
const TOLERANCE: f64 = 1e-9;

fn clippings(bound: f64) -> Vec<Clipping> {
    Clipping::NAMES.iter().filter_map(|name| Clipping::named(name, bound).ok()).collect()
}

/// A bound that half of the samples are within: were all within or all beyond, half of the formula
/// would not be looked at.
fn middle(samples: &[Vec<Vec<f64>>]) -> f64 {
    let mut norms: Vec<f64> = samples.iter().map(norm).collect();
    norms.sort_by(f64::total_cmp);
    (norms[SAMPLES / 2 - 1] + norms[SAMPLES / 2]) / 2.0
}

/// The gradient of each sample in each parameter, from the rule's loss of a batch of that one.
fn one_by_one(device: &Device, json: &str, rule: &Rule) -> Result<Vec<Vec<Vec<f64>>>> {
    let (network, data, rng) = (network(device, json)?, data(SAMPLES)?, Rng::new(SEED));
    let place = Placement { device: device.clone(), dtype: DType::F64, batch: 1 };
    let mut rule = rule.check()?;
    rule.prepare(&network)?;
    (0..SAMPLES)
        .map(|i| {
            let ids = [i];
            let (x, y) = place.tensors(&data, &ids)?;
            let params = network.params().tracked();
            let batch = Batch { x: &x, y: &y, ids: &ids, step: 0, progress: 0.0 };
            let losses = rule.losses(&network, &params, &batch, &mut Rng::new(1), &rng)?;
            let grads = grad(&losses.sum_all(), &params.values())?;
            grads.iter().map(|g| g.to_f64_vec()).collect()
        })
        .collect()
}

fn norm<'a>(parts: impl IntoIterator<Item = &'a Vec<f64>>) -> f64 {
    parts.into_iter().flatten().map(|v| v * v).sum::<f64>().sqrt()
}

/// The gradient of one sample as its formula clips it. Weight and bias, neighbours here, are a layer.
fn clipped(clipping: &Clipping, sample: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let bound = clipping.bound();
    let scaled = |parts: &[Vec<f64>], factor: f64| -> Vec<Vec<f64>> {
        parts.iter().map(|part| part.iter().map(|v| v * factor).collect()).collect()
    };
    match clipping {
        Clipping::Flat { .. } | Clipping::Quantile { .. } => {
            scaled(sample, (bound / norm(sample)).min(1.0))
        }
        Clipping::Automatic { gamma, .. } => scaled(sample, bound / (norm(sample) + gamma)),
        Clipping::PerLayer { .. } => {
            let share = bound / (sample.len() as f64 / 2.0).sqrt();
            let layers = sample.chunks(2);
            layers.flat_map(|layer| scaled(layer, (share / norm(layer)).min(1.0))).collect()
        }
    }
}

/// The mean over `SAMPLES` of the clipped gradients.
fn expected(clipping: &Clipping, samples: &[Vec<Vec<f64>>]) -> Vec<Vec<f64>> {
    let mut mean: Vec<Vec<f64>> = samples[0].iter().map(|part| vec![0.0; part.len()]).collect();
    for sample in samples {
        for (mean, part) in mean.iter_mut().zip(clipped(clipping, sample)) {
            mean.iter_mut().zip(part).for_each(|(m, v)| *m += v / SAMPLES as f64);
        }
    }
    mean
}

/// What one step of `fit` on the whole data moves the weights by.
fn stepped(device: &Device, json: &str, rule: &Rule, private: Private) -> Result<Vec<Vec<f64>>> {
    let mut network = network(device, json)?;
    let before = weights(&network)?;
    train(&mut network, &data(SAMPLES)?, &config(1, SAMPLES, rule.clone(), private), SEED)?;
    moved(&before, &network)
}

fn close(what: &str, got: &[Vec<f64>], want: &[Vec<f64>]) -> Outcome {
    let off = |(a, b): (&Vec<f64>, &Vec<f64>)| {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    let off = got.iter().zip(want).map(off).fold(0.0, f64::max);
    ensure(off <= TOLERANCE && got.len() == want.len(), || format!("{what}: {off:e} off"))
}

pub(super) fn by_definition(device: &Device) -> Outcome {
    for json in [DENSE, CONVOLUTIONS] {
        let rule = Rule::Standard {};
        let samples = one_by_one(device, json, &rule)?;
        for clipping in clippings(middle(&samples)) {
            let got = stepped(device, json, &rule, private(SILENT, clipping.clone()))?;
            close(clipping.name(), &got, &expected(&clipping, &samples))?;
        }
    }
    Ok(())
}

pub(super) fn portions(device: &Device) -> Outcome {
    for clipping in clippings(BOUND) {
        let whole = private(SILENT, clipping.clone());
        let rule = Rule::Madry { attack: pgd() };
        let want = stepped(device, CONVOLUTIONS, &rule, whole.clone())?;
        for size in [1, 5, SAMPLES, 100] {
            let parts = Private { micro_batch: Some(size), ..whole.clone() };
            let got = stepped(device, CONVOLUTIONS, &rule, parts)?;
            close(&format!("{}, portions of {size}", clipping.name()), &got, &want)?;
        }
    }
    Ok(())
}

/// A sample's clean and adversarial pass are one loss, and its gradient is clipped once.
pub(super) fn two_passes(device: &Device) -> Outcome {
    let rules = [
        Rule::Trades { beta: 6.0, attack: pgd() },
        Rule::Mart { beta: 6.0, attack: pgd() },
        Rule::Madry { attack: pgd() },
        Rule::Mixed { ratio: 1.0, attacks: vec![pgd()] },
        Rule::Noise { sigma: 0.25 },
        Rule::Fast { eps: 0.1, step: None, grad_align: 0.0 },
        // Its gradient goes through the gradient of the input: every weight is met five times.
        Rule::Fast { eps: 0.1, step: None, grad_align: 0.5 },
    ];
    let clipping = Clipping::Flat { bound: BOUND };
    for rule in rules {
        let samples = one_by_one(device, CONVOLUTIONS, &rule)?;
        let beyond = samples.iter().any(|sample| norm(sample) > BOUND);
        ensure(beyond, || format!("{}: nothing was clipped", rule.describe()))?;
        let got = stepped(device, CONVOLUTIONS, &rule, private(SILENT, clipping.clone()))?;
        close(&rule.describe(), &got, &expected(&clipping, &samples))?;
    }
    Ok(())
}
