//! Adversarial examples as they come back from a picture of 8 bits a value. A change that ends between two
//! of 256 levels does not survive being saved, and figures of examples that exist only as floats are then
//! figures of nothing; so an outcome can be taken through the levels and measured again.
//!
//! A value goes to the nearest level; where that would take a sample out of its ball, all of its values go
//! to the level on the side of the original.

use super::{Goal, Outcome, Threat};
use crate::model::Classifier;
use crate::{Result, Tensor};

/// Levels of a value.
const LEVELS: f64 = 256.0;

/// What becomes of `outcome`, the result of an attack on `x` with this threat: the examples on 256 evenly
/// spaced levels of the box, with predictions, successes and distances of those.
///
/// # Errors
/// The model or the device failed, or the outcome is not one of `x`.
pub fn in_eight_bits(
    outcome: &Outcome,
    threat: Threat,
    model: &dyn Classifier,
    x: &Tensor,
    goal: &Goal,
) -> Result<Outcome> {
    let bounds = model.bounds();
    let (before, after) = (x.to_f64_vec()?, outcome.adversarial.to_f64_vec()?);
    if before.len() != after.len() {
        crate::bail!(Shape, "eight bits: {} for inputs {}", outcome.adversarial.aval(), x.aval());
    }
    let each = (before.len() / x.dim(0).max(1)).max(1);
    let mut values = Vec::with_capacity(after.len());
    let mut distance = Vec::with_capacity(x.dim(0));
    for (before, after) in before.chunks(each).zip(after.chunks(each)) {
        let size = |levels: &[f64]| threat.norm.of(levels.iter().zip(before).map(|(a, b)| a - b));
        let mut levels = leveled(before, after, bounds, f64::round);
        if size(&levels) > threat.eps + threat.tolerance(each, bounds) {
            levels = inwards(before, after, bounds);
        }
        distance.push(size(&levels));
        values.extend(levels);
    }
    let adversarial = Tensor::from_f64(x.device(), x.dtype(), &values, &x.shape())?;
    let logits = model.logits(&adversarial)?;
    let reached: Vec<i64> = goal.reached(&logits).to_vec()?;
    Ok(Outcome {
        predictions: logits.argmax(1).to_vec()?,
        success: reached.into_iter().map(|r| r == 1).collect(),
        adversarial,
        distance,
        queries: outcome.queries,
        queries_each: outcome.queries_each.clone(),
        gradient_calls: outcome.gradient_calls,
    })
}

/// Changed values on levels; what was not changed stays, though it may be between two.
fn leveled(
    before: &[f64],
    after: &[f64],
    [lo, hi]: [f64; 2],
    side: impl Fn(f64) -> f64,
) -> Vec<f64> {
    let step = (hi - lo) / (LEVELS - 1.0);
    let level = |(b, a): (&f64, &f64)| {
        if a == b { *a } else { (lo + side((a - lo) / step) * step).clamp(lo, hi) }
    };
    before.iter().zip(after).map(level).collect()
}

/// Changed values on the level towards the original, or the original where there is none between.
fn inwards(before: &[f64], after: &[f64], bounds: [f64; 2]) -> Vec<f64> {
    // A hair, so that a value on its level is not taken for one below it.
    let down = leveled(before, after, bounds, |level| (level + 1e-6).floor());
    let up = leveled(before, after, bounds, |level| (level - 1e-6).ceil());
    let sides = before.iter().zip(after).zip(down.into_iter().zip(up));
    let inner = |((b, a), (down, up)): ((&f64, &f64), (f64, f64))| {
        if a > b { down.max(*b) } else { up.min(*b) }
    };
    sides.map(inner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_hand() {
        let step = 1.0 / 255.0;
        let before = [10.0 * step, 10.0 * step, 10.0 * step, 0.5];
        let after = [12.6 * step, 7.6 * step, 12.0 * step, 0.5];
        let near =
            |got: Vec<f64>, want: [f64; 4]| got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-9);
        let bounds = [0.0, 1.0];
        let nearest = leveled(&before, &after, bounds, f64::round);
        assert!(near(nearest, [13.0 * step, 8.0 * step, 12.0 * step, 0.5]));
        let inner = inwards(&before, &after, bounds);
        assert!(near(inner, [12.0 * step, 8.0 * step, 12.0 * step, 0.5]));
        // An original between levels is not passed.
        assert!(near(inwards(&[0.5; 4], &[0.5005; 4], bounds), [0.5; 4]));
    }
}
