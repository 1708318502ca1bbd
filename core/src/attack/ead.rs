//! Elastic-net attack (Chen et al. 2018): as that of Carlini and Wagner, but the size of the change is its
//! squared length plus a share of its L1 norm, minimised by iterated shrinkage with acceleration
//! (FISTA), which leaves most values exactly as they were.

use serde::{Deserialize, Serialize};

use super::best::Nearest;
use super::cw::bisect_weights;
use super::fgsm::ascent;
use super::table::{at_least_one, check_threat, positive};
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat, rows};
use crate::model::Classifier;
use crate::{Result, Tensor, bail};

/// Configuration of the elastic-net attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ead {
    /// The norm by which the best iterate is chosen: L1 or L2.
    #[serde(default = "l1")]
    pub norm: Norm,
    /// Radius of the ball, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// Steps for each weight.
    #[serde(default = "steps")]
    pub steps: usize,
    /// Weights of the margin that the binary search tries.
    #[serde(default = "searches")]
    pub searches: usize,
    /// The first weight of the margin, `c`.
    #[serde(default = "weight")]
    pub weight: f64,
    /// Threshold of the shrinkage: over the length of the step, the weight of the L1 norm.
    #[serde(default = "beta")]
    pub beta: f64,
    /// Length of the first step; it falls as the square root of the steps left.
    #[serde(default = "lr")]
    pub lr: f64,
    /// The margin that is to be reached, `kappa`.
    #[serde(default)]
    pub confidence: f64,
}

fn l1() -> Norm {
    Norm::L1
}
fn steps() -> usize {
    300
}
fn searches() -> usize {
    9
}
fn weight() -> f64 {
    1e-3
}
fn beta() -> f64 {
    1e-2
}
fn lr() -> f64 {
    0.01
}

impl Ead {
    /// 9 weights from 1e-3, 300 steps for each, shrinkage 1e-2.
    pub fn new(norm: Norm) -> Self {
        Ead {
            norm,
            eps: None,
            steps: steps(),
            searches: searches(),
            weight: weight(),
            beta: beta(),
            lr: lr(),
            confidence: 0.0,
        }
    }

    /// FISTA from the originals with the weights `c`; which samples it fooled.
    fn search(
        &self,
        model: &dyn Classifier,
        x0: &Tensor,
        goal: &Goal,
        c: &Tensor,
        nearest: &mut Nearest,
    ) -> Result<Vec<bool>> {
        let bounds = model.bounds();
        let mut found = Nearest::none(self.norm, x0);
        let (mut x, mut slack) = (x0.clone(), x0.clone());
        for step in 0..self.steps {
            let missing = |z: &Tensor| {
                let short = goal.margin(z).affine(-1.0, self.confidence);
                short.maximum(&short.scalar(0.0)) * c
            };
            let at = ascent(model, &slack, missing)?;
            let left = (1.0 - step as f64 / self.steps as f64).sqrt();
            let g = (&slack - x0) * 2.0 + at.g;
            let next = self.shrunk(&(&slack - &(g * (self.lr * left))), x0, bounds);
            let momentum = step as f64 / (step as f64 + 3.0);
            slack = &next + &((&next - &x) * momentum);
            x = next;
            let logits = model.logits(&x)?;
            let mut reached = goal.reached(&logits).cast(x.dtype());
            if self.confidence > 0.0 {
                let margin = goal.margin(&logits);
                reached = reached * margin.scalar(self.confidence).le(&margin);
            }
            found.update(&x, x0, &reached);
        }
        x.check()?;
        let all: Vec<usize> = (0..x0.dim(0)).collect();
        let missed = rows::unset(&found.found())?;
        nearest.merge(&all, &found)?;
        let mut hit = vec![true; all.len()];
        missed.into_iter().for_each(|i| hit[i] = false);
        Ok(hit)
    }

    /// The change of `x0` drawn towards 0 by `beta`, then cut off at the box.
    fn shrunk(&self, x: &Tensor, x0: &Tensor, [lo, hi]: [f64; 2]) -> Tensor {
        let change = x - x0;
        let size = change.abs() - self.beta;
        let kept = size.maximum(&size.scalar(0.0)) * change.sign();
        (x0 + &kept).clamp(lo, hi)
    }
}

impl AttackSpec for Ead {
    const NAME: &'static str = "ead";
    const SUMMARY: &'static str = "smallest change in L1 by shrinkage and binary search (EAD)";
    const NORMS: &'static [Norm] = &[Norm::L1, Norm::L2];
    const MINIMAL: bool = true;

    fn at(threat: Threat) -> Self {
        Ead { eps: threat.budget(), ..Ead::new(threat.norm) }
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("steps", self.steps)?;
        at_least_one::<Self>("searches", self.searches)?;
        positive::<Self>("weight", self.weight)?;
        positive::<Self>("lr", self.lr)?;
        for (name, value) in [("beta", self.beta), ("confidence", self.confidence)] {
            if !(value >= 0.0 && value.is_finite()) {
                bail!(Config, "ead: {name} = {value} must not be negative");
            }
        }
        Ok(())
    }

    fn label(&self) -> String {
        format!("EAD-{}x{}", self.searches, self.steps)
    }

    fn with_threat(&self, threat: Threat) -> Self {
        Ead { norm: threat.norm, eps: threat.budget(), ..self.clone() }
    }
}

impl Attack for Ead {
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
        _draws: &Draws,
    ) -> Result<Tensor> {
        let mut nearest = Nearest::none(self.norm, x);
        bisect_weights(self.searches, self.weight, x, |c| {
            self.search(model, x, goal, &c, &mut nearest)
        })?;
        Ok(nearest.x)
    }
}
