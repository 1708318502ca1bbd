//! SPSA (Uesato et al. 2018, "Adversarial risk and the dangers of evaluating against weak attacks"):
//! gradients of the margin estimated by simultaneous perturbation with random signs (Spall 1992), which
//! Adam follows, projected to the ball.

use serde::{Deserialize, Serialize};

use super::estimate::{Ascent, Directions, Estimator, climb};
use super::fgsm::linf;
use super::query::{Loss, Model, Sample};
use super::table::{at_least_one, check_threat, positive};
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat};
use crate::model::Classifier;
use crate::{Result, Tensor};

/// Configuration of SPSA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spsa {
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
    /// How far from the point the queries are in every value, in units of the box.
    #[serde(default = "radius")]
    pub radius: f64,
    /// Learning rate of Adam, in units of the box.
    #[serde(default = "rate")]
    pub rate: f64,
}

fn queries() -> usize {
    10_000
}
fn pairs() -> usize {
    64
}
fn radius() -> f64 {
    0.01
}
fn rate() -> f64 {
    0.01
}

impl Spsa {
    /// 10,000 queries in estimates of 128.
    pub fn new(norm: Norm, eps: f64) -> Self {
        Spsa { norm, eps, queries: queries(), pairs: pairs(), radius: radius(), rate: rate() }
    }
}

/// Adam (Kingma and Ba 2015) for each value by itself.
pub(super) struct Adam {
    pub(super) rate: f64,
    /// Running means of gradients and of their squares, and the number of steps.
    mean: Vec<f64>,
    square: Vec<f64>,
    steps: Vec<i32>,
}

impl Adam {
    pub(super) fn new(rate: f64) -> Self {
        Adam { rate, mean: Vec::new(), square: Vec::new(), steps: Vec::new() }
    }

    /// What to add to value `j` of `features` for a slope to be ascended.
    pub(super) fn at(&mut self, j: usize, g: f64, features: usize) -> f64 {
        self.mean.resize(features, 0.0);
        self.square.resize(features, 0.0);
        self.steps.resize(features, 0);
        self.steps[j] += 1;
        self.mean[j] = 0.9 * self.mean[j] + 0.1 * g;
        self.square[j] = 0.999 * self.square[j] + 0.001 * g * g;
        let mean = self.mean[j] / (1.0 - 0.9f64.powi(self.steps[j]));
        let square = self.square[j] / (1.0 - 0.999f64.powi(self.steps[j]));
        self.rate * mean / (square.sqrt() + 1e-8)
    }
}

impl Ascent for Adam {
    fn step(&mut self, g: &[f64]) -> Vec<f64> {
        g.iter().enumerate().map(|(j, &slope)| self.at(j, slope, g.len())).collect()
    }

    fn hear(&mut self, _: f64) {}
}

impl AttackSpec for Spsa {
    const NAME: &'static str = "spsa";
    const SUMMARY: &'static str = "ascent by simultaneous perturbation, from scores (Linf, L2)";
    const NORMS: &'static [Norm] = &[Norm::Linf, Norm::L2];

    fn at(threat: Threat) -> Self {
        Spsa::new(threat.norm, threat.eps)
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("queries", self.queries)?;
        at_least_one::<Self>("pairs", self.pairs)?;
        positive::<Self>("radius", self.radius)?;
        positive::<Self>("rate", self.rate)
    }

    fn label(&self) -> String {
        format!("SPSA-{}", self.queries)
    }

    fn with_threat(&self, Threat { norm, eps }: Threat) -> Self {
        Spsa { norm, eps, ..self.clone() }
    }
}

impl Attack for Spsa {
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
            directions: Directions::Signs,
        };
        let model = Model::new(model, x, goal, Loss::Margin);
        let samples = Sample::all(x, goal, draws, self.queries)?;
        let ascent = || Adam::new(self.rate * (hi - lo));
        model.gather(climb(&model, self.threat(), &estimator, samples, ascent)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_of_adam_is_its_rate() {
        let step = Adam::new(0.5).step(&[3.0, -0.01, 0.0]);
        assert!(step.iter().zip([0.5, -0.5, 0.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{step:?}");
    }
}
