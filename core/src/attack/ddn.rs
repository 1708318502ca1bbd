//! Decoupled direction and norm (Rony et al. 2019): steps along the gradient, while the length of the
//! change is set apart from them, shorter after a step that fools and longer after one that does not.

use serde::{Deserialize, Serialize};

use super::ball::{largest, length2};
use super::best::Nearest;
use super::cw::l2;
use super::fgsm::gradient;
use super::table::{at_least_one, check_threat, positive, share};
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat};
use crate::model::Classifier;
use crate::{Result, Tensor};

/// Configuration of DDN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ddn {
    /// The norm; only L2 is defined.
    #[serde(default = "l2")]
    pub norm: Norm,
    /// Radius of the ball, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// Number of steps.
    #[serde(default = "steps")]
    pub steps: usize,
    /// Length of the first change, in units of the box.
    #[serde(default = "start")]
    pub start: f64,
    /// By which share the length changes with each step.
    #[serde(default = "gamma")]
    pub gamma: f64,
}

fn steps() -> usize {
    300
}
fn start() -> f64 {
    1.0
}
fn gamma() -> f64 {
    0.05
}

impl Ddn {
    /// 300 steps that change the length by 5 % each.
    pub fn new() -> Self {
        Ddn { norm: l2(), eps: None, steps: steps(), start: start(), gamma: gamma() }
    }
}

impl Default for Ddn {
    fn default() -> Self {
        Ddn::new()
    }
}

/// Falls from 1 to almost 0 along half a cosine.
pub(super) fn annealed(step: usize, steps: usize) -> f64 {
    f64::midpoint(1.0, (std::f64::consts::PI * step as f64 / steps as f64).cos())
}

/// A direction of length 1 for each sample, for those whose gradient is zero.
pub(super) fn random_directions(x: &Tensor, draws: &Draws) -> Result<Tensor> {
    let noise = draws.tensor(x, |rng, out| rng.fill_normal(out))?;
    let length = length2(&noise);
    Ok(&noise / &length.maximum(&length.scalar(1e-12)).per_sample(x))
}

/// `g / |g|_2`, or `other` where the gradient is zero.
pub(super) fn unit_or(g: &Tensor, other: &Tensor) -> Tensor {
    // Scaled first: squares of a confident model's gradients underflow.
    let largest = largest(&g.abs());
    let some = largest.scalar(0.0).lt(&largest);
    let scaled = g / &largest.where_(&some, &largest.scalar(1.0)).per_sample(g);
    let length = length2(&scaled);
    let unit = scaled / length.maximum(&length.scalar(1e-12)).per_sample(g);
    unit.where_(&some.per_sample(g), other)
}

impl AttackSpec for Ddn {
    const NAME: &'static str = "ddn";
    const SUMMARY: &'static str = "smallest L2 change by steps of a length set apart (DDN)";
    const NORMS: &'static [Norm] = &[Norm::L2];
    const MINIMAL: bool = true;

    fn at(threat: Threat) -> Self {
        Ddn { norm: threat.norm, eps: threat.budget(), ..Ddn::new() }
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("steps", self.steps)?;
        positive::<Self>("start", self.start)?;
        positive::<Self>("gamma", self.gamma)?;
        share::<Self>("gamma", self.gamma)
    }

    fn label(&self) -> String {
        format!("DDN-{}", self.steps)
    }

    fn with_threat(&self, threat: Threat) -> Self {
        Ddn { norm: threat.norm, eps: threat.budget(), ..self.clone() }
    }
}

impl Attack for Ddn {
    fn threat(&self) -> Threat {
        Threat::of(self.norm, self.eps)
    }

    fn access(&self) -> Access {
        Access::Gradient
    }

    fn run(
        &self,
        model: &dyn Classifier,
        x0: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Tensor> {
        let [lo, hi] = model.bounds();
        let spare = random_directions(x0, draws)?;
        // No change within the box is longer.
        let corner = (x0 - lo).maximum(&x0.affine(-1.0, hi));
        let longest = length2(&corner);
        let mut nearest = Nearest::none(self.norm, x0);
        let mut x = x0.clone();
        let mut length = longest.fill(self.start * (hi - lo));
        for step in 0..self.steps {
            let (logits, g) = gradient(model, &x, goal)?;
            let reached = goal.reached(&logits).cast(x.dtype());
            nearest.update(&x, x0, &reached);
            let rate = (0.01 + 0.99 * annealed(step, self.steps)) * (hi - lo);
            let delta = (x - x0) + unit_or(&g, &spare) * rate;
            let factor = reached.affine(-2.0 * self.gamma, 1.0 + self.gamma);
            length = (length * factor).minimum(&longest);
            let now = length2(&delta);
            let scale = &length / &now.maximum(&now.scalar(1e-12));
            x = (x0 + &(delta * scale.per_sample(x0))).clamp(lo, hi);
            x.check()?;
        }
        let reached = goal.reached(&model.logits(&x)?).cast(x.dtype());
        nearest.update(&x, x0, &reached);
        Ok(nearest.x)
    }
}
