//! The smallest perturbation that fools, sample by sample, by any attack of bounded size.
//!
//! The attack runs at growing radii on what has not been fooled yet; each success is then pulled
//! back towards the original as far as it still fools. The same pass gives the curve of robust
//! accuracy over the radius: what is fooled within a small ball is fooled within every larger one.

use super::{Aim, Attack, Norm, Outcome, perturb_rows};
use crate::data::Dataset;
use crate::model::{Classifier, predict_rows};
use crate::place::Placement;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// What [`minimal_perturbations`] found.
#[derive(Debug, Clone)]
pub struct Minimal {
    /// Per sample the size of the smallest perturbation found: 0 where the model was wrong to
    /// begin with, `None` where no radius sufficed.
    pub distance: Vec<Option<f64>>,
    /// `(radius, accuracy)`, from radius 0.
    pub curve: Vec<(f64, f64)>,
}

/// Halvings of the way back from an adversarial input to the original.
const HALVINGS: usize = 8;

/// Searches for small perturbations of `rows` of `data` that change the prediction from the label.
///
/// # Errors
/// `radii` do not increase, `attack_at` refuses one, or an attack failed.
#[allow(clippy::too_many_arguments)] // as perturb_rows, and the radii
pub fn minimal_perturbations(
    attack_at: &dyn Fn(f64) -> Result<Box<dyn Attack>>,
    radii: &[f64],
    model: &dyn Classifier,
    data: &Dataset,
    rows: &[usize],
    place: &Placement,
    rng: &Rng,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Minimal> {
    if !radii.is_sorted_by(|a, b| a < b) || radii.first().is_some_and(|&r| r <= 0.0) {
        bail!(Config, "minimal perturbations: the radii {radii:?} must be positive and increase");
    }
    let mut distance: Vec<Option<f64>> = vec![None; rows.len()];
    let mut open: Vec<usize> = Vec::new();
    for (i, class) in predict_rows(model, data, rows, place)?.into_iter().enumerate() {
        if class == data.labels[rows[i]] {
            open.push(i);
        } else {
            distance[i] = Some(0.0);
        }
    }
    for &eps in radii {
        if !open.is_empty() {
            let attack = attack_at(eps)?;
            let samples: Vec<usize> = open.iter().map(|&i| rows[i]).collect();
            let outcome = perturb_rows(
                &*attack,
                model,
                data,
                &samples,
                Aim::Untargeted,
                place,
                rng,
                progress,
            )?;
            let norm = attack.threat().norm;
            let found = pull_back(&outcome, norm, model, data, &samples, place)?;
            for (&at, d) in open.iter().zip(found) {
                distance[at] = d;
            }
            open.retain(|&i| distance[i].is_none());
        }
    }
    // From the distances, not from what was open at each radius: a success found at a larger radius
    // may have been pulled back into a smaller ball.
    let held = |eps: f64| {
        let held = distance.iter().filter(|d| d.is_none_or(|d| d > eps)).count();
        held as f64 / rows.len().max(1) as f64
    };
    let curve = std::iter::once(0.0).chain(radii.iter().copied()).map(|r| (r, held(r))).collect();
    Ok(Minimal { distance, curve })
}

/// For each success of `outcome`, the size of the smallest perturbation on the segment to the
/// original that a bisection finds to fool.
fn pull_back(
    outcome: &Outcome,
    norm: Norm,
    model: &dyn Classifier,
    data: &Dataset,
    rows: &[usize],
    place: &Placement,
) -> Result<Vec<Option<f64>>> {
    let mut all = Vec::new();
    for (chunk, portion) in place.portions(rows).enumerate() {
        let start = chunk * place.batch.max(1);
        let success = &outcome.success[start..start + portion.len()];
        let (x, y) = place.tensors(data, portion)?;
        let delta = outcome.adversarial.narrow(0, start, portion.len()) - &x;
        let scale = shortest(model, &x, &delta, &y)?.to_f64_vec()?;
        let delta = delta.to_f64_vec()?;
        let each = delta.len() / portion.len();
        all.extend(success.iter().enumerate().map(|(i, fooled)| {
            let part = delta[i * each..(i + 1) * each].iter().map(|d| d * scale[i]);
            fooled.then(|| norm.of(part))
        }));
    }
    Ok(all)
}

/// Per sample a factor in (0, 1] such that `x + factor * delta` fools where `x + delta` does. `[N]`.
fn shortest(model: &dyn Classifier, x: &Tensor, delta: &Tensor, y: &Tensor) -> Result<Tensor> {
    let mut fools = Tensor::full(x.device(), x.dtype(), &[x.dim(0)], 1.0);
    let mut fails = fools.fill(0.0);
    for _ in 0..HALVINGS {
        let middle = (&fools + &fails) * 0.5;
        let logits = model.logits(&(x + &(delta * &middle.per_sample(x))))?;
        let right = logits.argmax(1).reshape(&[x.dim(0)]).eq(y).cast(x.dtype());
        fails = middle.where_(&right, &fails);
        fools = fools.where_(&right, &middle);
    }
    Ok(fools)
}
