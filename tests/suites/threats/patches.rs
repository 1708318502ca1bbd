//! Patches: one square of pixels, the best one where that is known.

use inocula_core::attack::{
    Aim, Attack as _, AttackConfig, Draws, Goal, Norm, Patch, Samples, Universal, UniversalPatch,
};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::{Device, Tensor};
use inocula_tests::harness::{Outcome, ensure};

use super::{Subject, subjects};

/// `perturb` refuses anything but one square; here it is of the size that was paid for, in images of any
/// proportions and in features, which have neighbours only in a row.
pub(super) fn one_square(device: &Device) -> Outcome {
    let shapes: [(&[usize], f64, [usize; 2]); 5] = [
        (&[1, 6, 6], 9.0, [3, 3]),
        (&[3, 5, 7], 12.9, [2, 2]),
        (&[2, 3, 9], 40.0, [3, 6]),
        (&[4, 4], 5.0, [2, 2]),
        (&[20], 6.0, [1, 6]),
    ];
    for (shape, eps, side) in shapes {
        let features: usize = shape.iter().product();
        let mut rng = Rng::new(features as u64);
        let weights: Vec<f32> = (0..3 * features).map(|_| rng.normal() as f32).collect();
        let model = subjects::linear(device, shape, &weights, &[0.0; 3], [0.0, 1.0])?;
        let dims: Vec<usize> = [8].iter().chain(shape).copied().collect();
        let mut values = vec![0f32; 8 * features];
        rng.fill_uniform(&mut values, 0.2, 0.8);
        let x = Tensor::from_slice(device, &values, &dims)?;
        let goal =
            Goal::Untargeted(Tensor::from_slice(device, &[0i64, 1, 2, 0, 1, 2, 0, 1], &[8])?);
        let configs = [
            AttackConfig::Patch(Patch { steps: 8, places: 3, ..Patch::new(eps) }),
            AttackConfig::UniversalPatch(UniversalPatch::new(eps)),
        ];
        for config in configs {
            let found = subjects::attack(&model, &x, &goal, &config)?;
            // All of the square is changed: nothing is at the edge of the box to begin with.
            let channels = if shape.len() == 3 { shape[0] } else { 1 };
            let covered = (side[0] * side[1] * channels) as f64;
            let right = found.distance.iter().all(|d| *d == 0.0 || *d == covered);
            let what = || format!("{} of {shape:?}: {:?}", config.label(), found.distance);
            ensure(right && found.distance.contains(&covered), what)?;
        }
    }
    Ok(())
}

/// Two classes of a linear model and grey pixels: the best square is where the weights are largest, each
/// pixel black or white. It fools if the margin is less than that is worth, and nothing does if it is more.
pub(super) fn closed_form(device: &Device) -> Outcome {
    let mut rng = Rng::new(7);
    let w: Vec<f64> = (0..25).map(|_| rng.normal()).collect();
    let square = |row: usize, column: usize| -> f64 {
        let at = |i: usize| w[(row + i / 2) * 5 + column + i % 2].abs();
        (0..4).map(at).sum()
    };
    let best = (0..16).map(|i| square(i / 4, i % 4)).fold(0.0, f64::max) * 0.5;
    let rest: f64 = w.iter().sum::<f64>() * 0.5;
    for (share, fools) in [(0.97, true), (1.03, false)] {
        let mut weights: Vec<f32> = w.iter().map(|&w| w as f32).collect();
        weights.extend([0.0; 25]);
        let bias = [(share * best - rest) as f32, 0.0];
        let model = subjects::linear(device, &[1, 5, 5], &weights, &bias, [0.0, 1.0])?;
        let x = Tensor::full(device, inocula_core::DType::F32, &[2, 1, 5, 5], 0.5);
        for (class, goal) in [(0i64, Goal::Untargeted as fn(Tensor) -> Goal), (1, Goal::Targeted)] {
            let goal = goal(Tensor::from_slice(device, &[class; 2], &[2])?);
            let config = AttackConfig::Patch(Patch::new(4.0));
            let found = subjects::attack(&model, &x, &goal, &config)?.success;
            ensure(found == [fools; 2], || format!("{share} of what it is worth: {found:?}"))?;
        }
    }
    Ok(())
}

/// More places and a larger square fool no fewer.
pub(super) fn strength(device: &Device) -> Outcome {
    let subject = Subject::new(device, 100)?;
    let fooled = |eps: f64, places: usize| {
        subject.fooled(&AttackConfig::Patch(Patch { steps: 20, places, ..Patch::new(eps) }))
    };
    let [small, once, all] = [fooled(4.0, 6)?, fooled(9.0, 1)?, fooled(9.0, 6)?];
    ensure(small < all && once < all, || format!("{small}, {once}, {all}"))
}

/// Grey images show the patch: it is the same in all of them, at different places.
pub(super) fn same_patch(device: &Device) -> Outcome {
    let subject = Subject::new(device, 80)?;
    let place = Placement::new(device);
    let rng = Rng::new(9);
    let (net, rows) = (&subject.network, &subject.rows);
    let samples = Samples::rows(&subject.test, rows, Aim::Untargeted, &place, &rng);
    let Some(fitted) = UniversalPatch::new(9.0).fitted(net, &samples)? else {
        return Err("it is made of all samples".into());
    };
    let grey = Tensor::full(device, inocula_core::DType::F32, &[20, 1, 8, 8], 2.0);
    let goal = Goal::Untargeted(Tensor::from_slice(device, &[0i64; 20], &[20])?);
    let draws = Draws::new(rng.clone(), (0..20).collect());
    let shown: Vec<f32> = fitted.run(net, &grey, &goal, &draws)?.to_vec()?;
    let mut corners = std::collections::BTreeSet::new();
    let mut first: Option<Vec<f32>> = None;
    for image in shown.chunks(64) {
        let patch: Vec<f32> = image.iter().copied().filter(|v| *v != 2.0).collect();
        ensure(patch.len() == 9, || format!("{} values changed", patch.len()))?;
        corners.extend(image.iter().position(|v| *v != 2.0));
        let same = *first.get_or_insert_with(|| patch.clone()) == patch;
        ensure(same, || "two patches".into())?;
    }
    ensure(corners.len() > 8, || format!("at {} places of 36", corners.len()))
}

/// A patch that was made for the samples fools more of them than the noise that it started as; towards one
/// class it makes samples that class.
pub(super) fn trained(device: &Device) -> Outcome {
    let subject = Subject::new(device, 200)?;
    let made = UniversalPatch::new(16.0);
    let noise = UniversalPatch { step: 1e-9, epochs: 1, ..made.clone() };
    let [all, chance] =
        [&made, &noise].map(|c| subject.fooled(&AttackConfig::UniversalPatch(c.clone())));
    let each = subject.fooled(&AttackConfig::Patch(Patch::new(16.0)))?;
    let (all, chance) = (all?, chance?);
    ensure(all > chance + 20 && all <= each, || format!("{chance}, {all}, one each {each}"))?;
    let aimed = AttackConfig::UniversalPatch(UniversalPatch::new(25.0));
    let fours = |found: inocula_core::attack::Outcome| {
        found.predictions.iter().filter(|p| **p == 4).count()
    };
    let hit = fours(subject.attack(&aimed, Aim::Class(4), 64)?);
    let none = AttackConfig::Universal(Universal::new(Norm::Linf, 1e-9));
    let before = fours(subject.attack(&none, Aim::Class(4), 64)?);
    ensure(hit > before + 40, || format!("{before} were a 4, then {hit}"))
}
