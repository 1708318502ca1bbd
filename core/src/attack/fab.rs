//! FAB (Croce and Hein 2020, "Minimally distorted adversarial examples"): linearise the boundary, go
//! onto it with a bias towards the original, and come back a part of the way whenever a point
//! fools. With targets it is FAB-T of AutoAttack, which linearises one boundary at a time.

use serde::{Deserialize, Serialize};

use super::ball::{diameter, sizes};
use super::best::Nearest;
use super::boundary::{Face, nearest_face, onto_plane};
use super::dlr::{as_column, column, next_classes};
use super::fgsm::linf;
use super::table::{at_least_one, check_threat, positive, share};
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat, rows};
use crate::model::Classifier;
use crate::{Result, Tensor};

/// Configuration of FAB.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fab {
    /// The norm.
    #[serde(default = "linf")]
    pub norm: Norm,
    /// Radius of the ball, if there is one. A sample that is fooled within it is not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// Number of steps.
    #[serde(default = "steps")]
    pub steps: usize,
    /// Runs; the first starts from the original, the others from random points.
    #[serde(default = "restarts")]
    pub restarts: usize,
    /// Untargeted: runs towards each of so many classes (fewer if there are not as many) that come next
    /// in the clean logits; 0 looks at all boundaries in every step.
    #[serde(default = "targets")]
    pub targets: usize,
    /// The largest bias towards the original.
    #[serde(default = "alpha_max")]
    pub alpha_max: f64,
    /// Length of a step as a multiple of the way to the boundary.
    #[serde(default = "eta")]
    pub eta: f64,
    /// Share of the way from the original at which a sample goes on once it fools.
    #[serde(default = "beta")]
    pub beta: f64,
}

fn steps() -> usize {
    100
}
fn restarts() -> usize {
    1
}
fn targets() -> usize {
    9
}
fn alpha_max() -> f64 {
    0.1
}
fn eta() -> f64 {
    1.05
}
fn beta() -> f64 {
    0.9
}

impl Fab {
    /// FAB-T: 100 steps from the original towards each of the 9 next classes.
    pub fn new(norm: Norm) -> Self {
        Fab {
            norm,
            eps: None,
            steps: steps(),
            restarts: restarts(),
            targets: targets(),
            alpha_max: alpha_max(),
            eta: eta(),
            beta: beta(),
        }
    }

    /// The boundaries to pursue in turn.
    fn pursuits(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal) -> Result<Vec<Pursuit>> {
        let Goal::Untargeted(y) = goal else {
            return Ok(vec![Pursuit { goal: goal.clone(), others: as_column(goal.classes()) }]);
        };
        let wanted = if self.targets == 0 { usize::MAX } else { self.targets };
        let next = next_classes(&model.logits(x)?, y, wanted);
        let of = |others| Pursuit { goal: goal.clone(), others };
        Ok(match self.targets {
            0 => vec![of(next)],
            _ => (0..next.dim(1)).map(|k| of(as_column(&column(&next, k)))).collect(),
        })
    }

    /// A point of half the radius that is worth looking at: the budget, or what was found so far.
    fn random_start(
        &self,
        x0: &Tensor,
        found: &Nearest,
        draws: &Draws,
        [lo, hi]: [f64; 2],
    ) -> Result<Tensor> {
        let features = x0.shape().iter().skip(1).product();
        let widest = self.eps.unwrap_or_else(|| diameter(self.norm, features, [lo, hi]));
        let radius = found.size.minimum(&found.size.scalar(widest)) * 0.5;
        let noise = draws.tensor(x0, |rng, out| match self.norm {
            Norm::Linf => rng.fill_uniform(out, -1.0, 1.0),
            _ => rng.fill_normal(out),
        })?;
        let length = sizes(self.norm, &noise);
        let scale = radius / length.maximum(&length.scalar(1e-12));
        Ok((x0 + &(noise * scale.per_sample(x0))).clamp(lo, hi))
    }

    /// One run from `x`.
    fn pursue(
        &self,
        model: &dyn Classifier,
        x0: &Tensor,
        mut x: Tensor,
        pursuit: &Pursuit,
    ) -> Result<Nearest> {
        let [lo, hi] = model.bounds();
        let n = x0.dim(0);
        let mut nearest = Nearest::none(self.norm, x0);
        for _ in 0..self.steps {
            let face = pursuit.face(self.norm, model, &x)?;
            let at_original = &face.df + &(&face.dw * &(x0 - &x)).sum_per_sample();
            let both = |a: &Tensor, b: &Tensor| a.concat(std::slice::from_ref(b), 0);
            let d = onto_plane(
                self.norm,
                &both(&x, x0),
                &both(&face.df, &at_original),
                &both(&face.dw, &face.dw),
                [lo, hi],
            );
            let length = sizes(self.norm, &d);
            let length = length.maximum(&length.scalar(1e-8));
            let (here, there) = (length.narrow(0, 0, n), length.narrow(0, n, n));
            let bias = &here / &(&here + &there);
            let bias = bias.minimum(&bias.scalar(self.alpha_max)).per_sample(&x);
            let from_here = &x + &(d.narrow(0, 0, n) * self.eta);
            let from_original = x0 + &(d.narrow(0, n, n) * self.eta);
            let mixed = from_here * bias.affine(-1.0, 1.0) + from_original * &bias;
            x = mixed.clamp(lo, hi);
            let reached = pursuit.goal.reached(&model.logits(&x)?).cast(x.dtype());
            nearest.update(&x, x0, &reached);
            let back = x0 + &((&x - x0) * self.beta);
            x = back.where_(&reached.per_sample(&x), &x);
            x.check()?;
        }
        Ok(nearest)
    }
}

/// The goal, and the classes `[N, K]` whose boundaries with the class to leave are looked at.
struct Pursuit {
    goal: Goal,
    others: Tensor,
}

impl Pursuit {
    fn take(&self, at: &Tensor) -> Self {
        Pursuit { goal: self.goal.take(at), others: self.others.take(0, at) }
    }

    /// The nearest boundary at `x`: with the label, or between a target and its strongest rival.
    fn face(&self, norm: Norm, model: &dyn Classifier, x: &Tensor) -> Result<Face> {
        let x = x.tracked();
        let logits = model.logits(&x)?;
        let from = match &self.goal {
            Goal::Untargeted(y) => y.clone(),
            Goal::Targeted(t) => column(&next_classes(&logits, t, 1), 0),
        };
        nearest_face(norm, &logits, &x, &from, &self.others)
    }
}

impl AttackSpec for Fab {
    const NAME: &'static str = "fab";
    const SUMMARY: &'static str = "smallest change along linearised boundaries (Linf, L2, L1)";
    const MINIMAL: bool = true;

    fn at(threat: Threat) -> Self {
        Fab { eps: threat.budget(), ..Fab::new(threat.norm) }
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("steps", self.steps)?;
        at_least_one::<Self>("restarts", self.restarts)?;
        share::<Self>("alpha_max", self.alpha_max)?;
        positive::<Self>("eta", self.eta)?;
        share::<Self>("beta", self.beta)
    }

    fn label(&self) -> String {
        let name = if self.targets == 0 { "FAB" } else { "FAB-T" };
        match self.restarts {
            1 => format!("{name}-{}", self.steps),
            n => format!("{name}-{} x {n}", self.steps),
        }
    }

    fn with_threat(&self, threat: Threat) -> Self {
        Fab { norm: threat.norm, eps: threat.budget(), ..self.clone() }
    }
}

impl Attack for Fab {
    fn threat(&self) -> Threat {
        Threat::of(self.norm, self.eps)
    }

    fn access(&self) -> Access {
        Access::Gradient
    }

    fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Tensor> {
        let mut nearest = Nearest::none(self.norm, x);
        let mut open: Vec<usize> = (0..x.dim(0)).collect();
        let mut runs = 0;
        for pursuit in self.pursuits(model, x, goal)? {
            for restart in 0..self.restarts {
                let at = rows::index(x, &open)?;
                let x0 = x.take(0, &at);
                let start = if restart == 0 {
                    x0.clone()
                } else {
                    let (found, draws) = (nearest.select(&open)?, draws.select(&open).index(runs));
                    self.random_start(&x0, &found, &draws, model.bounds())?
                };
                runs += 1;
                let found = self.pursue(model, &x0, start, &pursuit.take(&at))?;
                nearest.merge(&open, &found)?;
                if let Some(eps) = self.eps {
                    open = rows::unset(&nearest.size.le(&nearest.size.scalar(eps)))?;
                }
                if open.is_empty() {
                    return Ok(nearest.x);
                }
            }
        }
        Ok(nearest.x)
    }
}
