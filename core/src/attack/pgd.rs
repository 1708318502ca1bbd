//! Projected gradient descent (Madry et al. 2018): steps along the gradient, each projected back.
//! Without a random start it is BIM (Kurakin et al. 2017).

use serde::{Deserialize, Serialize};

use super::best::Best;
use super::fgsm::{gradient, linf};
use super::step::direction;
use super::trace::{Seen, Watch};
use super::{Access, Attack, AttackSpec, Draws, Goal, L1Step, Norm, Threat, rows};
use crate::model::Classifier;
use crate::op::Fused;
use crate::{Result, Tensor, bail};

/// Which iterate of a run is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// One that reaches the goal if any did, else (or among several) the one of largest loss.
    Best,
    /// The last one, as in the paper and in most tools.
    Last,
}

/// Configuration of PGD.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pgd {
    /// The norm.
    #[serde(default = "linf")]
    pub norm: Norm,
    /// Radius of the ball.
    pub eps: f64,
    /// Length of a step; `2.5 eps / steps` if absent, which can cross the ball and come back
    /// (Madry et al. 2018, appendix), but in L1 at least `eps / 10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// Number of steps.
    #[serde(default = "steps")]
    pub steps: usize,
    /// Starts from a random point of the ball.
    #[serde(default = "yes")]
    pub random_start: bool,
    /// Runs with fresh random starts, on what those before have not fooled.
    #[serde(default = "restarts")]
    pub restarts: usize,
    /// Which iterate is returned.
    #[serde(default = "best")]
    pub keep: Keep,
    /// How an L1 step is spread.
    #[serde(default = "sparse")]
    pub l1_step: L1Step,
}

fn steps() -> usize {
    40
}
fn yes() -> bool {
    true
}
fn restarts() -> usize {
    1
}
fn best() -> Keep {
    Keep::Best
}
fn sparse() -> L1Step {
    L1Step::Sparse(0.01)
}

impl Pgd {
    /// 40 steps from one random start, keeping the best iterate.
    pub fn new(norm: Norm, eps: f64) -> Self {
        Pgd {
            norm,
            eps,
            step: None,
            steps: steps(),
            random_start: true,
            restarts: 1,
            keep: Keep::Best,
            l1_step: sparse(),
        }
    }

    /// The attack as most tools run it: from `x` itself, a given step, the last iterate.
    pub fn classic(norm: Norm, eps: f64, step: f64, steps: usize) -> Self {
        Pgd {
            step: Some(step),
            steps,
            random_start: false,
            keep: Keep::Last,
            l1_step: L1Step::Dense,
            ..Pgd::new(norm, eps)
        }
    }

    fn step(&self) -> f64 {
        let usual = 2.5 * self.eps / self.steps as f64;
        self.step.unwrap_or(match self.norm {
            Norm::L1 => usual.max(self.eps / 10.0),
            _ => usual,
        })
    }

    /// The next iterate for a gradient `g` to ascend.
    pub(super) fn next(&self, x: &Tensor, g: Tensor, x0: &Tensor, bounds: [f64; 2]) -> Tensor {
        if self.norm == Norm::Linf {
            let [lo, hi] = bounds;
            let op = Fused::PgdStep { step: self.step(), eps: self.eps, lo, hi };
            return Tensor::fused(op, [x.clone(), g, x0.clone()]);
        }
        let moved = x + &(direction(self.norm, self.l1_step, &g, x, bounds) * self.step());
        self.threat().project(&moved, x0, bounds)
    }

    /// One run from one start.
    fn descend(
        &self,
        model: &dyn Classifier,
        x0: &Tensor,
        goal: &Goal,
        draws: &Draws,
        seen: &mut Seen<'_>,
    ) -> Result<Best> {
        let bounds = model.bounds();
        let mut x = if self.random_start {
            self.threat().random_start(x0, draws, bounds)?
        } else {
            x0.clone()
        };
        let mut best: Option<Best> = None;
        for _ in 0..self.steps {
            let (logits, g) = gradient(model, &x, goal)?;
            if self.keep == Keep::Best || seen.watch.is_some() {
                let here = Best::at(&x, &logits, goal);
                seen.tell_all(&here)?;
                if self.keep == Keep::Best {
                    Best::update(&mut best, here);
                }
            }
            x = self.next(&x, g, x0, bounds);
            x.check()?;
        }
        let last = Best::at(&x, &model.logits(&x)?, goal);
        seen.tell_all(&last)?;
        Best::update(&mut best, last.clone());
        Ok(best.unwrap_or(last))
    }

    /// All restarts, each on what those before left; each sample's best. Within a run a sample that was
    /// fooled goes on, since training and transfer want the point of largest loss.
    fn restarted(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
        watch: Option<&mut dyn Watch>,
    ) -> Result<Tensor> {
        let mut seen = Seen { watch, run: 0, rows: (0..x.dim(0)).collect() };
        let mut best = self.descend(model, x, goal, &draws.index(0), &mut seen)?;
        for restart in 1..self.restarts {
            let open = rows::unset(&best.reached)?;
            if open.is_empty() {
                break;
            }
            let at = rows::index(x, &open)?;
            let (x, goal) = (x.take(0, &at), goal.take(&at));
            let draws = draws.select(&open).index(restart as u64);
            (seen.run, seen.rows) = (restart, open.clone());
            let run = self.descend(model, &x, &goal, &draws, &mut seen)?;
            best.improve_at(&open, run)?;
        }
        Ok(best.x)
    }
}

impl AttackSpec for Pgd {
    const NAME: &'static str = "pgd";
    const SUMMARY: &'static str = "projected gradient descent with random starts (Linf, L2, L1)";

    fn at(threat: Threat) -> Self {
        Pgd::new(threat.norm, threat.eps)
    }

    fn check(&self) -> Result<()> {
        self.threat().check()?;
        if self.norm == Norm::L0 {
            bail!(Config, "pgd: no gradient step in l0; choose linf, l2 or l1");
        }
        if self.steps == 0 || self.restarts == 0 {
            let (steps, restarts) = (self.steps, self.restarts);
            bail!(Config, "pgd: steps = {steps} and restarts = {restarts} must be at least 1");
        }
        if self.restarts > 1 && !self.random_start {
            bail!(Config, "pgd: restarts repeat the same run without random_start = true");
        }
        if let Some(step) = self.step
            && !(step > 0.0 && step.is_finite())
        {
            bail!(Config, "pgd: step = {step} must be positive");
        }
        if let L1Step::Sparse(q) = self.l1_step
            && !(q > 0.0 && q <= 1.0)
        {
            bail!(Config, "pgd: a sparse step's share {q} must be in (0, 1]");
        }
        Ok(())
    }

    fn label(&self) -> String {
        match self.restarts {
            1 => format!("PGD-{}", self.steps),
            n => format!("PGD-{} x {n}", self.steps),
        }
    }

    fn with_threat(&self, Threat { norm, eps }: Threat) -> Self {
        let same = self.norm == norm && self.eps > 0.0;
        let step = self.step.filter(|_| same).map(|s| s * eps / self.eps);
        Pgd { norm, eps, step, ..self.clone() }
    }
}

impl Attack for Pgd {
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
        self.restarted(model, x, goal, draws, None)
    }

    fn run_watched(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
        watch: &mut dyn Watch,
    ) -> Result<Tensor> {
        self.restarted(model, x, goal, draws, Some(watch))
    }
}
