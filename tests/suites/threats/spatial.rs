//! Rotations and shifts: where an image that moves must be fooled, and what is asked on the way.

use inocula_core::attack::{Attack as _, AttackConfig, Draws, Goal, Spatial};
use inocula_core::rng::Rng;
use inocula_core::{Device, Result, Tensor};
use inocula_tests::harness::{Outcome, ensure};

use super::{Subject, subjects};

/// A model that says on which side of a 6 x 6 image the light is, and of darkness that it is on the right. A dot one pixel right of the middle is
/// brought to the left by a shift of a pixel, or by half a turn; one at the edge by no small motion.
pub(super) fn light(device: &Device) -> Outcome {
    let side = |left: bool| (0..36).map(move |at| f32::from(u8::from((at % 6 < 3) == left)));
    let weights: Vec<f32> = side(true).chain(side(false)).collect();
    let model = subjects::linear(device, &[1, 6, 6], &weights, &[0.0, 0.5], [0.0, 1.0])?;
    let mut values = vec![0f32; 72];
    (values[2 * 6 + 3], values[36 + 2 * 6 + 5]) = (1.0, 1.0);
    let x = Tensor::from_slice(device, &values, &[2, 1, 6, 6])?;
    let motions = |degrees, pixels| {
        let (angles, shifts) = (1 + 2 * (degrees > 0.0) as usize, 1 + 2 * (pixels > 0.0) as usize);
        AttackConfig::Spatial(Spatial { degrees, pixels, angles, shifts, random: None })
    };
    let cases = [
        (motions(0.0, 0.0), [false, false]),
        (motions(0.0, 1.0), [true, false]),
        (motions(0.0, 3.0), [true, true]),
        (motions(20.0, 0.0), [false, false]),
        (motions(180.0, 0.0), [true, true]),
    ];
    for (config, want) in cases {
        for (class, goal) in [(1i64, Goal::Untargeted as fn(Tensor) -> Goal), (0, Goal::Targeted)] {
            let goal = goal(Tensor::from_slice(device, &[class; 2], &[2])?);
            let found = subjects::attack(&model, &x, &goal, &config)?;
            ensure(found.success == want, || format!("{}: {:?}", config.label(), found.success))?;
        }
    }
    Ok(())
}

/// A model that cannot be fooled is asked once a motion, none twice; `random` asks as many as it says, other
/// ones for other samples. None of it is a gradient.
pub(super) fn queries(device: &Device) -> Outcome {
    let model = subjects::linear(device, &[1, 4, 5], &[0.0; 40], &[1.0, 0.0], [0.0, 1.0])?;
    let mut values = vec![0f32; 20];
    Rng::new(2).fill_uniform(&mut values, 0.1, 0.9);
    let x = Tensor::from_slice(device, &[&values[..], &values[..]].concat(), &[2, 1, 4, 5])?;
    let goal = Goal::Untargeted(Tensor::from_slice(device, &[0i64, 0], &[2])?);
    let grid = Spatial { angles: 5, shifts: 3, ..Spatial::new() };
    for (random, want) in [(None, 45), (Some(12), 12), (Some(60), 45)] {
        let noting = subjects::Noting::new(&model);
        let config = Spatial { random, ..grid.clone() };
        let draws = Draws::new(Rng::new(1), vec![0, 1]);
        config.run(&noting, &x, &goal, &draws)?;
        let asked = noting.asked();
        ensure(asked.iter().all(|q| !q.tracked), || "a gradient".into())?;
        let points: Vec<f32> = asked.into_iter().flat_map(|q| q.points).collect();
        let bits = |p: &[f32]| p.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let all: Vec<_> = points.chunks(20).map(bits).collect();
        let distinct: std::collections::BTreeSet<_> = all.iter().cloned().collect();
        ensure(all.len() == 2 * want, || format!("{random:?}: {} queries", all.len()))?;
        let expected = if random == Some(12) { 13..=24 } else { 45..=45 };
        ensure(expected.contains(&distinct.len()), || {
            format!("{random:?}: {} different images", distinct.len())
        })?;
    }
    Ok(())
}

/// A subset of the motions fools a subset of the samples, and batches do not matter.
pub(super) fn strength(device: &Device) -> Outcome {
    let subject = Subject::new(device, 100)?;
    let grid = Spatial { degrees: 8.0, pixels: 0.3, angles: 7, shifts: 3, ..Spatial::new() };
    let run = |random, batch| -> Result<(Vec<bool>, u64)> {
        let config = AttackConfig::Spatial(Spatial { random, ..grid.clone() });
        let found = subject.attack(&config, inocula_core::attack::Aim::Untargeted, batch)?;
        Ok((found.success, found.queries))
    };
    let ((all, asked), (few, fewer)) = (run(None, 100)?, run(Some(4), 100)?);
    let count = |fooled: &[bool]| fooled.iter().filter(|f| **f).count();
    ensure(few.iter().zip(&all).all(|(few, all)| *all || !few), || "few fool others".into())?;
    ensure(count(&few) < count(&all) && count(&all) < 100 && fewer < asked, || {
        format!("{} by {fewer} queries, {} by {asked}", count(&few), count(&all))
    })?;
    ensure(run(Some(4), 9)? == (few, fewer), || "batches matter".into())
}
