//! The boundary attack (Brendel et al. 2018): a random walk within what fools, each step a move on the
//! sphere around the original and then one towards it.
//!
//! Lengths of the two moves adapt per sample, by the shares of moves that fool, with the constants of the
//! authors' code.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::cw::l2;
use super::decision::{Walker, approach, distance, settled, start};
use super::query::{Loss, Model, Sample};
use super::table::{at_least_one, check_threat};
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat};
use crate::model::Classifier;
use crate::{Result, Tensor, bail};

/// Configuration of the boundary attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boundary {
    /// The norm; only L2 is defined.
    #[serde(default = "l2")]
    pub norm: Norm,
    /// Radius of the ball, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// The most queries per sample.
    #[serde(default = "queries")]
    pub queries: usize,
    /// Length of the first move on the sphere, as a share of the distance.
    #[serde(default = "first_move")]
    pub sphere_step: f64,
    /// Length of the first move towards the original, as a share of the distance.
    #[serde(default = "first_move")]
    pub source_step: f64,
    /// Factor by which the lengths adapt.
    #[serde(default = "adaptation")]
    pub adaptation: f64,
    /// Every so many steps the move on the sphere is tried by itself, which takes a query more.
    #[serde(default = "check_every")]
    pub check_every: usize,
    /// Points to start from, each a flattened sample: the first that fools is taken. A target class is
    /// hard to meet at random, so give samples of it. Not part of a configuration file.
    #[serde(skip)]
    pub starts: Vec<Vec<f32>>,
}

fn queries() -> usize {
    25_000
}
fn first_move() -> f64 {
    0.01
}
fn adaptation() -> f64 {
    1.5
}
fn check_every() -> usize {
    10
}

/// Fineness of the first way back to the boundary.
const TOLERANCE: f64 = 1e-3;

/// Length of moves towards the original at which the walk has converged.
const CONVERGED: f64 = 1e-7;

/// Queries left of a walk that ends: what a step may take, and the last one.
const RESERVE: usize = 2;

impl Boundary {
    /// 25,000 queries from random starts.
    pub fn new() -> Self {
        Boundary {
            norm: l2(),
            eps: None,
            queries: queries(),
            sphere_step: first_move(),
            source_step: first_move(),
            adaptation: adaptation(),
            check_every: check_every(),
            starts: Vec::new(),
        }
    }

    fn step(&self, step: usize, model: &Model<'_>, walks: &mut [Walk]) -> Result<bool> {
        let check = step.is_multiple_of(self.check_every);
        let next =
            |walk: &mut Walk, points: &mut Vec<f32>| walk.propose(check, model.bounds, points);
        let answer = |walk: &mut Walk, points: &[f32], fools: &[bool]| {
            walk.step(&points[..model.features], fools[0]);
            if let [closer, on_sphere] = *fools {
                walk.adapt(closer, on_sphere, self.adaptation);
            }
        };
        model.ask_decisions(walks, next, answer)
    }
}

/// The last outcomes of a kind of move.
struct Record {
    last: VecDeque<bool>,
    most: usize,
}

impl Record {
    fn new(most: usize) -> Self {
        Record { last: VecDeque::with_capacity(most), most }
    }

    /// Adds an outcome. Once there are enough, 1 if the share of successes is above `high`, -1 if it is
    /// below `low`, and then starts anew.
    fn add(&mut self, success: bool, low: f64, high: f64) -> i32 {
        if self.last.len() == self.most {
            self.last.pop_front();
        }
        self.last.push_back(success);
        let share = self.last.iter().filter(|s| **s).count() as f64 / self.most as f64;
        let verdict = i32::from(share > high) - i32::from(share < low);
        if self.last.len() < self.most || verdict == 0 {
            return 0;
        }
        self.last.clear();
        verdict
    }
}

/// A walk along the boundary.
struct Walk {
    walker: Walker,
    sphere_step: f64,
    source_step: f64,
    on_sphere: Record,
    closer: Record,
}

impl AsMut<Sample> for Walk {
    fn as_mut(&mut self) -> &mut Sample {
        &mut self.walker.sample
    }
}

impl Walk {
    fn new(walker: Walker, attack: &Boundary) -> Self {
        let (sphere_step, source_step) = (attack.sphere_step, attack.source_step);
        let (on_sphere, closer) = (Record::new(100), Record::new(30));
        Walk { walker, sphere_step, source_step, on_sphere, closer }
    }

    /// Adds the next point, and if `check` the point on the sphere that it comes from.
    fn propose(&mut self, check: bool, [lo, hi]: [f32; 2], points: &mut Vec<f32>) {
        let Walker { sample, at, distance: radius, .. } = &mut self.walker;
        let (x0, radius) = (&sample.x0, *radius);
        let back = |at: &[f32]| -> Vec<f64> {
            x0.iter().zip(at).map(|(&x0, &x)| f64::from(x0) - f64::from(x)).collect()
        };
        let source = back(at);
        let mut noise: Vec<f64> = source.iter().map(|_| sample.rng.normal()).collect();
        let along = dot(&noise, &source) / (radius * radius);
        noise.iter_mut().zip(&source).for_each(|(u, s)| *u -= along * s);
        let scale = self.sphere_step * radius / dot(&noise, &noise).sqrt().max(1e-12);
        let spread = (self.sphere_step * self.sphere_step + 1.0).sqrt();
        let moved = noise.iter().zip(&source).map(|(u, s)| (u * scale - s) / spread);
        let land = |x: f64| (x as f32).clamp(lo, hi);
        let sphere: Vec<f32> =
            x0.iter().zip(moved).map(|(&x0, m)| land(f64::from(x0) + m)).collect();
        // The box may have cut the move on the sphere short of the radius.
        let source = back(&sphere);
        let size = dot(&source, &source).sqrt();
        let share = (self.source_step * radius + size - radius).max(0.0) / size.max(1e-12);
        points.extend(sphere.iter().zip(&source).map(|(&x, s)| land(f64::from(x) + share * s)));
        if check {
            points.extend(sphere);
        }
    }

    /// Goes to the proposal if it fools and is nearer.
    fn step(&mut self, point: &[f32], fools: bool) {
        let walker = &mut self.walker;
        if fools && distance(Norm::L2, &walker.sample.x0, point) < walker.distance {
            walker.go(Norm::L2, point);
        }
    }

    fn adapt(&mut self, closer: bool, on_sphere: bool, factor: f64) {
        let sphere = factor.powi(self.on_sphere.add(on_sphere, 0.2, 0.5));
        self.sphere_step *= sphere;
        self.source_step *= sphere * factor.powi(self.closer.add(closer, 0.1, 0.25));
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Default for Boundary {
    fn default() -> Self {
        Boundary::new()
    }
}

impl AttackSpec for Boundary {
    const NAME: &'static str = "boundary";
    const SUMMARY: &'static str = "random walk along the boundary, from decisions (L2)";
    const NORMS: &'static [Norm] = &[Norm::L2];
    const MINIMAL: bool = true;

    fn at(threat: Threat) -> Self {
        Boundary { norm: threat.norm, eps: threat.budget(), ..Boundary::new() }
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("queries", self.queries)?;
        at_least_one::<Self>("check_every", self.check_every)?;
        for (name, step) in [("sphere_step", self.sphere_step), ("source_step", self.source_step)] {
            if !(step > 0.0 && step <= 1.0) {
                bail!(Config, "boundary: {name} = {step} must be in (0, 1]");
            }
        }
        if !(self.adaptation > 1.0 && self.adaptation.is_finite()) {
            bail!(Config, "boundary: adaptation = {} must be greater than 1", self.adaptation);
        }
        Ok(())
    }

    fn label(&self) -> String {
        format!("Boundary-{}", self.queries)
    }

    fn with_threat(&self, threat: Threat) -> Self {
        Boundary { norm: threat.norm, eps: threat.budget(), ..self.clone() }
    }
}

impl Attack for Boundary {
    fn threat(&self) -> Threat {
        Threat::of(self.norm, self.eps)
    }

    fn access(&self) -> Access {
        Access::Decision
    }

    fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Tensor> {
        let model = Model::new(model, x, goal, Loss::Margin);
        let begun = (x, goal, draws);
        let mut walkers = start(self.norm, &model, begun, self.queries, &self.starts)?;
        approach(self.norm, &model, walkers.iter_mut(), TOLERANCE)?;
        let mut open: Vec<Walk> = walkers.into_iter().map(|w| Walk::new(w, self)).collect();
        let mut closed = Vec::new();
        for step in 0.. {
            let done = |walk: &mut Walk| {
                let converged = walk.source_step < CONVERGED;
                walk.walker.done(self.eps) || converged || walk.walker.sample.left <= RESERVE
            };
            closed.extend(open.extract_if(.., done));
            if !self.step(step, &model, &mut open)? {
                break;
            }
        }
        let walkers = closed.into_iter().chain(open).map(|walk| walk.walker).collect();
        model.gather(settled(self.norm, &model, self.eps, walkers)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_judges_once_it_is_full_and_starts_anew() {
        let mut record = Record::new(4);
        let mut add = |success| record.add(success, 0.2, 0.5);
        assert_eq!([add(true), add(true), add(false)], [0, 0, 0]);
        assert_eq!(add(false), 0);
        assert_eq!(add(true), 0);
        assert_eq!(add(true), 0);
        assert_eq!(add(true), 1);
        assert_eq!([add(false), add(false), add(false), add(false)], [0, 0, 0, -1]);
    }
}
