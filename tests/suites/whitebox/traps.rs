//! Traps that other tools are in: starts that are not what they say, budgets in units of normalised values,
//! attacks on a model in training mode, examples that exist only as floats, norms that have no attack.

use inocula_core::attack::{
    AttackConfig, Autoattack, Cw, Draws, Fgsm, Goal, Keep, MiFgsm, Norm, Pgd, Threat,
    autoattack_rows, in_eight_bits,
};
use inocula_core::data::digits;
use inocula_core::model::{Classifier, Network};
use inocula_core::nn::layers::{Dropout, Flatten, Linear, Normalize};
use inocula_core::nn::{Layer, ModelSpec, Params, init_params};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::harness::{Outcome, ensure};

use crate::{attack, digits as small, linear};

/// A uniform point of a ball in d dimensions has a radius whose d-th power is uniform, in a cube every value
/// is; a start on a sphere, or of a uniform radius, is neither.
pub(crate) fn starts(device: &Device) -> Outcome {
    let (samples, d) = (4000usize, 4usize);
    let x0 = Tensor::full(device, DType::F32, &[samples, d], 0.0);
    let draws = Draws::new(Rng::new(1), (0..samples as u64).collect());
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let found = Threat::new(norm, 0.5).random_start(&x0, &draws, [-1.0, 1.0])?.to_f64_vec()?;
        let shares: Vec<f64> =
            found.chunks(d).map(|x| (norm.of(x.iter().copied()) / 0.5).powi(d as i32)).collect();
        let below = |q: f64| shares.iter().filter(|s| **s < q).count() as f64 / samples as f64;
        // Four standard deviations of a share of 4,000.
        for q in [0.1, 0.25, 0.5, 0.75, 0.9] {
            let off = (below(q) - q).abs() / (q * (1.0 - q) / samples as f64).sqrt();
            ensure(off < 4.0, || format!("{norm}: {} of the volume has {q}", below(q)))?;
        }
        let right = found.iter().filter(|v| **v > 0.0).count() as f64 / found.len() as f64;
        ensure((right - 0.5).abs() < 0.02, || format!("{norm}: {right} are positive"))?;
    }
    Ok(())
}

/// A model of flattened inputs.
fn model(device: &Device, layers: Vec<Layer>, params: Vec<(&str, Tensor)>) -> Result<Network> {
    let spec = ModelSpec { input: vec![1, 2, 2], classes: 2, bounds: [0.0, 1.0], layers };
    let mut all = Params::new();
    params.into_iter().for_each(|(name, value)| all.push(name, value));
    Network::new(spec, all, device)
}

/// Normalisation is a layer of the model: a budget means pixels with it as without it, and the attack goes
/// the same way as on the same function written without it.
pub(crate) fn normalised(device: &Device) -> Outcome {
    let (mean, std) = (0.3, 0.25);
    let w = [1.0f32, -2.0, 0.5, 3.0, 0.0, 0.0, 0.0, 0.0];
    let fc = |weights: Vec<f32>, bias: f32| -> Result<Vec<(&str, Tensor)>> {
        let weight = Tensor::from_slice(device, &weights, &[2, 4])?;
        Ok(vec![
            ("fc1.weight", weight),
            ("fc1.bias", Tensor::from_slice(device, &[bias, 0.0], &[2])?),
        ])
    };
    let end = [Layer::Flatten(Flatten {}), Layer::Linear(Linear { features: 2, bias: true })];
    let first = Layer::Normalize(Normalize { mean: vec![mean], std: vec![std] });
    let layers = [vec![first], end.to_vec()].concat();
    let normalised = model(device, layers, fc(w.to_vec(), 0.4)?)?;
    let shift: f32 = w.iter().sum::<f32>() * (mean / std) as f32;
    let plain = w.iter().map(|v| v / std as f32).collect();
    let plain = model(device, end.to_vec(), fc(plain, 0.4 - shift)?)?;
    let x = Tensor::from_slice(device, &[0.6f32, 0.2, 0.5, 0.7], &[1, 1, 2, 2])?;
    let goal = Goal::Untargeted(Tensor::from_slice(device, &[0i64], &[1])?);
    let configs = [
        AttackConfig::Fgsm(Fgsm::new(Norm::Linf, 0.1)),
        AttackConfig::Pgd(Pgd { random_start: false, ..Pgd::new(Norm::L2, 0.2) }),
        AttackConfig::Cw(Cw { eps: None, searches: 12, ..Cw::new() }),
    ];
    for config in configs {
        let found = [&normalised, &plain].map(|m| attack(m, &x, &goal, config.clone()));
        let [inside, outside] = found;
        let (inside, outside) = (inside?, outside?);
        let (a, b) = (inside.adversarial.to_f64_vec()?, outside.adversarial.to_f64_vec()?);
        let apart = a.iter().zip(&b).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
        ensure(apart < 1e-3, || format!("{}: {a:?} and {b:?}", config.label()))?;
        if let Some(eps) = config.check()?.threat().budget() {
            let size = inside.distance[0];
            ensure((size - eps).abs() < 1e-5, || format!("{}: {size}", config.label()))?;
        }
    }
    Ok(())
}

/// Dropout is for training: an attack sees the model as it is used, and gets the same answers again.
pub(crate) fn evaluation_mode(device: &Device) -> Outcome {
    let (_, test) = digits()?.split_stratified(0.25, &Rng::new(5));
    let rows: Vec<usize> = (0..30).collect();
    let (x, y) = Placement::new(device).tensors(&test, &rows)?;
    let spec = |rate: Option<f64>| {
        let mut layers = vec![Layer::Flatten(Flatten {})];
        layers.extend(rate.map(|rate| Layer::Dropout(Dropout { p: rate })));
        layers.push(Layer::Linear(Linear { features: 10, bias: true }));
        ModelSpec { input: vec![1, 8, 8], classes: 10, bounds: [0.0, 1.0], layers }
    };
    let made = |rate| -> Result<Vec<f32>> {
        let spec = spec(rate);
        let params = init_params(&spec, device, DType::F32, &Rng::new(3))?;
        let network = Network::new(spec, params, device)?;
        let pgd = AttackConfig::Pgd(Pgd { steps: 5, ..Pgd::new(Norm::Linf, 0.1) });
        attack(&network, &x, &Goal::Untargeted(y.clone()), pgd)?.adversarial.to_vec()
    };
    ensure(made(Some(0.5))? == made(None)?, || "dropout changes what the attack finds".into())
}

/// Examples that were saved in 8 bits are in ball and box, on levels, and judged again: where floats fool by
/// a hair, pictures do not.
pub(crate) fn eight_bits(device: &Device) -> Outcome {
    let (network, x, y) = small(device)?;
    // Originals on levels, as images are.
    let x = (x * 255.0).round() * (1.0 / 255.0);
    let goal = Goal::Untargeted(y);
    for (norm, eps) in [(Norm::Linf, 0.1), (Norm::Linf, 0.0303), (Norm::L2, 0.5), (Norm::L1, 2.0)] {
        let pgd = AttackConfig::Pgd(Pgd { steps: 10, ..Pgd::new(norm, eps) });
        let found = attack(&network, &x, &goal, pgd)?;
        let saved = in_eight_bits(&found, Threat::new(norm, eps), &network, &x, &goal)?;
        let levels = (&saved.adversarial * 255.0).to_f64_vec()?;
        let off = levels.iter().fold(0.0f64, |m, v| m.max((v - v.round()).abs()));
        ensure(off < 1e-3, || format!("{norm}: {off} off the levels"))?;
        let largest = saved.distance.iter().copied().fold(0.0, f64::max);
        ensure(largest <= eps * (1.0 + 1e-4), || format!("{norm}: {largest} after saving"))?;
        let seen: Vec<i64> = network.logits(&saved.adversarial)?.argmax(1).to_vec()?;
        ensure(seen == saved.predictions, || format!("{norm}: not judged again"))?;
        let [before, after] = [&found, &saved].map(|o| o.success.iter().filter(|s| **s).count());
        ensure(after + 4 >= before && after > 0, || format!("{norm}: {before}, then {after}"))?;
    }
    // The boundary is a third of a level away: nearest levels on either side do not reach it.
    let two = linear(device, &[3.0, 0.0], &[-1.5 + 1e-3, 0.0], [0.0, 1.0])?;
    let x = Tensor::from_slice(device, &[0.5f32], &[1, 1])?;
    let x = (x * 255.0).round() * (1.0 / 255.0);
    let goal = Goal::Untargeted(Tensor::from_slice(device, &[0i64], &[1])?);
    let hair = Threat::new(Norm::Linf, 0.003);
    let fgsm = AttackConfig::Fgsm(Fgsm::new(hair.norm, hair.eps));
    let found = attack(&two, &x, &goal, fgsm)?;
    let saved = in_eight_bits(&found, hair, &two, &x, &goal)?;
    ensure(found.success == [true] && saved.success == [false], || format!("{found:?} {saved:?}"))
}

/// AutoAttack member by member comes to what it comes to as one attack, and each leaves no more.
pub(crate) fn stages(device: &Device) -> Outcome {
    let (network, ..) = small(device)?;
    let (_, test) = digits()?.split_stratified(0.25, &Rng::new(5));
    let rows: Vec<usize> = (0..60).collect();
    let (x, y) = Placement::new(device).tensors(&test, &rows)?;
    for (version, aim) in [
        (inocula_core::attack::Version::Standard, inocula_core::attack::Aim::Untargeted),
        (inocula_core::attack::Version::Plus, inocula_core::attack::Aim::Class(3)),
    ] {
        let config =
            Autoattack { version, steps: 8, queries: 60, ..Autoattack::new(Norm::Linf, 0.06) };
        let goal = aim.goal(&y, 10)?;
        let whole = attack(&network, &x, &goal, AttackConfig::Autoattack(config.clone()))?;
        let place = Placement { batch: 25, ..Placement::new(device) };
        let mut heard = Vec::new();
        let (found, stages) = autoattack_rows(
            &config,
            &network,
            &test,
            &rows,
            aim,
            &place,
            &Rng::new(1),
            &mut |label, done, total| {
                heard.push((label.to_owned(), done, total));
                Ok(())
            },
        )?;
        // Rounding, which differs with the batch, may decide a sample at the boundary.
        let apart = whole.success.iter().zip(&found.success).filter(|(a, b)| a != b).count();
        ensure(apart <= 1, || format!("{version:?}: {apart} samples differ"))?;
        let left: Vec<usize> = stages.iter().map(|stage| stage.left).collect();
        let last = found.held();
        let falls = left.is_sorted_by(|a, b| a >= b) && left.last() == Some(&last);
        ensure(falls && stages.len() >= 3, || format!("{version:?}: {stages:?}"))?;
        let ends = stages.iter().all(|s| heard.iter().any(|(l, a, b)| *l == s.label && a == b));
        ensure(ends, || format!("{version:?}: {heard:?}"))?;
    }
    Ok(())
}

/// Momentum in every norm: one step from none is the step of FGM, and more fool no fewer than one.
pub(crate) fn momentum(device: &Device) -> Outcome {
    let (network, x, y) = small(device)?;
    let goal = Goal::Untargeted(y);
    let once = |norm, eps, steps| {
        let config = MiFgsm { norm, steps, keep: Keep::Last, ..MiFgsm::new(eps) };
        attack(&network, &x, &goal, AttackConfig::MiFgsm(config))
    };
    let fgm = attack(&network, &x, &goal, AttackConfig::Fgsm(Fgsm::new(Norm::L2, 0.8)))?;
    let step = once(Norm::L2, 0.8, 1)?;
    let (a, b) = (fgm.adversarial.to_f64_vec()?, step.adversarial.to_f64_vec()?);
    let apart = a.iter().zip(&b).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    ensure(apart < 1e-5, || format!("one step is {apart} off FGM"))?;
    for (norm, eps) in [(Norm::L2, 0.8), (Norm::L1, 3.0)] {
        let count = |o: inocula_core::attack::Outcome| o.success.iter().filter(|s| **s).count();
        let (few, many) = (count(once(norm, eps, 1)?), count(once(norm, eps, 10)?));
        ensure(few > 0 && few <= many, || format!("{norm}: {few} by one step, {many} by ten"))?;
    }
    Ok(())
}
