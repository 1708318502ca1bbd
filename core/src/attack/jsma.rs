//! The Jacobian-based saliency map attack (Papernot et al. 2016, "The limitations of deep learning"):
//! few values, each changed as far as the box allows, chosen by how much they raise the target and
//! lower the other classes.
//!
//! One value a step, up or down, where the paper changes a pair upwards: the best pair takes as many
//! comparisons as there are pairs, and goes for values that matter alone in nearly all cases.

use serde::{Deserialize, Serialize};

use super::best::Nearest;
use super::dlr::{column, next_classes};
use super::table::{at_least_one, check_threat, positive};
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat, rows};
use crate::grad::vector_jacobian;
use crate::model::Classifier;
use crate::{Result, Tensor, bail};

/// Configuration of JSMA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jsma {
    /// The norm; only L0 is defined.
    #[serde(default = "l0")]
    pub norm: Norm,
    /// The most values that may change, if there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// The most steps; each changes one value.
    #[serde(default = "steps")]
    pub steps: usize,
    /// How far a step changes a value, in units of the box.
    #[serde(default = "theta")]
    pub theta: f64,
}

fn l0() -> Norm {
    Norm::L0
}
fn steps() -> usize {
    100
}
fn theta() -> f64 {
    1.0
}

impl Jsma {
    /// At most 100 values, each as far as it goes.
    pub fn new() -> Self {
        Jsma { norm: l0(), eps: None, steps: steps(), theta: theta() }
    }

    /// The value of each sample that helps most, changed; of samples where none helps, none.
    fn step(&self, open: &Open, slopes: &Slopes, [lo, hi]: [f64; 2]) -> Tensor {
        let Open { x, x0, .. } = open;
        let zero = x.scalar(0.0);
        let gain = &slopes.target - &slopes.others;
        // A value does not go back on its way.
        let up = zero.lt(&gain) * x.lt(&x.scalar(hi)) * x0.le(x);
        let down = gain.lt(&zero) * x.scalar(lo).lt(x) * x.le(x0);
        let movable = up + down;
        let flat = |t: &Tensor| t.reshape(&[t.dim(0), t.shape().iter().skip(1).product()]);
        let both = flat(&((&slopes.target * &slopes.others * -1.0).maximum(&zero) * &movable));
        // Where nothing both raises the target and lowers the others: what does most of either.
        let alone = flat(&(gain.abs() * &movable));
        let some = zero.lt(&both.max(1));
        let score = both.where_(&some, &alone);
        let chosen = score.argmax(1).one_hot(score.dim(1), x.dtype()).reshape(&x.shape());
        let change = chosen * movable * gain.sign() * (self.theta * (hi - lo));
        (x + &change).clamp(lo, hi)
    }
}

impl Default for Jsma {
    fn default() -> Self {
        Jsma::new()
    }
}

/// Gradients of the target's logit and of the sum of all others.
struct Slopes {
    target: Tensor,
    others: Tensor,
}

impl Slopes {
    fn at(logits: &Tensor, x: &Tensor, target: &Tensor) -> Result<Self> {
        let hot = target.one_hot(logits.dim(1), logits.dtype());
        let of = |seed: &Tensor| match vector_jacobian(logits, seed, &[x])?.pop() {
            Some(g) => Ok(g),
            None => bail!(Usage, "jsma: one gradient was asked for and none came"),
        };
        Ok(Slopes { target: of(&hot)?, others: of(&hot.affine(-1.0, 1.0))? })
    }
}

/// The samples that are not fooled yet.
struct Open {
    /// Their places in the batch.
    rows: Vec<usize>,
    x0: Tensor,
    x: Tensor,
    goal: Goal,
}

impl Open {
    fn keep(&mut self, open: &[usize]) -> Result<()> {
        let at = rows::index(&self.x0, open)?;
        self.x0 = self.x0.take(0, &at);
        self.x = self.x.take(0, &at);
        self.goal = self.goal.take(&at);
        self.rows = rows::pick(&self.rows, open);
        Ok(())
    }
}

impl AttackSpec for Jsma {
    const NAME: &'static str = "jsma";
    const SUMMARY: &'static str = "few values, chosen by saliency (JSMA, L0)";
    const NORMS: &'static [Norm] = &[Norm::L0];
    const MINIMAL: bool = true;

    fn at(threat: Threat) -> Self {
        Jsma { norm: threat.norm, eps: threat.budget(), ..Jsma::new() }
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("steps", self.steps)?;
        positive::<Self>("theta", self.theta)
    }

    fn label(&self) -> String {
        format!("JSMA-{}", self.steps)
    }

    fn with_threat(&self, threat: Threat) -> Self {
        Jsma { norm: threat.norm, eps: threat.budget(), ..self.clone() }
    }
}

impl Attack for Jsma {
    fn threat(&self) -> Threat {
        Threat::of(self.norm, self.eps)
    }

    fn access(&self) -> Access {
        Access::Gradient
    }

    /// Untargeted, the target is the class that comes closest to the label at each step.
    fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        _draws: &Draws,
    ) -> Result<Tensor> {
        let mut nearest = Nearest::none(self.norm, x);
        let rows = (0..x.dim(0)).collect();
        let mut open = Open { rows, x0: x.clone(), x: x.clone(), goal: goal.clone() };
        for last in (0..=self.steps).rev() {
            let mut at = open.x.tracked();
            let mut logits = model.logits(&at)?;
            let reached = open.goal.reached(&logits);
            let left = rows::unset(&reached)?;
            if left.len() < open.rows.len() {
                let mut part = Nearest::none(self.norm, &open.x0);
                part.update(&open.x, &open.x0, &reached.cast(x.dtype()));
                nearest.merge(&open.rows, &part)?;
                open.keep(&left)?;
            }
            if left.is_empty() || last == 0 {
                break;
            }
            if left.len() < reached.dim(0) {
                at = open.x.tracked();
                logits = model.logits(&at)?;
            }
            let target = match &open.goal {
                Goal::Untargeted(y) => column(&next_classes(&logits, y, 1), 0),
                Goal::Targeted(t) => t.clone(),
            };
            let slopes = Slopes::at(&logits, &at, &target)?;
            open.x = self.step(&open, &slopes, model.bounds());
        }
        Ok(nearest.x)
    }
}
