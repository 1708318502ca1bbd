//! Attacks that see predictions only: distances that are known in closed form, and what holds on the way.

use inocula_core::attack::{AttackConfig, Boundary, Draws, Goal, HopSkipJump, Norm, Threat};
use inocula_core::model::Classifier;
use inocula_core::rng::Rng;
use inocula_core::{Device, Result, Tensor};
use inocula_tests::harness::{Outcome, ensure};

use crate::subjects::{Images, linear, small};

fn hop(norm: Norm, queries: usize) -> HopSkipJump {
    HopSkipJump { queries, ..HopSkipJump::new(norm) }
}

/// The points that an attack came to, without the projection onto a ball.
fn points(
    model: &dyn Classifier,
    x: &Tensor,
    goal: &Goal,
    config: &AttackConfig,
) -> Result<Tensor> {
    let draws = Draws::new(Rng::new(1), (0..x.dim(0) as u64).collect());
    config.check()?.run(model, x, goal, &draws)
}

/// Distances of `found` from `x`, each of which must fool.
fn distances(
    model: &dyn Classifier,
    x: &Tensor,
    goal: &Goal,
    found: &Tensor,
    norm: Norm,
) -> Result<Vec<f64>, libtest_mimic::Failed> {
    let reached = goal.reached(&model.logits(found)?).to_vec::<i64>()?;
    ensure(reached.iter().all(|r| *r == 1), || format!("{norm}: {reached:?} fool"))?;
    let (x, found) = (x.to_f64_vec()?, found.to_f64_vec()?);
    let each = x.len() / reached.len();
    let pairs = x.chunks(each).zip(found.chunks(each));
    Ok(pairs.map(|(a, b)| norm.of(a.iter().zip(b).map(|(a, b)| b - a))).collect())
}

/// For two classes and a linear model the smallest change is the margin over the dual norm.
pub(crate) fn closed_form(device: &Device) -> Outcome {
    let (features, samples) = (40, 6);
    let mut rng = Rng::new(11);
    let mut w: Vec<f32> = (0..features).map(|_| rng.normal() as f32).collect();
    let dual = |norm: Norm| norm.of(w.iter().map(|w| f64::from(*w)));
    let (l2, l1) = (dual(Norm::L2), dual(Norm::L1));
    w.extend([0.0; 40]);
    // A wide box, so that it cuts nothing off.
    let model = linear(device, &[features], &w, &[1.0, 0.0], [-5.0, 5.0])?;
    let mut values = vec![0f32; samples * features];
    rng.fill_uniform(&mut values, -0.5, 0.5);
    let x = Tensor::from_slice(device, &values, &[samples, features])?;
    let logits = model.logits(&x)?;
    let goal = Goal::Untargeted(logits.argmax(1).reshape(&[samples]));
    let margins = goal.margin(&logits).to_f64_vec()?;
    let walk = Boundary { queries: 8000, check_every: 2, ..Boundary::new() };
    let cases = [
        (AttackConfig::HopSkipJump(hop(Norm::L2, 4000)), Norm::L2, l2, 1.03),
        (AttackConfig::HopSkipJump(hop(Norm::Linf, 4000)), Norm::Linf, l1, 1.06),
        (AttackConfig::Boundary(walk), Norm::L2, l2, 1.01),
    ];
    for (config, norm, dual, within) in cases {
        let found = points(&model, &x, &goal, &config)?;
        let got = distances(&model, &x, &goal, &found, norm)?;
        for (got, margin) in got.iter().zip(&margins) {
            let least = margin.abs() / dual;
            let ratio = got / least;
            ensure(ratio > 0.999 && ratio < within, || {
                format!("{} in {norm}: {got} where {least} is least", config.label())
            })?;
        }
    }
    Ok(())
}

/// On the golden images the mean distance comes near that of the attack of Carlini and Wagner, which has
/// gradients: 1.407 in L2.
pub(crate) fn golden(images: &Images) -> Outcome {
    let rows = 16;
    let x = images.x.narrow(0, 0, rows);
    let goal = images.goal.take(&Tensor::iota(x.device(), rows));
    let mut last = f64::INFINITY;
    for queries in [500, 2000] {
        let config = AttackConfig::HopSkipJump(hop(Norm::L2, queries));
        let found = points(&images.model, &x, &goal, &config)?;
        let got = distances(&images.model, &x, &goal, &found, Norm::L2)?;
        let mean = got.iter().sum::<f64>() / rows as f64;
        ensure(mean < last, || format!("{mean} after {queries} queries, {last} after fewer"))?;
        last = mean;
    }
    ensure(last < 2.0, || format!("mean distance {last}"))
}

/// Targets are met by starting from given samples of them, and a sample within the radius stops.
pub(crate) fn given_points(device: &Device) -> Outcome {
    let (model, x, y) = small(device, 150)?;
    let (labels, values) = (y.to_vec::<i64>()?, x.to_vec::<f32>()?);
    let logits = model.logits(&x)?;
    let seen = logits.argmax(1).to_vec::<i64>()?;
    let samples = 12;
    let next: Vec<i64> = labels[..samples].iter().map(|y| (y + 1) % 10).collect();
    let next = Goal::Targeted(Tensor::from_slice(device, &next, &[samples])?);
    // One digit of each class that the model is right about.
    let digit = |class: i64| (0..150).find(|&i| labels[i] == class && seen[i] == class);
    let starts: Vec<Vec<f32>> =
        (0..10).filter_map(digit).map(|i| values[i * 64..][..64].to_vec()).collect();
    ensure(starts.len() == 10, || format!("{} classes of 10", starts.len()))?;
    let x = x.narrow(0, 0, samples);
    let farthest = 8.0;
    let hop = HopSkipJump { starts: starts.clone(), ..hop(Norm::L2, 1000) };
    let walk = Boundary { queries: 1000, starts, ..Boundary::new() };
    for config in [AttackConfig::HopSkipJump(hop), AttackConfig::Boundary(walk)] {
        let found = points(&model, &x, &next, &config)?;
        let got = distances(&model, &x, &next, &found, Norm::L2)?;
        let mean = got.iter().sum::<f64>() / samples as f64;
        ensure(mean < 1.7, || format!("{}: mean distance {mean}", config.label()))?;
        let wide = config.with_threat(Threat::new(Norm::L2, farthest));
        let few = inocula_core::attack::perturb(
            &*wide.check()?,
            &model,
            &x,
            &next,
            &Draws::new(Rng::new(1), (0..samples as u64).collect()),
        )?;
        // The original, at most ten starts, and the first way back.
        ensure(few.success.iter().all(|s| *s) && few.queries <= 30 * samples as u64, || {
            format!("{}: {} queries", config.label(), few.queries)
        })?;
    }
    Ok(())
}
