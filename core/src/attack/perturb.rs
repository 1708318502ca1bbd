//! The one way to run an attack: check, run, project, measure.

use super::{Aim, Attack, Draws, Goal, Samples};
use crate::data::Dataset;
use crate::model::{Classifier, Metered};
use crate::op::Axes;
use crate::place::Placement;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// What an attack achieved on a batch.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The adversarial inputs, `[N, ...]`.
    pub adversarial: Tensor,
    /// Predicted class of each adversarial input.
    pub predictions: Vec<i64>,
    /// Whether the goal was reached, per sample. Untargeted, a sample that was misclassified to
    /// begin with counts as reached, at distance 0.
    pub success: Vec<bool>,
    /// Size of each perturbation in the attack's norm, in f64.
    pub distance: Vec<f64>,
    /// Rows of the model that the attack evaluated.
    pub queries: u64,
    /// Of these, rows evaluated for a gradient.
    pub gradient_calls: u64,
    /// Rows evaluated for each sample, 0 for those that reached the goal already; absent for attacks that
    /// do not tell them apart.
    pub queries_each: Option<Vec<u64>>,
}

impl Outcome {
    /// How many samples did not reach the goal.
    pub fn held(&self) -> usize {
        self.success.iter().filter(|reached| !**reached).count()
    }
}

/// Runs `attack` on a batch `x` (`[N, ...]`) and measures the result.
///
/// Samples that reach the goal already are returned as they are: there is nothing to perturb.
/// What the attack returns is projected onto ball and box once more; a sample for which it returned
/// NaN is returned unperturbed, as a failure. `draws` seeds each sample by itself.
///
/// # Errors
/// Labels that do not fit, inputs outside of the model's bounds, a radius that exceeds the box, or
/// a failure of model or device.
pub fn perturb(
    attack: &dyn Attack,
    model: &dyn Classifier,
    x: &Tensor,
    goal: &Goal,
    draws: &Draws,
) -> Result<Outcome> {
    let threat = attack.threat();
    let before = check_request(attack, model, x, goal)?;
    let reached = goal.reached(&model.logits(x)?);
    let done: Vec<i64> = reached.to_vec()?;
    let open: Vec<usize> = (0..done.len()).filter(|&i| done[i] == 0).collect();

    let metered = Metered::new(model);
    let adversarial = if open.is_empty() {
        x.detach()
    } else {
        let rows: Vec<i64> = open.iter().map(|&i| i as i64).collect();
        let rows = Tensor::from_slice(x.device(), &rows, &[rows.len()])?;
        let x0 = x.detach().take(0, &rows);
        let found = craft(attack, &metered, &x0, &goal.take(&rows), &draws.select(&open))?;
        let kept = reached.cast(x.dtype()).per_sample(x);
        let others = x.detach().where_(&kept, &x.scalar(0.0));
        others.put_add(0, &rows, &found)
    };
    let queries_each = metered.each(open.len()).map(|asked| {
        let mut each = vec![0; done.len()];
        open.iter().zip(asked).for_each(|(&i, count)| each[i] = count);
        each
    });
    let [lo, hi] = model.bounds();
    let after = adversarial.to_f64_vec()?;
    let each = before.len() / done.len().max(1);
    let distance: Vec<f64> = (0..done.len())
        .map(|i| {
            let rows = i * each..(i + 1) * each;
            threat.norm.of(before[rows.clone()].iter().zip(&after[rows]).map(|(a, b)| b - a))
        })
        .collect();
    let logits = model.logits(&adversarial)?;
    let allowed = threat.eps + threat.tolerance(each, [lo, hi]);
    if let Some(d) = distance.iter().find(|d| **d > allowed) {
        bail!(
            Numeric,
            "attack: a perturbation of {d} exceeds eps = {} after projection",
            threat.eps
        );
    }
    attack.limits().check(threat, &x.shape(), [&before, &after], [lo, hi])?;
    let success = goal.reached(&logits).to_vec::<i64>()?.into_iter().map(|r| r == 1).collect();
    Ok(Outcome {
        predictions: logits.argmax(1).to_vec()?,
        adversarial,
        success,
        distance,
        queries: metered.queries(),
        gradient_calls: metered.gradients(),
        queries_each,
    })
}

/// Adversarial versions of every sample of `x`, also of those that reach the goal already: what
/// training wants. Projected, and unperturbed where the attack returned NaN.
///
/// # Errors
/// A failure of attack, model or device.
pub fn craft(
    attack: &dyn Attack,
    model: &dyn Classifier,
    x: &Tensor,
    goal: &Goal,
    draws: &Draws,
) -> Result<Tensor> {
    if x.check()?.dim(0) == 0 {
        return Ok(x.detach());
    }
    let found = attack.run(model, x, goal, draws)?;
    if found.check()?.aval() != x.aval() {
        bail!(Shape, "attack: returned {} for inputs {}", found.aval(), x.aval());
    }
    if attack.is_projected() {
        return Ok(found);
    }
    // A sum with NaN in it is NaN, the one value that differs from itself. One sum for the batch, as
    // it is nearly always a number, and a sum for each sample only if it is not.
    let axes: Axes = (0..found.shape().rank()).collect();
    let kept = if found.sum(&axes).item()?.is_nan() {
        let sum = found.sum_per_sample();
        found.where_(&sum.eq(&sum).per_sample(x), x)
    } else {
        found
    };
    Ok(attack.threat().project(&kept, x, model.bounds()))
}

/// Checks the request; the input values, which were looked at for it.
fn check_request(
    attack: &dyn Attack,
    model: &dyn Classifier,
    x: &Tensor,
    goal: &Goal,
) -> Result<Vec<f64>> {
    goal.check(x.check()?.dim(0), model.classes())?;
    let threat = attack.threat();
    let [lo, hi] = model.bounds();
    let values = x.to_f64_vec()?;
    if let Some(v) = values.iter().find(|v| !(lo..=hi).contains(*v)) {
        bail!(Data, "attack: an input value of {v} is outside of the model's bounds [{lo}, {hi}]");
    }
    if threat.budget().is_some() {
        threat.check_within(x.shape().iter().skip(1).product(), [lo, hi])?;
    }
    Ok(values)
}

/// Runs an attack on the samples `rows` of a data set, in batches, and joins the outcomes. An attack that
/// makes one thing for all samples makes it of all `rows` first.
/// `progress` hears of every finished batch and may stop the run with an error.
///
/// # Errors
/// As [`perturb`], there is no sample, or `progress` failed.
#[allow(clippy::too_many_arguments)] // one of each is what an attack on data consists of
pub fn perturb_rows(
    attack: &dyn Attack,
    model: &dyn Classifier,
    data: &Dataset,
    rows: &[usize],
    aim: Aim,
    place: &Placement,
    rng: &Rng,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Outcome> {
    let metered = Metered::new(model);
    let samples = Samples::rows(data, rows, aim, place, rng);
    let fitted = if rows.is_empty() { None } else { attack.fitted(&metered, &samples)? };
    let attack = fitted.as_deref().unwrap_or(attack);
    let mut parts = Vec::new();
    for rows in place.portions(rows) {
        let (x, y) = place.tensors(data, rows)?;
        let draws = Draws::new(rng.clone(), rows.iter().map(|&r| r as u64).collect());
        let goal = aim.goal(&y, data.classes)?;
        parts.push(perturb(attack, model, &x, &goal, &draws)?);
        progress(rows.len())?;
    }
    let mut all = join(parts)?;
    all.queries += metered.queries();
    all.gradient_calls += metered.gradients();
    Ok(all)
}

fn join(parts: Vec<Outcome>) -> Result<Outcome> {
    let mut parts = parts.into_iter();
    let Some(mut all) = parts.next() else {
        bail!(Data, "attack: the data set is empty");
    };
    let mut pieces = Vec::new();
    for part in parts {
        pieces.push(part.adversarial);
        all.predictions.extend(part.predictions);
        all.success.extend(part.success);
        all.distance.extend(part.distance);
        all.queries += part.queries;
        all.gradient_calls += part.gradient_calls;
        all.queries_each = all.queries_each.zip(part.queries_each).map(|(mut all, part)| {
            all.extend(part);
            all
        });
    }
    all.adversarial = all.adversarial.concat(&pieces, 0);
    Ok(all)
}
