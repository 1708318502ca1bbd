//! Auto-PGD (Croce and Hein 2020, "Reliable evaluation", algorithm 1; in L1 Croce and Hein 2021,
//! "Mind the box"): projected gradient ascent with momentum whose step length follows the progress of
//! each sample, so that there is nothing to tune. With targets it is APGD-T.
//!
//! Here are restarts, targets and radii; `climb` is one run.

use serde::{Deserialize, Serialize};

use super::best::Best;
use super::climb::{Climb, Objective, Run, start};
use super::dlr::{column, next_classes};
use super::fgsm::linf;
use super::table::{at_least_one, check_threat, share};
use super::trace::{Seen, Watch};
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat, rows};
use crate::model::Classifier;
use crate::{Result, Tensor, bail};

/// What APGD ascends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApgdLoss {
    /// Cross-entropy.
    Ce,
    /// The difference-of-logits ratio, targeted where there is a target ([`super::dlr`]).
    Dlr,
}

/// Configuration of APGD.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apgd {
    /// The norm.
    #[serde(default = "linf")]
    pub norm: Norm,
    /// Radius of the ball.
    pub eps: f64,
    /// Number of steps.
    #[serde(default = "steps")]
    pub steps: usize,
    /// Runs from fresh random starts, on what still holds.
    #[serde(default = "restarts")]
    pub restarts: usize,
    /// The loss.
    #[serde(default = "ce")]
    pub loss: ApgdLoss,
    /// Untargeted: 0 ascends the loss of the label; n runs towards each of the n classes (fewer if
    /// there are not as many) that come next in the clean logits, which with [`ApgdLoss::Dlr`] and 9
    /// is APGD-T.
    #[serde(default)]
    pub targets: usize,
    /// Gradients that are averaged at each point: 1, or some for a model that answers at random
    /// (expectation over transformation).
    #[serde(default = "one")]
    pub gradients: usize,
    /// Share of steps of a window that must increase the loss for the step length to be kept.
    #[serde(default = "rho")]
    pub rho: f64,
    /// In L1, runs at 3, 2 and 1 times the radius for 30, 30 and 40 % of the steps.
    #[serde(default = "yes")]
    pub wide_start: bool,
    /// Leaves a sample alone once it has reached the goal, which is all that an evaluation asks; to
    /// train on the examples of largest loss, say false.
    #[serde(default = "yes")]
    pub stop_early: bool,
}

fn steps() -> usize {
    100
}
fn restarts() -> usize {
    1
}
fn one() -> usize {
    1
}
fn ce() -> ApgdLoss {
    ApgdLoss::Ce
}
fn rho() -> f64 {
    0.75
}
fn yes() -> bool {
    true
}

impl Apgd {
    /// 100 steps of one run on the cross-entropy.
    pub fn new(norm: Norm, eps: f64) -> Self {
        Apgd {
            norm,
            eps,
            steps: steps(),
            restarts: restarts(),
            loss: ce(),
            targets: 0,
            gradients: one(),
            rho: rho(),
            wide_start: true,
            stop_early: true,
        }
    }

    /// APGD-T: the targeted loss towards the 9 next classes.
    pub fn targeted(norm: Norm, eps: f64) -> Self {
        Apgd { loss: ApgdLoss::Dlr, targets: 9, ..Apgd::new(norm, eps) }
    }

    /// The losses to ascend in turn.
    fn objectives(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
    ) -> Result<Vec<Objective>> {
        let of = |aims| Objective {
            loss: self.loss,
            gradients: self.gradients,
            goal: goal.clone(),
            aims,
        };
        match goal {
            Goal::Targeted(_) if self.targets > 0 => {
                bail!(Usage, "apgd: targets = {} is for untargeted goals", self.targets)
            }
            Goal::Targeted(t) if self.loss == ApgdLoss::Dlr => {
                let now = model.logits(x)?.argmax(1).reshape(&[x.dim(0)]);
                Ok(vec![of(Some((now, t.clone())))])
            }
            Goal::Untargeted(y) if self.targets > 0 => {
                let next = next_classes(&model.logits(x)?, y, self.targets);
                let aims = (0..next.dim(1)).map(|k| (y.clone(), column(&next, k)));
                Ok(aims.map(|pair| of(Some(pair))).collect())
            }
            _ => Ok(vec![of(None)]),
        }
    }

    /// Radii with their numbers of steps, one after the other.
    fn stages(&self) -> Vec<(f64, usize)> {
        if self.norm != Norm::L1 || !self.wide_start || self.steps < 5 {
            return vec![(self.eps, self.steps)];
        }
        let part = (0.3 * self.steps as f64).ceil() as usize;
        let rest = self.steps - 2 * part;
        vec![(3.0 * self.eps, part), (2.0 * self.eps, part), (self.eps, rest)]
    }

    /// One run from one random start.
    fn climb(
        &self,
        model: &dyn Classifier,
        x0: &Tensor,
        objective: &Objective,
        draws: &Draws,
        seen: &mut Seen<'_>,
    ) -> Result<Best> {
        let (bounds, norm, rho) = (model.bounds(), self.norm, self.rho);
        let mut stages = self.stages();
        let (eps, steps) = stages.remove(stages.len() - 1);
        let first = stages.first().map_or(eps, |stage| stage.0);
        let mut x = start(norm, first, x0, draws, bounds)?;
        let wide = !stages.is_empty();
        for (eps, steps) in stages {
            let run = Run { norm, rho, model, eps, steps, wide, bounds };
            let mut climb = Climb::new(&run, x0, &x, objective)?;
            climb.go(&run, None, None)?;
            x = climb.top();
        }
        let run = Run { norm, rho, model, eps, steps, wide, bounds };
        let mut climb = Climb::new(&run, x0, &x, objective)?;
        let mut all = climb.found.clone();
        climb.go(&run, self.stop_early.then_some(&mut all), Some(seen))?;
        all.replace(&climb.rows, &climb.found)?;
        Ok(all)
    }

    /// All objectives and restarts; each sample's best.
    fn in_turn(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
        watch: Option<&mut dyn Watch>,
    ) -> Result<Tensor> {
        let mut all: Option<Best> = None;
        let mut open: Vec<usize> = (0..x.dim(0)).collect();
        let mut runs = 0;
        let mut seen = Seen { watch, run: 0, rows: Vec::new() };
        for objective in self.objectives(model, x, goal)? {
            for _ in 0..self.restarts {
                let at = rows::index(x, &open)?;
                let draws = draws.select(&open).index(runs);
                (seen.run, seen.rows) = (runs as usize, open.clone());
                let (x, objective) = (x.take(0, &at), objective.take(&at));
                let found = self.climb(model, &x, &objective, &draws, &mut seen)?;
                runs += 1;
                let best = match &mut all {
                    None => all.insert(found),
                    Some(best) => {
                        best.improve_at(&open, found)?;
                        best
                    }
                };
                if self.stop_early {
                    open = rows::unset(&best.reached)?;
                }
                if open.is_empty() {
                    return Ok(best.x.clone());
                }
            }
        }
        Ok(all.map_or_else(|| x.clone(), |best| best.x))
    }
}

impl AttackSpec for Apgd {
    const NAME: &'static str = "apgd";
    const SUMMARY: &'static str =
        "Auto-PGD, whose step length adapts (Linf, L2, L1; CE, DLR, targets)";

    fn at(threat: Threat) -> Self {
        Apgd::new(threat.norm, threat.eps)
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("steps", self.steps)?;
        at_least_one::<Self>("restarts", self.restarts)?;
        at_least_one::<Self>("gradients", self.gradients)?;
        share::<Self>("rho", self.rho)
    }

    fn label(&self) -> String {
        let loss = match (self.loss, self.targets) {
            (ApgdLoss::Ce, 0) => "APGD-CE",
            (ApgdLoss::Dlr, 0) => "APGD-DLR",
            (ApgdLoss::Ce, _) => "APGD-CE-T",
            (ApgdLoss::Dlr, _) => "APGD-T",
        };
        match self.restarts {
            1 => format!("{loss}-{}", self.steps),
            n => format!("{loss}-{} x {n}", self.steps),
        }
    }

    fn with_threat(&self, Threat { norm, eps }: Threat) -> Self {
        Apgd { norm, eps, ..self.clone() }
    }
}

impl Attack for Apgd {
    fn threat(&self) -> Threat {
        Threat::new(self.norm, self.eps)
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
        self.in_turn(model, x, goal, draws, None)
    }

    fn run_watched(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
        watch: &mut dyn Watch,
    ) -> Result<Tensor> {
        self.in_turn(model, x, goal, draws, Some(watch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l1_shrinks_the_radius_in_three_stages() {
        let apgd = Apgd::new(Norm::L1, 12.0);
        assert_eq!(apgd.stages(), [(36.0, 30), (24.0, 30), (12.0, 40)]);
        assert_eq!(Apgd { steps: 5, ..apgd.clone() }.stages(), [(36.0, 2), (24.0, 2), (12.0, 1)]);
        assert_eq!(Apgd { wide_start: false, ..apgd }.stages(), [(12.0, 100)]);
    }
}
