//! One step along the gradient: FGSM (Goodfellow et al. 2015), and its L2 and L1 forms (FGM).

use serde::{Deserialize, Serialize};

use super::step::direction;
use super::{Access, Attack, AttackSpec, Draws, Goal, L1Step, Norm, Threat};
use crate::grad::{grad, vector_jacobian};
use crate::model::Classifier;
use crate::op::Fused;
use crate::{Result, Tensor, bail};

/// `x + eps d`, with `d` along the gradient: `sign(g)` in Linf, `g / |g|_2` in L2, `g / |g|_1` in L1 (of
/// these only the first two ascend most steeply; it is what FGM means in L1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fgsm {
    /// The norm.
    #[serde(default = "linf")]
    pub norm: Norm,
    /// Length of the step.
    pub eps: f64,
    /// Starts from a random point of the ball instead of `x`, and projects back.
    #[serde(default)]
    pub random_start: bool,
}

pub(super) fn linf() -> Norm {
    Norm::Linf
}

impl Fgsm {
    /// Without a random start.
    pub fn new(norm: Norm, eps: f64) -> Self {
        Fgsm { norm, eps, random_start: false }
    }
}

impl AttackSpec for Fgsm {
    const NAME: &'static str = "fgsm";
    const SUMMARY: &'static str = "one gradient step of length eps (FGSM; FGM in L2 and L1)";

    fn at(threat: Threat) -> Self {
        Fgsm::new(threat.norm, threat.eps)
    }

    fn check(&self) -> Result<()> {
        self.threat().check()?;
        if self.norm == Norm::L0 {
            bail!(Config, "fgsm: no gradient step in l0; choose linf, l2 or l1");
        }
        Ok(())
    }

    fn label(&self) -> String {
        if self.norm == Norm::Linf { "FGSM".into() } else { "FGM".into() }
    }

    fn with_threat(&self, Threat { norm, eps }: Threat) -> Self {
        Fgsm { norm, eps, ..self.clone() }
    }
}

impl Attack for Fgsm {
    fn threat(&self) -> Threat {
        Threat::new(self.norm, self.eps)
    }

    fn access(&self) -> Access {
        Access::Gradient
    }

    /// In Linf it ends with [`Fused::PgdStep`], which moves by the signs of a gradient, 0 for NaN.
    fn is_projected(&self) -> bool {
        self.norm == Norm::Linf
    }

    fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Tensor> {
        let bounds = model.bounds();
        let start = if self.random_start {
            self.threat().random_start(x, draws, bounds)?
        } else {
            x.clone()
        };
        let (_, g) = gradient(model, &start, goal)?;
        if self.norm == Norm::Linf {
            let [lo, hi] = bounds;
            let op = Fused::PgdStep { step: self.eps, eps: self.eps, lo, hi };
            return Ok(Tensor::fused(op, [start, g, x.clone()]));
        }
        let moved = &start + &(direction(self.norm, L1Step::Dense, &g, &start, bounds) * self.eps);
        Ok(self.threat().project(&moved, x, bounds))
    }
}

/// Logits at `x`, and the gradient of the summed objective, whose value is not needed for it.
pub(super) fn gradient(
    model: &dyn Classifier,
    x: &Tensor,
    goal: &Goal,
) -> Result<(Tensor, Tensor)> {
    let x = x.detach().tracked();
    let logits = model.logits(&x)?;
    let values = logits.detach();
    let slope = goal.objective_slope(&values);
    let Some(g) = vector_jacobian(&logits, &slope, &[&x])?.pop() else {
        bail!(Usage, "attack: one gradient was asked for and none came");
    };
    Ok((values, g))
}

/// What one forward and one backward pass tell of a point.
pub(super) struct Ascent {
    /// `[N, C]`.
    pub(super) logits: Tensor,
    /// The loss of each sample, `[N]`.
    pub(super) loss: Tensor,
    /// Gradient of the summed loss, shaped like the point.
    pub(super) g: Tensor,
}

/// Logits, loss and gradient at `x` for a loss of the logits, `[N]`.
pub(super) fn ascent(
    model: &dyn Classifier,
    x: &Tensor,
    loss: impl Fn(&Tensor) -> Tensor,
) -> Result<Ascent> {
    let x = x.detach().tracked();
    let logits = model.logits(&x)?;
    let loss = loss(&logits);
    let Some(g) = grad(&loss, &[&x])?.pop() else {
        bail!(Usage, "attack: one gradient was asked for and none came");
    };
    Ok(Ascent { logits: logits.detach(), loss: loss.detach(), g })
}
