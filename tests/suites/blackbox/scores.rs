//! Attacks that read scores, other than Square: what identifies their questions, changes that are known
//! in closed form, and how strong they are on the golden images.

use inocula_core::attack::{
    Attack, AttackConfig, Basis, Draws, Goal, Nes, Norm, Pgd, Simba, Spsa, Zoo,
};
use inocula_core::model::Classifier;
use inocula_core::rng::Rng;
use inocula_core::{Device, Result, Tensor};
use inocula_tests::harness::{Outcome, ensure};

use crate::subjects::{Images, Noting, attack, linear, small};

/// What an attack asks of the small network about one digit, point by point, and the digit.
fn asked(device: &Device, attack: &dyn Attack, digit: usize) -> Result<(Vec<Vec<f32>>, Vec<f32>)> {
    let (network, x, y) = small(device, digit + 1)?;
    let x = x.narrow(0, digit, 1);
    let noting = Noting::new(&network);
    let draws = Draws::new(Rng::new(1), vec![digit as u64]);
    attack.run(&noting, &x, &Goal::Untargeted(y.narrow(0, digit, 1)), &draws)?;
    let points = noting.asked().into_iter().flat_map(|question| {
        let rows = question.points.chunks(64).map(<[f32]>::to_vec);
        rows.collect::<Vec<_>>()
    });
    Ok((points.collect(), x.to_vec()?))
}

fn change(from: &[f32], to: &[f32]) -> Vec<f64> {
    from.iter().zip(to).map(|(a, b)| f64::from(*b) - f64::from(*a)).collect()
}

/// After the point itself, pairs on opposite sides of it: for NES at normal distances, for SPSA at the
/// radius in every value, where the box does not stop them.
pub(crate) fn pairs(device: &Device) -> Outcome {
    let (norm, eps, radius) = (Norm::Linf, 0.02, 0.001);
    let nes = Nes { queries: 81, pairs: 20, radius, ..Nes::new(norm, eps) };
    let spsa = Spsa { queries: 81, pairs: 20, radius, ..Spsa::new(norm, eps) };
    let attacks: [(&dyn Attack, bool); 2] = [(&nes, false), (&spsa, true)];
    for (attack, signs) in attacks {
        let (points, x) = asked(device, attack, 0)?;
        ensure(points[0] == x, || "the first question is not the original".into())?;
        let (mut sum, mut count) = (0.0, 0);
        for pair in points[1..41].chunks(2) {
            let (there, back) = (change(&x, &pair[0]), change(&x, &pair[1]));
            for ((there, back), x) in there.into_iter().zip(back).zip(&x) {
                if *x < 0.01 || *x > 0.99 {
                    continue;
                }
                ensure((there + back).abs() < 1e-6, || format!("{there} and {back}"))?;
                let size = there.abs() / radius;
                ensure(!signs || (size - 1.0).abs() < 1e-3, || format!("a sign of {size}"))?;
                sum += size * size;
                count += 1;
            }
        }
        // The mean square of standard normal values, within five standard errors.
        let off = (sum / f64::from(count) - 1.0).abs();
        ensure(off < 5.0 * (2.0 / f64::from(count)).sqrt(), || {
            format!("mean square off by {off}")
        })?;
    }
    Ok(())
}

/// Every question of SimBA differs from a point before by one step along one vector of the basis,
/// and no vector is tried again before all others.
pub(crate) fn one_vector_at_a_time(device: &Device) -> Outcome {
    for basis in [Basis::Pixel, Basis::Dct] {
        let simba = Simba { queries: 61, step: 0.01, basis, ..Simba::new(Norm::L2, 1.0) };
        let (points, x) = asked(device, &simba, 0)?;
        ensure(points[0] == x, || "the first question is not the original".into())?;
        let mut seen = Vec::new();
        let mut kept = vec![points[0].clone()];
        for point in &points[1..] {
            // Which of the points before was the best so far, rounding may have decided.
            let Some(vector) = kept.iter().rev().find_map(|from| axis(basis, from, point)) else {
                return Err(format!("{basis:?}: no step from any point before").into());
            };
            if seen.last() != Some(&vector) {
                ensure(!seen.contains(&vector), || format!("{basis:?}: {vector} again"))?;
                seen.push(vector);
            }
            kept.push(point.clone());
        }
        ensure(seen.len() >= 30, || format!("{basis:?}: only {} vectors", seen.len()))?;
    }
    Ok(())
}

/// The vector of the basis along which a step of 0.01 leads from one point to the other, where the box
/// cuts nothing off.
fn axis(basis: Basis, from: &[f32], to: &[f32]) -> Option<usize> {
    let delta = change(from, to);
    let coefficient = |at: usize| match basis {
        Basis::Pixel => delta[at],
        Basis::Dct => {
            let free = (0..64).filter(|&i| to[i] > 0.0 && to[i] < 1.0);
            let (mut dot, mut square) = (0.0, 0.0);
            for i in free {
                let v = cosine(at / 8, i / 8) * cosine(at % 8, i % 8);
                dot += v * delta[i];
                square += v * v;
            }
            if square > 0.0 { dot / square } else { 0.0 }
        }
    };
    let fits = |at: usize, size: f64| {
        (0..64).all(|i| {
            let v = match basis {
                Basis::Pixel => f64::from(u8::from(i == at)),
                Basis::Dct => cosine(at / 8, i / 8) * cosine(at % 8, i % 8),
            };
            let cut = to[i] == 0.0 || to[i] == 1.0;
            (delta[i] - size * v).abs() < 1e-5 || cut
        })
    };
    let step = |at: &usize| {
        let at = *at;
        let size = coefficient(at);
        let whole = (size.abs() - 0.01).abs() < 1e-4;
        let cut = basis == Basis::Pixel && size != 0.0 && (to[at] == 0.0 || to[at] == 1.0);
        (whole || cut) && fits(at, size)
    };
    (0..64).find(step)
}

/// The cosine of a frequency at a point of 8, of length 1.
fn cosine(frequency: usize, at: usize) -> f64 {
    let scale: f64 = if frequency == 0 { 0.125 } else { 0.25 };
    let turn = std::f64::consts::PI * frequency as f64 / 8.0;
    scale.sqrt() * (turn * (at as f64 + 0.5)).cos()
}

/// For two classes and a linear model a ball a little larger than the smallest change suffices, and one
/// that is smaller does not; ZOO comes near to the smallest by itself.
pub(crate) fn closed_form(device: &Device) -> Outcome {
    let (features, samples) = (12, 6);
    let mut rng = Rng::new(11);
    let mut w: Vec<f32> = (0..features).map(|_| rng.normal() as f32).collect();
    let dual = |norm: Norm| norm.of(w.iter().map(|w| f64::from(*w)));
    let (l2, l1) = (dual(Norm::L2), dual(Norm::L1));
    w.extend([0.0; 12]);
    // A wide box, so that it cuts nothing off.
    let model = linear(device, &[features], &w, &[1.0, 0.0], [-5.0, 5.0])?;
    let mut values = vec![0f32; samples * features];
    rng.fill_uniform(&mut values, -0.5, 0.5);
    let x = Tensor::from_slice(device, &values, &[samples, features])?;
    let logits = model.logits(&x)?;
    let goal = Goal::Untargeted(logits.argmax(1).reshape(&[samples]));
    let margins = goal.margin(&logits).to_f64_vec()?;
    for (i, margin) in margins.iter().enumerate() {
        let at = Tensor::from_slice(device, &[i as i64], &[1])?;
        let (x, goal) = (x.take(0, &at), goal.take(&at));
        let within = |dual: f64, share: f64| margin.abs() / dual * share;
        for share in [0.98, 1.1] {
            let (linf, euclid) = (within(l1, share), within(l2, share));
            let rate = 0.02;
            let configs = [
                AttackConfig::Nes(Nes { queries: 3000, ..Nes::new(Norm::Linf, linf) }),
                AttackConfig::Nes(Nes { queries: 3000, ..Nes::new(Norm::L2, euclid) }),
                AttackConfig::Spsa(Spsa { queries: 3000, rate, ..Spsa::new(Norm::Linf, linf) }),
                AttackConfig::Spsa(Spsa { queries: 3000, rate, ..Spsa::new(Norm::L2, euclid) }),
                AttackConfig::Simba(Simba { step: 0.002, ..Simba::new(Norm::Linf, linf) }),
            ];
            for config in configs {
                let outcome = attack(&model, &x, &goal, &config)?;
                ensure(outcome.success == [share > 1.0], || {
                    format!("{} at {share}: {outcome:?}", config.label())
                })?;
            }
        }
        let zoo = Zoo { queries: 6000, coordinates: 12, rate: 0.002, searches: 5, ..Zoo::new() };
        let outcome = attack(&model, &x, &goal, &AttackConfig::Zoo(zoo))?;
        let ratio = outcome.distance[0] / within(l2, 1.0);
        ensure(outcome.success[0] && ratio > 0.999 && ratio < 1.1, || {
            format!("ZOO: {ratio} of the smallest change, {outcome:?}")
        })?;
    }
    Ok(())
}

/// Black-box attacks fool more than half of what forty steps along gradients fool, and no more.
pub(crate) fn golden(images: &Images) -> Outcome {
    let rows = 16;
    let x = images.x.narrow(0, 0, rows);
    let goal = images.goal.take(&Tensor::iota(x.device(), rows));
    let fooled = |config: &AttackConfig| -> Result<usize> {
        Ok(rows - attack(&images.model, &x, &goal, config)?.held())
    };
    let (linf, l2) = (0.15, 2.5);
    let simba = Simba { queries: 1000, ..Simba::new(Norm::L2, l2) };
    let one = Zoo { queries: 3000, searches: 1, weight: 10.0, ..Zoo::new() };
    let groups = [
        (
            Pgd::new(Norm::Linf, linf),
            vec![
                AttackConfig::Nes(Nes { queries: 2000, ..Nes::new(Norm::Linf, linf) }),
                AttackConfig::Spsa(Spsa {
                    queries: 2000,
                    rate: 0.05,
                    ..Spsa::new(Norm::Linf, linf)
                }),
            ],
        ),
        (
            Pgd::new(Norm::L2, l2),
            vec![
                AttackConfig::Simba(Simba { basis: Basis::Dct, ..simba.clone() }),
                AttackConfig::Simba(simba),
                AttackConfig::Zoo(Zoo { eps: Some(l2), rate: 0.1, ..one }),
            ],
        ),
    ];
    for (pgd, configs) in groups {
        let most = fooled(&AttackConfig::Pgd(pgd))?;
        for config in configs {
            let few = fooled(&config)?;
            ensure(few <= most && 2 * few > most, || {
                format!("{} fools {few}, PGD {most}", config.label())
            })?;
        }
    }
    Ok(())
}
