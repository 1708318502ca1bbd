//! The attack by natural evolution strategies (Ilyas et al. 2018, "Black-box adversarial attacks with
//! limited queries and information"): projected ascent along gradients estimated from Gaussian
//! directions, with momentum, and steps that halve where the loss stops growing.

use serde::{Deserialize, Serialize};

use super::estimate::{Ascent, Directions, Estimator, climb};
use super::fgsm::linf;
use super::query::{Loss, Model, Sample};
use super::table::{at_least_one, check_threat, positive};
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat};
use crate::model::Classifier;
use crate::{Result, Tensor, bail};

/// Configuration of NES.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nes {
    /// The norm; Linf and L2 are defined.
    #[serde(default = "linf")]
    pub norm: Norm,
    /// Radius of the ball.
    pub eps: f64,
    /// The most queries per sample.
    #[serde(default = "queries")]
    pub queries: usize,
    /// Pairs of queries of one estimate.
    #[serde(default = "pairs")]
    pub pairs: usize,
    /// How far from the point the queries are, in units of the box: `sigma` of the paper.
    #[serde(default = "radius")]
    pub radius: f64,
    /// Length of the first steps; `eps / 5` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// Share of the running mean of gradients that is kept.
    #[serde(default = "momentum")]
    pub momentum: f64,
}

fn queries() -> usize {
    10_000
}
fn pairs() -> usize {
    50
}
fn radius() -> f64 {
    0.001
}
fn momentum() -> f64 {
    0.9
}

/// Steps after which the loss must have grown, and the shortest step as a share of the first.
const PLATEAU: usize = 5;
const SHORTEST: f64 = 0.01;

impl Nes {
    /// 10,000 queries in estimates of 100.
    pub fn new(norm: Norm, eps: f64) -> Self {
        Nes {
            norm,
            eps,
            queries: queries(),
            pairs: pairs(),
            radius: radius(),
            step: None,
            momentum: momentum(),
        }
    }
}

/// Steps along a running mean of gradients.
struct Momentum {
    norm: Norm,
    kept: f64,
    mean: Vec<f64>,
    step: f64,
    shortest: f64,
    /// Losses since the step was last halved.
    losses: Vec<f64>,
}

impl Ascent for Momentum {
    fn step(&mut self, g: &[f64]) -> Vec<f64> {
        self.mean.resize(g.len(), 0.0);
        let kept = self.kept;
        self.mean.iter_mut().zip(g).for_each(|(m, g)| *m = kept * *m + (1.0 - kept) * g);
        let along = |v: f64| if v == 0.0 { 0.0 } else { v.signum() };
        match self.norm {
            Norm::Linf => self.mean.iter().map(|&m| self.step * along(m)).collect(),
            _ => {
                let length = Norm::L2.of(self.mean.iter().copied()).max(f64::MIN_POSITIVE);
                self.mean.iter().map(|m| self.step * m / length).collect()
            }
        }
    }

    fn hear(&mut self, loss: f64) {
        self.losses.push(loss);
        let Some(&old) = self.losses.len().checked_sub(PLATEAU).map(|i| &self.losses[i]) else {
            return;
        };
        if loss <= old {
            self.step = (self.step / 2.0).max(self.shortest);
            self.losses.clear();
        }
    }
}

impl AttackSpec for Nes {
    const NAME: &'static str = "nes";
    const SUMMARY: &'static str = "ascent by evolution strategies, from scores (Linf, L2)";
    const NORMS: &'static [Norm] = &[Norm::Linf, Norm::L2];

    fn at(threat: Threat) -> Self {
        Nes::new(threat.norm, threat.eps)
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("queries", self.queries)?;
        at_least_one::<Self>("pairs", self.pairs)?;
        positive::<Self>("radius", self.radius)?;
        positive::<Self>("step", self.step.unwrap_or(1.0))?;
        if !(0.0..1.0).contains(&self.momentum) {
            bail!(Config, "nes: momentum = {} must be in [0, 1)", self.momentum);
        }
        Ok(())
    }

    fn label(&self) -> String {
        format!("NES-{}", self.queries)
    }

    fn with_threat(&self, Threat { norm, eps }: Threat) -> Self {
        let same = self.norm == norm && self.eps > 0.0;
        let step = self.step.filter(|_| same).map(|s| s * eps / self.eps);
        Nes { norm, eps, step, ..self.clone() }
    }
}

impl Attack for Nes {
    fn threat(&self) -> Threat {
        Threat::new(self.norm, self.eps)
    }

    fn access(&self) -> Access {
        Access::Score
    }

    fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Tensor> {
        let [lo, hi] = model.bounds();
        let estimator = Estimator {
            pairs: self.pairs,
            radius: self.radius * (hi - lo),
            directions: Directions::Gaussian,
        };
        let step = self.step.unwrap_or(self.eps / 5.0);
        let ascent = || Momentum {
            norm: self.norm,
            kept: self.momentum,
            mean: Vec::new(),
            step,
            shortest: step * SHORTEST,
            losses: Vec::new(),
        };
        let model = Model::new(model, x, goal, Loss::CrossEntropy);
        let samples = Sample::all(x, goal, draws, self.queries)?;
        model.gather(climb(&model, self.threat(), &estimator, samples, ascent)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_halves_when_five_losses_have_not_grown() {
        let mut ascent = Momentum {
            norm: Norm::Linf,
            kept: 0.0,
            mean: Vec::new(),
            step: 1.0,
            shortest: 0.3,
            losses: Vec::new(),
        };
        let mut after = |losses: &[f64]| {
            losses.iter().for_each(|&loss| ascent.hear(loss));
            ascent.step(&[3.0, 0.0, -1.0])
        };
        assert_eq!(after(&[1.0, 2.0, 3.0, 4.0, 5.0]), [1.0, 0.0, -1.0]);
        assert_eq!(after(&[2.0]), [0.5, 0.0, -0.5]);
        assert_eq!(after(&[2.0; 5]), [0.3, 0.0, -0.3]);
    }
}
