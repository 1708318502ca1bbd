//! Universal perturbations (Moosavi-Dezfooli et al. 2017): one change that fools a model on most samples
//! that it is added to; made by gradient ascent over the samples, as in Shafahi et al. (2020, "Universal
//! adversarial training", algorithm 2), rather than by a DeepFool for each sample in turn, which takes far
//! longer and comes to less.
//!
//! It is made of the samples that it is then measured on, all of them before the first is touched. What a
//! defender should fear is such a change that carries over to other samples, and it fools a few less.

use serde::{Deserialize, Serialize};

use super::ddn::annealed;
use super::fgsm::linf;
use super::samples::Samples;
use super::step::direction;
use super::table::{at_least_one, check_threat, positive};
use super::{Access, Attack, AttackSpec, Draws, Goal, L1Step, Norm, Threat};
use crate::grad::grad;
use crate::model::Classifier;
use crate::{Result, Tensor, bail};

/// Configuration of universal perturbations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Universal {
    /// The norm.
    #[serde(default = "linf")]
    pub norm: Norm,
    /// Radius of the ball.
    pub eps: f64,
    /// Passes over all samples.
    #[serde(default = "epochs")]
    pub epochs: usize,
    /// Samples of one step.
    #[serde(default = "batch")]
    pub batch: usize,
    /// Length of the first step, `eps / 4` if absent; it falls to almost 0 along half a cosine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// The most that the cross-entropy of one sample counts: `beta` of Shafahi et al., without which a
    /// few samples that are far gone would take all of the gradient.
    #[serde(default = "cap")]
    pub cap: f64,
}

fn epochs() -> usize {
    10
}
fn batch() -> usize {
    64
}
fn cap() -> f64 {
    9.0
}

/// Share of the values that an L1 step changes.
const SPARSE: L1Step = L1Step::Sparse(0.01);

impl Universal {
    /// Ten passes in steps of 64 samples.
    pub fn new(norm: Norm, eps: f64) -> Self {
        Universal { norm, eps, epochs: epochs(), batch: batch(), step: None, cap: cap() }
    }

    /// The change that fools most of the samples of all that stood at the end of a pass.
    fn made(&self, model: &dyn Classifier, samples: &Samples<'_>) -> Result<Change> {
        let [lo, hi] = model.bounds();
        // What may be added to some value of the box.
        let room = [lo - hi, hi - lo];
        let count = samples.count();
        let origin = samples.portion(&[0])?.x.fill(0.0);
        let length = self.step.unwrap_or(self.eps / 4.0);
        let mut now = Change { threat: self.threat(), delta: origin.clone() };
        let (mut best, mut most) = (now.clone(), now.fooled(model, samples, self.batch)?);
        let steps = self.epochs * count.div_ceil(self.batch);
        let order = samples.rng().child("universal");
        let mut step = 0;
        for epoch in 0..self.epochs {
            for at in order.index(epoch as u64).permutation(count).chunks(self.batch) {
                let part = samples.portion(at)?;
                let delta = now.delta.tracked();
                let logits = model.logits(&(&part.x + &delta).clamp(lo, hi))?;
                let loss = part.goal.objective(&logits);
                let Some(g) = grad(&loss.minimum(&loss.scalar(self.cap)), &[&delta])?.pop() else {
                    bail!(Usage, "universal: one gradient was asked for and none came");
                };
                let along = direction(self.norm, SPARSE, &g, &now.delta, room);
                let moved = &now.delta + &(along * (length * annealed(step, steps)));
                now.delta = self.threat().project(&moved, &origin, room);
                now.delta.check()?;
                step += 1;
            }
            let fooled = now.fooled(model, samples, self.batch)?;
            if fooled > most {
                (best, most) = (now.clone(), fooled);
            }
        }
        Ok(best)
    }
}

/// One change for every sample.
#[derive(Clone)]
struct Change {
    threat: Threat,
    /// `[1, ...]`.
    delta: Tensor,
}

impl Change {
    fn added(&self, x: &Tensor, [lo, hi]: [f64; 2]) -> Tensor {
        (x + &self.delta).clamp(lo, hi)
    }

    /// How many of the samples reach their goal with it.
    fn fooled(&self, model: &dyn Classifier, samples: &Samples<'_>, batch: usize) -> Result<usize> {
        let mut all = 0;
        for part in samples.portions(batch) {
            let part = part?;
            let logits = model.logits(&self.added(&part.x, model.bounds()))?;
            let reached: Vec<i64> = part.goal.reached(&logits).to_vec()?;
            all += reached.into_iter().filter(|r| *r == 1).count();
        }
        Ok(all)
    }
}

impl Attack for Change {
    fn threat(&self) -> Threat {
        self.threat
    }

    fn access(&self) -> Access {
        Access::Gradient
    }

    fn run(&self, model: &dyn Classifier, x: &Tensor, _: &Goal, _: &Draws) -> Result<Tensor> {
        Ok(self.added(x, model.bounds()))
    }
}

impl AttackSpec for Universal {
    const NAME: &'static str = "universal";
    const SUMMARY: &'static str = "one perturbation for all samples (Linf, L2, L1)";

    fn at(threat: Threat) -> Self {
        Universal::new(threat.norm, threat.eps)
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("epochs", self.epochs)?;
        at_least_one::<Self>("batch", self.batch)?;
        self.step.map_or(Ok(()), |step| positive::<Self>("step", step))?;
        positive::<Self>("cap", self.cap)
    }

    fn label(&self) -> String {
        format!("Universal-{}", self.epochs)
    }

    fn with_threat(&self, Threat { norm, eps }: Threat) -> Self {
        let same = self.norm == norm && self.eps > 0.0;
        let step = self.step.filter(|_| same).map(|step| step * eps / self.eps);
        Universal { norm, eps, step, ..self.clone() }
    }
}

impl Attack for Universal {
    fn threat(&self) -> Threat {
        Threat::new(self.norm, self.eps)
    }

    fn access(&self) -> Access {
        Access::Gradient
    }

    fn coupling(&self) -> Option<&'static str> {
        Some("the attack makes one perturbation for all samples of a batch")
    }

    fn fitted(
        &self,
        model: &dyn Classifier,
        samples: &Samples<'_>,
    ) -> Result<Option<Box<dyn Attack>>> {
        Ok(Some(Box::new(self.made(model, samples)?)))
    }

    fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Tensor> {
        let change = self.made(model, &Samples::batch(x, goal, draws))?;
        Ok(change.added(x, model.bounds()))
    }
}
