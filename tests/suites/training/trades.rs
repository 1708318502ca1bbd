//! TRADES: its loss against the formula, its inner maximum, and what it achieves.

use inocula_core::attack::{AttackConfig, Fgsm, Norm, Pgd};
use inocula_core::loss::cross_entropy;
use inocula_core::model::Classifier as _;
use inocula_core::nn::Mode;
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Batch, Rule, fit};
use inocula_core::{Device, Result, Tensor};
use inocula_tests::harness::{Outcome, ensure};
use inocula_tests::tolerance::deviation;

use super::{Aim, attacked, config, data, network, robust};

const EPS: f64 = 0.15;

fn inner(steps: usize) -> AttackConfig {
    AttackConfig::Pgd(Pgd { step: Some(0.05), steps, ..Pgd::new(Norm::Linf, EPS) })
}

fn rule(beta: f64, steps: usize) -> Rule {
    Rule::Trades { beta, attack: inner(steps) }
}

/// Softmax of a row, in f64.
pub(super) fn probabilities(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = logits.iter().map(|z| (z - largest).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.iter().map(|e| e / sum).collect()
}

pub(super) fn divergence(p: &[f64], q: &[f64]) -> f64 {
    let (p, q) = (probabilities(p), probabilities(q));
    p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum()
}

pub(super) fn formula(device: &Device) -> Outcome {
    let model = network(device, "mlp")?;
    let (train, _) = data()?;
    let ids: Vec<usize> = (0..6).collect();
    let (x, y) = Placement::new(device).tensors(&train, &ids)?;
    let batch = Batch { x: &x, y: &y, ids: &ids, step: 3, progress: 0.0 };
    let (rng, beta) = (Rng::new(2), 2.5);
    let checked = rule(beta, 5).check()?;
    let losses = |checked: &inocula_core::train::CheckedRule| -> Result<Tensor> {
        checked.losses(&model, model.params(), &batch, &mut Rng::new(1), &rng)
    };
    let got = losses(&checked)?.to_f64_vec()?;
    let at = checked.inputs(&model, &batch, &rng)?;
    let (clean, moved) = (model.logits(&x)?.to_f64_vec()?, model.logits(&at)?.to_f64_vec()?);
    let labels = y.to_vec::<i64>()?;
    let rows = clean.chunks(10).zip(moved.chunks(10)).zip(&labels);
    let want: Vec<f64> = rows
        .map(|((clean, moved), &y)| {
            -probabilities(clean)[y as usize].ln() + beta * divergence(clean, moved)
        })
        .collect();
    let off = deviation(&got, &want);
    ensure(off <= 2e-5, || format!("losses {got:?} for {want:?}"))?;
    let kl = got.iter().zip(losses(&rule(0.0, 5).check()?)?.to_f64_vec()?);
    ensure(kl.clone().all(|(with, without)| *with > without), || "no divergence".into())?;
    let plain = cross_entropy(&model.forward(model.params(), &x, &mut Mode::Eval)?, &y);
    let without = losses(&rule(0.0, 5).check()?)?;
    ensure(without.to_f64_vec()? == plain.to_f64_vec()?, || "beta = 0 is not the loss".into())
}

pub(super) fn inner_maximum(device: &Device) -> Outcome {
    let model = network(device, "mlp")?;
    let (train, _) = data()?;
    let ids: Vec<usize> = (0..16).collect();
    let (x, y) = Placement::new(device).tensors(&train, &ids)?;
    let batch = Batch { x: &x, y: &y, ids: &ids, step: 0, progress: 0.0 };
    let clean = model.logits(&x)?.to_f64_vec()?;
    let reached = |steps: usize| -> Result<f64> {
        let at = rule(1.0, steps).check()?.inputs(&model, &batch, &Rng::new(2))?;
        let moved = (&at - &x).abs().to_f64_vec()?;
        let values = at.to_f64_vec()?;
        let inside = moved.iter().all(|d| *d <= EPS + 1e-6)
            && values.iter().all(|v| (0.0..=1.0).contains(v));
        if !inside {
            return Ok(f64::NAN);
        }
        let logits = model.logits(&at)?.to_f64_vec()?;
        Ok(clean.chunks(10).zip(logits.chunks(10)).map(|(p, q)| divergence(p, q)).sum())
    };
    let (one, ten) = (reached(1)?, reached(10)?);
    // Neither holds where a point lies outside of ball or box.
    ensure(one > 0.0 && ten > 2.0 * one, || format!("divergence {one} in one step, {ten} in ten"))
}

pub(super) fn pays(device: &Device) -> Outcome {
    let (train, test) = data()?;
    let rows: Vec<usize> = (0..100).collect();
    let attack = AttackConfig::Pgd(Pgd::new(Norm::Linf, EPS)).check()?;
    let mut held = Vec::new();
    for rule in [Rule::Standard {}, rule(6.0, 5)] {
        let mut model = network(device, "mlp")?;
        fit(&mut model, &train, None, &config(8, rule), &Rng::new(4), &mut ())?;
        let outcome = attacked(&model, &*attack, &test, &rows, 100, Aim::Untargeted)?;
        held.push(robust(&outcome.success));
    }
    ensure(held[1] >= held[0] + 0.15, || format!("robust accuracy {held:?}"))
}

pub(super) fn mistakes(_: &Device) -> Outcome {
    let line = |rule: Rule| rule.check().err().map(|err| err.to_string()).unwrap_or_default();
    let bad = line(rule(f64::NAN, 5));
    ensure(bad.contains("beta = NaN"), || bad.clone())?;
    let fgsm = AttackConfig::Fgsm(Fgsm::new(Norm::Linf, EPS));
    let bad = line(Rule::Trades { beta: 1.0, attack: fgsm });
    ensure(bad.contains("by pgd, not by fgsm"), || bad.clone())
}
