//! Square: what identifies its proposals, and how strong it is on the golden images.

use inocula_core::attack::{Attack, AttackConfig, Draws, Fgsm, Goal, Norm, Pgd, Square};
use inocula_core::model::Classifier;
use inocula_core::rng::Rng;
use inocula_core::{Device, Result};
use inocula_tests::harness::{Outcome, ensure};

use crate::subjects::{Images, Noting, Question, small};

/// What Square asks about one digit, its original, the points' margins, and what it returns.
struct Trace {
    asked: Vec<Question>,
    x0: Vec<f32>,
    margins: Vec<f64>,
    found: Vec<f32>,
}

fn trace(device: &Device, square: &Square, digit: usize) -> Result<Trace> {
    let (network, x, y) = small(device, digit + 1)?;
    let (x, y) = (x.narrow(0, digit, 1), y.narrow(0, digit, 1));
    let goal = Goal::Untargeted(y);
    let noting = Noting::new(&network);
    let draws = Draws::new(Rng::new(1), vec![digit as u64]);
    let found = square.run(&noting, &x, &goal, &draws)?.to_vec()?;
    let asked = noting.asked();
    let margin = |question: &Question| -> Result<f64> {
        let point = inocula_core::Tensor::from_slice(device, &question.points, &x.shape())?;
        goal.margin(&network.logits(&point)?).item()
    };
    let margins: Result<Vec<f64>> = asked.iter().map(margin).collect();
    Ok(Trace { asked, x0: x.to_vec()?, margins: margins?, found })
}

/// Every value of every proposal is at an end of ball and box; proposals differ from the best point so
/// far within one square of the side that the schedule says; what is returned is the best point.
pub(crate) fn vertices(device: &Device) -> Outcome {
    // A radius at which the digit holds, so that the whole schedule is seen.
    let square = Square { queries: 300, ..Square::new(Norm::Linf, 0.02) };
    let Trace { asked, x0, margins, found } = trace(device, &square, 0)?;
    ensure(asked.len() == 300, || format!("{} questions", asked.len()))?;
    let ends = |x: f32| [(x - 0.02).max(0.0), (x + 0.02).min(1.0)];
    let (mut best, mut top) = (asked[0].points.clone(), margins[0]);
    for (i, question) in asked.iter().enumerate() {
        let points = question.points.iter().zip(&x0);
        let mut off = points.map(|(p, &x)| ends(x).map(|end| (p - end).abs()));
        ensure(off.all(|[low, high]| low.min(high) < 1e-7), || format!("query {i} is no vertex"))?;
        if i == 0 {
            let columns = (0..64).all(|at| {
                let up = |at: usize| question.points[at] > x0[at];
                let movable = |at: usize| ends(x0[at])[0] < x0[at] && x0[at] < ends(x0[at])[1];
                !movable(at)
                    || (0..8).all(|row| {
                        let other = row * 8 + at % 8;
                        !movable(other) || up(other) == up(at)
                    })
            });
            ensure(columns, || "the start is not of vertical stripes".into())?;
            continue;
        }
        let side = (square.share_at(i - 1) * 64.0).sqrt().round().max(1.0) as usize;
        let changed: Vec<usize> = (0..64).filter(|&at| question.points[at] != best[at]).collect();
        ensure(!changed.is_empty(), || format!("query {i} repeats the best point"))?;
        for axis in [|at: usize| at / 8, |at: usize| at % 8] {
            let along: Vec<usize> = changed.iter().map(|&at| axis(at)).collect();
            let extent = along.iter().max().zip(along.iter().min()).map_or(0, |(a, b)| a - b + 1);
            ensure(extent <= side, || format!("query {i}: {extent} pixels, side {side}"))?;
        }
        if margins[i] > top {
            (best, top) = (question.points.clone(), margins[i]);
        }
    }
    ensure(found == best, || format!("not the point of the largest margin, {top}"))?;
    ensure(top > margins[0], || "no proposal was better than the start".into())
}

/// In L2 and L1 every question is within ball and box and uses most of the radius.
pub(crate) fn euclidean(device: &Device) -> Outcome {
    for (norm, eps) in [(Norm::L2, 0.15), (Norm::L1, 0.6)] {
        let square = Square { queries: 200, ..Square::new(norm, eps) };
        let Trace { asked, x0, margins, found } = trace(device, &square, 0)?;
        ensure(asked.len() == 200, || format!("{norm}: {} questions", asked.len()))?;
        for (i, question) in asked.iter().enumerate() {
            let size = norm.distance(&x0, &question.points)?;
            ensure(size <= eps * (1.0 + 1e-6), || format!("{norm}, query {i}: {size}"))?;
            ensure(size > 0.4 * eps, || format!("{norm}, query {i}: only {size}"))?;
        }
        let top = (1..margins.len()).fold(0, |t, i| if margins[i] > margins[t] { i } else { t });
        ensure(found == asked[top].points, || format!("{norm}: not the best point"))?;
        ensure(top > 0, || format!("{norm}: no proposal was better than the start"))?;
    }
    Ok(())
}

/// With 1,000 queries, stronger than one step along the gradient and no stronger than forty; in Linf far
/// stronger than as many random corners of the cube.
pub(crate) fn golden(images: &Images) -> Outcome {
    let held = |config: AttackConfig| -> Result<usize> { Ok(images.attack(&config)?.held()) };
    for (norm, eps) in [(Norm::Linf, 0.1), (Norm::L2, 1.5), (Norm::L1, 10.0)] {
        let square = AttackConfig::Square(Square { queries: 1000, ..Square::new(norm, eps) });
        let square = held(square)?;
        let step = held(AttackConfig::Fgsm(Fgsm::new(norm, eps)))?;
        let steps = held(AttackConfig::Pgd(Pgd::new(norm, eps)))?;
        let message = || format!("{norm}: of 64, {square} hold, {step} one step, {steps} PGD");
        ensure(steps <= square && square + 3 < step, message)?;
        if norm == Norm::Linf {
            let by_chance = corners(images, eps, 1000)?;
            ensure(square + 10 < by_chance, || format!("{square} hold, {by_chance} by chance"))?;
        }
    }
    Ok(())
}

/// How many images hold against `tries` random corners of the cube.
fn corners(images: &Images, eps: f64, tries: u64) -> Result<usize> {
    let mut fooled = vec![false; images.x.dim(0)];
    let draws = Draws::new(Rng::new(2), (0..fooled.len() as u64).collect());
    for i in 0..tries {
        let noise = draws.index(i).tensor(&images.x, Rng::fill_normal)?;
        let point = (&images.x + &(noise.sign() * eps)).clamp(0.0, 1.0);
        let reached = images.goal.reached(&images.model.logits(&point)?).to_vec::<i64>()?;
        fooled.iter_mut().zip(reached).for_each(|(fooled, now)| *fooled |= now == 1);
    }
    Ok(fooled.iter().filter(|fooled| !**fooled).count())
}
