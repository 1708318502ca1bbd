//! Fast minimum-norm attacks (Pintor et al. 2021, algorithm 1): gradient steps projected onto a ball
//! whose radius shrinks around a sample that is fooled and grows around one that is not; until it is
//! fooled for the first time, to where the linearised boundary is.

use serde::{Deserialize, Serialize};

use super::ball::{project, sizes};
use super::best::Nearest;
use super::boundary::dual_size;
use super::cw::l2;
use super::ddn::{annealed, random_directions, unit_or};
use super::fgsm::ascent;
use super::table::{at_least_one, check_threat, positive, share};
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat};
use crate::model::Classifier;
use crate::{Result, Tensor};

/// Configuration of FMN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fmn {
    /// The norm: L0, L1, L2 or Linf.
    #[serde(default = "l2")]
    pub norm: Norm,
    /// Radius of the ball, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// Number of steps.
    #[serde(default = "steps")]
    pub steps: usize,
    /// L2 length of the first step, in units of the box; it falls to a hundredth.
    #[serde(default = "step")]
    pub step: f64,
    /// By which share the radius changes with the first step; it falls to 0.001.
    #[serde(default = "gamma")]
    pub gamma: f64,
}

fn steps() -> usize {
    300
}
fn step() -> f64 {
    1.0
}
fn gamma() -> f64 {
    0.05
}

/// What `gamma` falls to.
const LEAST_GAMMA: f64 = 0.001;

impl Fmn {
    /// 300 steps, the first of length 1, that change the radius by 5 % to begin with.
    pub fn new(norm: Norm) -> Self {
        Fmn { norm, eps: None, steps: steps(), step: step(), gamma: gamma() }
    }

    /// The next radius of each sample, `[N]`.
    fn radius(&self, at: &At<'_>, gamma: f64) -> Tensor {
        let At { radius, size, away, reached, nearest } = at;
        let (shrunk, grown) = if self.norm == Norm::L0 {
            (
                whole(&(*radius * (1.0 - gamma))).minimum(&(*radius - 1.0)),
                whole(&(*radius * (1.0 + gamma))).maximum(&(*radius + 1.0)),
            )
        } else {
            // A sample that was never fooled goes to where the boundary seems to be, and a little
            // beyond, farther each time: onto it is not across, and the box may cut the step short.
            let outward = radius
                .maximum(&(*size + *away))
                .where_(&nearest.found().eq(&radius.scalar(0.0)), radius);
            (*radius * (1.0 - gamma), outward * (1.0 + gamma))
        };
        shrunk.minimum(&nearest.size).where_(reached, &grown)
    }
}

/// Where a step stands.
struct At<'a> {
    radius: &'a Tensor,
    /// Size of the change.
    size: &'a Tensor,
    /// Distance to the linearised boundary.
    away: &'a Tensor,
    reached: &'a Tensor,
    nearest: &'a Nearest,
}

/// The whole part of a number that is not negative. There is no floor; what is within 1e-4 of the next
/// whole number is that number.
fn whole(x: &Tensor) -> Tensor {
    (x - 0.4999).round()
}

impl AttackSpec for Fmn {
    const NAME: &'static str = "fmn";
    const SUMMARY: &'static str =
        "smallest change by steps onto a shrinking ball (L2, Linf, L1, L0)";
    const NORMS: &'static [Norm] = &[Norm::L2, Norm::Linf, Norm::L1, Norm::L0];
    const MINIMAL: bool = true;

    fn at(threat: Threat) -> Self {
        Fmn { eps: threat.budget(), ..Fmn::new(threat.norm) }
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("steps", self.steps)?;
        positive::<Self>("step", self.step)?;
        positive::<Self>("gamma", self.gamma)?;
        share::<Self>("gamma", self.gamma)
    }

    fn label(&self) -> String {
        format!("FMN-{}", self.steps)
    }

    fn with_threat(&self, threat: Threat) -> Self {
        Fmn { norm: threat.norm, eps: threat.budget(), ..self.clone() }
    }
}

impl Attack for Fmn {
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
        // No change within the box is larger.
        let corner = (x0 - lo).maximum(&x0.affine(-1.0, hi));
        let widest = sizes(self.norm, &corner);
        let mut nearest = Nearest::none(self.norm, x0);
        let mut x = x0.clone();
        let mut radius = widest.fill(if self.norm == Norm::L0 { 1.0 } else { 0.0 });
        for step in 0..self.steps {
            let at = ascent(model, &x, |logits| goal.margin(logits))?;
            let reached = goal.reached(&at.logits).cast(x.dtype());
            let size = sizes(self.norm, &(&x - x0));
            nearest.update_sized(&x, size.clone(), &reached);
            let fall = annealed(step, self.steps);
            let gamma = LEAST_GAMMA + (self.gamma - LEAST_GAMMA).max(0.0) * fall;
            let slope = dual_size(self.norm, &at.g);
            let away = at.loss.abs() / slope.maximum(&slope.scalar(1e-12));
            let now = At {
                radius: &radius,
                size: &size,
                away: &away,
                reached: &reached,
                nearest: &nearest,
            };
            radius = self.radius(&now, gamma);
            radius = radius.clamp(0.0, f64::INFINITY).minimum(&widest);
            let length = self.step * (0.01 + 0.99 * fall) * (hi - lo);
            let moved = &x + &(unit_or(&at.g, &spare) * length);
            x = project(self.norm, &moved, x0, &radius, [lo, hi]);
            x.check()?;
        }
        let reached = goal.reached(&model.logits(&x)?).cast(x.dtype());
        nearest.update(&x, x0, &reached);
        Ok(nearest.x)
    }
}
