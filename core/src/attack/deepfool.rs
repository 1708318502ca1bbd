//! DeepFool (Moosavi-Dezfooli et al. 2016): again and again onto the nearest decision boundary of the
//! linearised model, and a little beyond.

use serde::{Deserialize, Serialize};

use super::best::Nearest;
use super::boundary::{Face, nearest_face};
use super::cw::l2;
use super::dlr::{as_column, next_classes};
use super::step::direction;
use super::table::{at_least_one, check_threat};
use super::{Access, Attack, AttackSpec, Draws, Goal, L1Step, Norm, Threat, rows};
use crate::model::Classifier;
use crate::{Result, Tensor, bail};

/// Configuration of DeepFool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeepFool {
    /// The norm: L2 or Linf.
    #[serde(default = "l2")]
    pub norm: Norm,
    /// Radius of the ball, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// The most steps.
    #[serde(default = "steps")]
    pub steps: usize,
    /// How far beyond the boundary a sample is put, as a share of the way.
    #[serde(default = "overshoot")]
    pub overshoot: f64,
    /// Boundaries that are looked at: those to this many classes that come next in the clean logits.
    #[serde(default = "candidates")]
    pub candidates: usize,
}

fn steps() -> usize {
    50
}
fn overshoot() -> f64 {
    0.02
}
fn candidates() -> usize {
    9
}

/// Added to the length of every step, in units of the box, as in the authors' code. Where the box cuts
/// steps short they would otherwise approach the boundary forever without crossing it.
const BEYOND: f64 = 1e-4;

impl DeepFool {
    /// At most 50 steps towards one of 9 classes, 2 % beyond the boundary.
    pub fn new(norm: Norm) -> Self {
        DeepFool {
            norm,
            eps: None,
            steps: steps(),
            overshoot: overshoot(),
            candidates: candidates(),
        }
    }

    /// Where the steps so far lead, tracked.
    fn point(&self, open: &Open, [lo, hi]: [f64; 2]) -> Tensor {
        (&open.x0 + &(&open.sum * (1.0 + self.overshoot))).clamp(lo, hi).tracked()
    }

    /// The step onto the boundary of the linearised model and [`BEYOND`] it: along `dw / |dw|_2` in L2,
    /// `sign(dw)` in Linf.
    fn step(&self, face: &Face, [lo, hi]: [f64; 2]) -> Tensor {
        let length = face.distance(self.norm) + BEYOND * (hi - lo);
        let along = direction(self.norm, L1Step::Dense, &face.dw, &face.dw, [lo, hi]);
        along * length.per_sample(&face.dw)
    }
}

impl AttackSpec for DeepFool {
    const NAME: &'static str = "deep_fool";
    const SUMMARY: &'static str = "onto the nearest boundary of the linearised model (L2, Linf)";
    const NORMS: &'static [Norm] = &[Norm::L2, Norm::Linf];
    const MINIMAL: bool = true;

    fn at(threat: Threat) -> Self {
        DeepFool { eps: threat.budget(), ..DeepFool::new(threat.norm) }
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("steps", self.steps)?;
        at_least_one::<Self>("candidates", self.candidates)?;
        if !(self.overshoot >= 0.0 && self.overshoot.is_finite()) {
            bail!(Config, "deep_fool: overshoot = {} must not be negative", self.overshoot);
        }
        Ok(())
    }

    fn label(&self) -> String {
        "DeepFool".into()
    }

    fn with_threat(&self, threat: Threat) -> Self {
        DeepFool { norm: threat.norm, eps: threat.budget(), ..self.clone() }
    }
}

/// The samples that are not fooled yet.
struct Open {
    /// Their places in the batch.
    rows: Vec<usize>,
    x0: Tensor,
    /// The sum of all steps.
    sum: Tensor,
    goal: Goal,
    /// Classes beyond the boundaries, `[N, K]`.
    others: Tensor,
}

impl Open {
    fn keep(&mut self, open: &[usize]) -> Result<()> {
        let at = rows::index(&self.x0, open)?;
        for t in [&mut self.x0, &mut self.sum, &mut self.others] {
            *t = t.take(0, &at);
        }
        self.goal = self.goal.take(&at);
        self.rows = rows::pick(&self.rows, open);
        Ok(())
    }
}

impl Attack for DeepFool {
    fn threat(&self) -> Threat {
        Threat::of(self.norm, self.eps)
    }

    fn access(&self) -> Access {
        Access::Gradient
    }

    /// Untargeted, boundaries are those between the label and the candidates; towards a target, the one
    /// between it and the class that is predicted now.
    fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        _draws: &Draws,
    ) -> Result<Tensor> {
        let others = match goal {
            Goal::Untargeted(y) => next_classes(&model.logits(x)?, y, self.candidates),
            Goal::Targeted(t) => as_column(t),
        };
        let rows = (0..x.dim(0)).collect();
        let (x0, goal) = (x.clone(), goal.clone());
        let mut open = Open { rows, sum: x0.fill(0.0), x0, goal, others };
        let mut nearest = Nearest::none(self.norm, x);
        for last in (0..=self.steps).rev() {
            let mut at = self.point(&open, model.bounds());
            let mut logits = model.logits(&at)?;
            let reached = open.goal.reached(&logits);
            let left = rows::unset(&reached)?;
            if left.len() < open.rows.len() {
                let mut part = Nearest::none(self.norm, &open.x0);
                part.update(&at.detach(), &open.x0, &reached.cast(at.dtype()));
                nearest.merge(&open.rows, &part)?;
                open.keep(&left)?;
            }
            if left.is_empty() || last == 0 {
                break;
            }
            if left.len() < reached.dim(0) {
                at = self.point(&open, model.bounds());
                logits = model.logits(&at)?;
            }
            let from = match &open.goal {
                Goal::Untargeted(y) => y.clone(),
                Goal::Targeted(_) => logits.argmax(1).reshape(&[left.len()]),
            };
            let face = nearest_face(self.norm, &logits, &at, &from, &open.others)?;
            open.sum = open.sum + self.step(&face, model.bounds());
        }
        Ok(nearest.x)
    }
}
