//! The L2 attack of Carlini and Wagner (2017, section VI): the smallest change that fools, by Adam on a
//! weighted sum of its squared length and the margin that is still missing, with a binary search
//! over the weight.
//!
//! The box is kept by a change of variables, `x' = mid + half tanh(w)`. A pixel at the edge of the box
//! would be at an infinite `w`, where it has no gradient and never moves; the factor
//! [`INSIDE`] of the authors' code keeps it movable.

use serde::{Deserialize, Serialize};

use super::best::Nearest;
use super::fgsm::ascent;
use super::table::{at_least_one, check_threat, positive};
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat, rows};
use crate::model::Classifier;
use crate::op::{Fused, Op};
use crate::{Result, Tensor, bail};

/// Configuration of the attack of Carlini and Wagner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cw {
    /// The norm; only L2 is defined.
    #[serde(default = "l2")]
    pub norm: Norm,
    /// Radius of the ball, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// Steps of Adam for each weight. The paper takes 10,000, of which the last thousands gain little.
    #[serde(default = "steps")]
    pub steps: usize,
    /// Weights that the binary search tries.
    #[serde(default = "searches")]
    pub searches: usize,
    /// The first weight of the margin, `c`.
    #[serde(default = "weight")]
    pub weight: f64,
    /// Learning rate of Adam.
    #[serde(default = "lr")]
    pub lr: f64,
    /// The margin that is to be reached, `kappa`.
    #[serde(default)]
    pub confidence: f64,
    /// Leaves a sample alone if a tenth of the steps has lowered its objective by less than 0.01 %, once
    /// there were enough of them to move pixels away from the edge of the box, which takes Adam
    /// hundreds of steps that change nearly nothing.
    #[serde(default = "yes")]
    pub abort_early: bool,
}

pub(super) fn l2() -> Norm {
    Norm::L2
}
fn steps() -> usize {
    1000
}
fn searches() -> usize {
    9
}
fn weight() -> f64 {
    1e-3
}
fn lr() -> f64 {
    0.01
}
fn yes() -> bool {
    true
}

/// How far from the edge of the box, as a share of its half, a pixel starts.
const INSIDE: f64 = 0.999_999;

impl Cw {
    /// 9 weights from 1e-3, 1,000 steps of 0.01 for each, no confidence.
    pub fn new() -> Self {
        Cw {
            norm: l2(),
            eps: None,
            steps: steps(),
            searches: searches(),
            weight: weight(),
            lr: lr(),
            confidence: 0.0,
            abort_early: true,
        }
    }
}

impl Default for Cw {
    fn default() -> Self {
        Cw::new()
    }
}

impl AttackSpec for Cw {
    const NAME: &'static str = "cw";
    const SUMMARY: &'static str =
        "smallest L2 change by Adam and binary search (Carlini and Wagner)";
    const NORMS: &'static [Norm] = &[Norm::L2];
    const MINIMAL: bool = true;

    fn at(threat: Threat) -> Self {
        Cw { norm: threat.norm, eps: threat.budget(), ..Cw::new() }
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("steps", self.steps)?;
        at_least_one::<Self>("searches", self.searches)?;
        positive::<Self>("weight", self.weight)?;
        positive::<Self>("lr", self.lr)?;
        if !(self.confidence >= 0.0 && self.confidence.is_finite()) {
            bail!(Config, "cw: confidence = {} must not be negative", self.confidence);
        }
        Ok(())
    }

    fn label(&self) -> String {
        format!("C&W-{}x{}", self.searches, self.steps)
    }

    fn with_threat(&self, threat: Threat) -> Self {
        Cw { norm: threat.norm, eps: threat.budget(), ..self.clone() }
    }
}

impl Attack for Cw {
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
            self.search(model, x, goal, c, &mut nearest)
        })?;
        Ok(nearest.x)
    }
}

/// Runs `search` with weights (`[N]`) that are `first` to begin with, smaller after a search that fooled a
/// sample and larger after one that did not.
pub(super) fn bisect_weights(
    searches: usize,
    first: f64,
    x: &Tensor,
    mut search: impl FnMut(Tensor) -> Result<Vec<bool>>,
) -> Result<()> {
    let mut weights = vec![Weight::new(first); x.dim(0)];
    for _ in 0..searches {
        let c: Vec<f64> = weights.iter().map(|w| w.now).collect();
        let hit = search(Tensor::from_f64(x.device(), x.dtype(), &c, &[c.len()])?)?;
        weights.iter_mut().zip(hit).for_each(|(weight, hit)| weight.next(hit));
    }
    Ok(())
}

/// The binary search for the smallest weight that fools one sample.
#[derive(Clone, Copy)]
struct Weight {
    low: f64,
    high: Option<f64>,
    now: f64,
}

impl Weight {
    fn new(now: f64) -> Self {
        Weight { low: 0.0, high: None, now }
    }

    fn next(&mut self, hit: bool) {
        if hit {
            self.high = Some(self.high.map_or(self.now, |high| high.min(self.now)));
        } else {
            self.low = self.low.max(self.now);
        }
        self.now = self.high.map_or(self.now * 10.0, |high| f64::midpoint(self.low, high));
    }
}

/// The samples that a search still works on.
struct Search {
    /// Their places in the batch.
    rows: Vec<usize>,
    x0: Tensor,
    goal: Goal,
    c: Tensor,
    w: Tensor,
    /// Moments of Adam.
    m: Tensor,
    v: Tensor,
    nearest: Nearest,
    /// The objective when it was last looked at.
    before: Tensor,
}

impl Search {
    fn keep(&mut self, open: &[usize]) -> Result<()> {
        let at = rows::index(&self.x0, open)?;
        for t in
            [&mut self.x0, &mut self.c, &mut self.w, &mut self.m, &mut self.v, &mut self.before]
        {
            *t = t.take(0, &at);
        }
        self.goal = self.goal.take(&at);
        self.nearest = self.nearest.select(open)?;
        self.rows = rows::pick(&self.rows, open);
        Ok(())
    }

    /// Notes in `nearest` what was found, and in `hit` for which samples.
    fn report(&self, nearest: &mut Nearest, hit: &mut [bool]) -> Result<()> {
        for (&row, found) in self.rows.iter().zip(self.nearest.found().to_f64_vec()?) {
            hit[row] = found != 0.0;
        }
        nearest.merge(&self.rows, &self.nearest)
    }
}

impl Cw {
    /// Adam from the originals with the weights `c`; which samples it fooled.
    fn search(
        &self,
        model: &dyn Classifier,
        x0: &Tensor,
        goal: &Goal,
        c: Tensor,
        nearest: &mut Nearest,
    ) -> Result<Vec<bool>> {
        let space = Space::of(model.bounds());
        let w = space.inverse(x0);
        let mut search = Search {
            rows: (0..x0.dim(0)).collect(),
            x0: x0.clone(),
            goal: goal.clone(),
            before: c.fill(f64::INFINITY),
            c,
            m: w.fill(0.0),
            v: w.fill(0.0),
            w,
            nearest: Nearest::none(self.norm, x0),
        };
        let mut hit = vec![false; x0.dim(0)];
        let look = (self.steps / 10).max(1);
        let unseen = (INSIDE.atanh() / 2.0 / self.lr).ceil() as usize;
        for step in 0..self.steps {
            let objective = self.step(model, &space, step, &mut search)?;
            if !self.abort_early || step < unseen || step % look != 0 {
                continue;
            }
            let stuck = (&search.before * 0.9999).lt(&objective);
            search.before = objective;
            let open = rows::unset(&stuck)?;
            if open.len() < search.rows.len() {
                search.report(nearest, &mut hit)?;
                search.keep(&open)?;
            }
            if open.is_empty() {
                return Ok(hit);
            }
        }
        search.report(nearest, &mut hit)?;
        Ok(hit)
    }

    /// One step of Adam; the objective before it, `[N]`.
    fn step(
        &self,
        model: &dyn Classifier,
        space: &Space,
        step: usize,
        search: &mut Search,
    ) -> Result<Tensor> {
        let t = search.w.tanh();
        let x = space.point(&t);
        let goal = &search.goal;
        let missing = |z: &Tensor| {
            let short = goal.margin(z).affine(-1.0, self.confidence);
            short.maximum(&short.scalar(0.0)) * &search.c
        };
        let at = ascent(model, &x, missing)?;
        let delta = &x - &search.x0;
        let squared = delta.square().sum_per_sample();
        let mut reached = goal.reached(&at.logits).cast(x.dtype());
        if self.confidence > 0.0 {
            let margin = goal.margin(&at.logits);
            reached = reached * margin.scalar(self.confidence).le(&margin);
        }
        search.nearest.update_sized(&x, squared.sqrt(), &reached);
        let slope = t.square().affine(-space.half, space.half);
        let g = (delta * 2.0 + at.g) * slope;
        self.adam(step, g, search);
        Ok(squared + at.loss)
    }

    fn adam(&self, step: usize, g: Tensor, search: &mut Search) {
        let (beta1, beta2) = (0.9f64, 0.999f64);
        let t = i32::try_from(step + 1).unwrap_or(i32::MAX);
        let op = Fused::AdamStep {
            beta1,
            beta2,
            step: self.lr / (1.0 - beta1.powi(t)),
            scale: 1.0 / (1.0 - beta2.powi(t)).sqrt(),
            eps: 1e-8,
        };
        let Search { w, m, v, .. } = search;
        let args = [w.clone(), g, m.clone(), v.clone()];
        for (state, new) in [w, m, v].into_iter().zip(Tensor::apply_all(Op::Fused(op), args)) {
            *state = new;
        }
    }
}

/// The box as the image of all real numbers.
struct Space {
    mid: f64,
    half: f64,
}

impl Space {
    fn of([lo, hi]: [f64; 2]) -> Self {
        Space { mid: f64::midpoint(lo, hi), half: (hi - lo) / 2.0 }
    }

    /// The point with `t = tanh(w)`.
    fn point(&self, t: &Tensor) -> Tensor {
        t.affine(self.half, self.mid)
    }

    /// The `w` of a point, moved a little from the edge of the box: `atanh(u) = log((1+u) / (1-u)) / 2`.
    fn inverse(&self, x: &Tensor) -> Tensor {
        let u = x.affine(INSIDE / self.half, -INSIDE * self.mid / self.half);
        (u.affine(1.0, 1.0).log() - u.affine(-1.0, 1.0).log()) * 0.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_grows_until_it_fools_and_is_then_bisected() {
        let mut weight = Weight::new(0.001);
        let tried = [false, false, true, false, true].map(|hit| {
            weight.next(hit);
            weight.now
        });
        let expected = [0.01, 0.1, 0.055, 0.0775, 0.066_25];
        assert!(tried.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{tried:?}");
    }
}
