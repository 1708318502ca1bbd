//! HopSkipJump (Chen et al. 2020): from a point on the boundary, an estimate of its normal from the
//! decisions at random points around, a jump along it into the region that fools, and a bisection back
//! to the boundary, nearer to the original.

use serde::{Deserialize, Serialize};

use super::cw::l2;
use super::decision::{Walker, approach, settled, start};
use super::query::{Loss, Model, Sample};
use super::table::{at_least_one, check_threat, positive};
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat};
use crate::model::Classifier;
use crate::{Result, Tensor};

/// Configuration of HopSkipJump.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HopSkipJump {
    /// The norm; L2 and Linf are defined.
    #[serde(default = "l2")]
    pub norm: Norm,
    /// Radius of the ball, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// The most queries per sample.
    #[serde(default = "queries")]
    pub queries: usize,
    /// Queries of the first estimate of the normal; the `t`-th takes `sqrt(t)` times as many.
    #[serde(default = "first_estimate")]
    pub first_estimate: usize,
    /// The most queries of one estimate.
    #[serde(default = "largest_estimate")]
    pub largest_estimate: usize,
    /// Scales the tolerance of bisections and the radius of estimates: `gamma` of the authors' code.
    #[serde(default = "gamma")]
    pub gamma: f64,
    /// Points to start from, each a flattened sample: the first that fools is taken. A target class is
    /// hard to meet at random, so give samples of it. Not part of a configuration file.
    #[serde(skip)]
    pub starts: Vec<Vec<f32>>,
}

fn queries() -> usize {
    10_000
}
fn first_estimate() -> usize {
    100
}
fn largest_estimate() -> usize {
    10_000
}
fn gamma() -> f64 {
    1.0
}

/// Bisections are at least this fine: the share of the paper is coarse for inputs of few values.
const TOLERANCE: f64 = 1e-3;

/// Queries that an estimate leaves for the jump and the way back.
const RESERVE: usize = 40;

/// Halvings of a jump before it is given up. The paper has no limit, and needs none in exact arithmetic.
const HALVINGS: usize = 20;

impl HopSkipJump {
    /// 10,000 queries from random starts.
    pub fn new(norm: Norm) -> Self {
        HopSkipJump {
            norm,
            eps: None,
            queries: queries(),
            first_estimate: first_estimate(),
            largest_estimate: largest_estimate(),
            gamma: gamma(),
            starts: Vec::new(),
        }
    }

    /// The tolerance of a bisection, `theta` of the paper.
    fn theta(&self, features: usize) -> f64 {
        let d = features as f64;
        self.gamma / if self.norm == Norm::Linf { d * d } else { d * d.sqrt() }
    }

    fn tolerance(&self, model: &Model<'_>) -> f64 {
        self.theta(model.features).min(TOLERANCE)
    }

    /// The radius around a point in which the normal is estimated; `reach` is how far the last jump
    /// went from the original.
    fn radius(&self, round: usize, reach: f64, model: &Model<'_>) -> f64 {
        let [lo, hi] = model.bounds.map(f64::from);
        let d = model.features as f64;
        let spread = if self.norm == Norm::Linf { d } else { d.sqrt() };
        match round {
            1 => 0.1 * (hi - lo),
            _ => spread * self.theta(model.features) * reach,
        }
    }

    /// One round: estimate, jump, and the way back. Whether anything was asked.
    fn round(&self, round: usize, model: &Model<'_>, hops: &mut [Hop]) -> Result<bool> {
        let count = self.first_estimate as f64 * (round as f64).sqrt();
        let count = (count as usize).clamp(1, self.largest_estimate);
        let any = self.estimate(round, count, model, hops)?;
        self.jump(round, model, hops)?;
        for hop in hops.iter_mut() {
            hop.reach = hop.walker.distance;
        }
        let landed = hops.iter_mut().filter(|hop| hop.landed).map(|hop| &mut hop.walker);
        approach(self.norm, model, landed, self.tolerance(model))?;
        Ok(any)
    }

    /// The direction of each walker: the mean of random directions, each with the sign of its decision.
    fn estimate(
        &self,
        round: usize,
        count: usize,
        model: &Model<'_>,
        hops: &mut [Hop],
    ) -> Result<bool> {
        let [lo, hi] = model.bounds;
        let linf = self.norm == Norm::Linf;
        let next = |hop: &mut Hop, points: &mut Vec<f32>| {
            let radius = self.radius(round, hop.reach, model);
            let Walker { sample, at, .. } = &mut hop.walker;
            let mut noise = vec![0f32; at.len()];
            for _ in 0..count.min(sample.left.saturating_sub(RESERVE)) {
                if linf {
                    sample.rng.fill_uniform(&mut noise, -1.0, 1.0);
                } else {
                    sample.rng.fill_normal(&mut noise);
                }
                let length = noise.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
                let scale = radius as f32 / length;
                points.extend(at.iter().zip(&noise).map(|(x, u)| (x + scale * u).clamp(lo, hi)));
            }
        };
        let answer = |hop: &mut Hop, points: &[f32], fools: &[bool]| {
            hop.direction = direction(&hop.walker.at, points, fools, linf);
        };
        model.ask_decisions(hops, next, answer)
    }

    /// Jumps along the direction, by the distance over the root of the round, halved until it fools.
    fn jump(&self, round: usize, model: &Model<'_>, hops: &mut [Hop]) -> Result<()> {
        let [lo, hi] = model.bounds;
        for hop in hops.iter_mut() {
            hop.step = hop.walker.distance / (round as f64).sqrt();
            hop.landed = false;
        }
        let next = |hop: &mut Hop, points: &mut Vec<f32>| {
            if !hop.landed {
                let step = hop.step;
                let each = hop.walker.at.iter().zip(&hop.direction);
                points
                    .extend(each.map(|(&x, &d)| ((f64::from(x) + step * d) as f32).clamp(lo, hi)));
            }
        };
        let answer = |hop: &mut Hop, point: &[f32], fools: &[bool]| {
            hop.landed = fools[0];
            hop.step *= 0.5;
            if fools[0] {
                hop.walker.go(self.norm, point);
            }
        };
        for _ in 0..HALVINGS {
            if !model.ask_decisions(hops, next, answer)? {
                break;
            }
        }
        Ok(())
    }
}

/// A walker between two points of the boundary.
struct Hop {
    walker: Walker,
    /// How far from the original the last jump went.
    reach: f64,
    /// Estimate of the normal, of length 1; signs in Linf.
    direction: Vec<f64>,
    /// Length of the next jump to try, and whether one has fooled.
    step: f64,
    landed: bool,
}

impl Hop {
    fn new(walker: Walker) -> Self {
        let reach = walker.distance;
        Hop { walker, reach, direction: Vec::new(), step: 0.0, landed: false }
    }
}

impl AsMut<Sample> for Hop {
    fn as_mut(&mut self) -> &mut Sample {
        &mut self.walker.sample
    }
}

/// The mean of the directions to `points`, those that do not fool counted backwards; the mean decision
/// is taken off first, which lowers the variance (section III.C of the paper).
fn direction(at: &[f32], points: &[f32], fools: &[bool], signs: bool) -> Vec<f64> {
    let value = |fools: bool| if fools { 1.0 } else { -1.0 };
    let mean = fools.iter().map(|&f| value(f)).sum::<f64>() / fools.len() as f64;
    let mut sum = vec![0f64; at.len()];
    for (point, &fools) in points.chunks(at.len()).zip(fools) {
        let weight = if mean.abs() < 1.0 { value(fools) - mean } else { mean };
        for ((sum, p), x) in sum.iter_mut().zip(point).zip(at) {
            *sum += weight * f64::from(p - x);
        }
    }
    if signs {
        return sum.into_iter().map(|v| if v == 0.0 { 0.0 } else { v.signum() }).collect();
    }
    let length = Norm::L2.of(sum.iter().copied()).max(f64::MIN_POSITIVE);
    sum.into_iter().map(|v| v / length).collect()
}

impl AttackSpec for HopSkipJump {
    const NAME: &'static str = "hop_skip_jump";
    const SUMMARY: &'static str = "small changes along the boundary, from decisions (L2, Linf)";
    const NORMS: &'static [Norm] = &[Norm::L2, Norm::Linf];
    const MINIMAL: bool = true;

    fn at(threat: Threat) -> Self {
        HopSkipJump { eps: threat.budget(), ..HopSkipJump::new(threat.norm) }
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        for (name, count) in [
            ("queries", self.queries),
            ("first_estimate", self.first_estimate),
            ("largest_estimate", self.largest_estimate),
        ] {
            at_least_one::<Self>(name, count)?;
        }
        positive::<Self>("gamma", self.gamma)
    }

    fn label(&self) -> String {
        format!("HopSkipJump-{}", self.queries)
    }

    fn with_threat(&self, threat: Threat) -> Self {
        HopSkipJump { norm: threat.norm, eps: threat.budget(), ..self.clone() }
    }
}

impl Attack for HopSkipJump {
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
        approach(self.norm, &model, walkers.iter_mut(), self.tolerance(&model))?;
        let mut open: Vec<Hop> = walkers.into_iter().map(Hop::new).collect();
        let mut closed = Vec::new();
        for round in 1.. {
            let done =
                |hop: &mut Hop| hop.walker.done(self.eps) || hop.walker.sample.left <= RESERVE;
            closed.extend(open.extract_if(.., done));
            if !self.round(round, &model, &mut open)? {
                break;
            }
        }
        let walkers = closed.into_iter().chain(open).map(|hop| hop.walker).collect();
        model.gather(settled(self.norm, &model, self.eps, walkers)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_direction_is_the_mean_with_the_baseline_off() {
        let at = [0.0, 0.0];
        let points = [1.0, 0.0, 0.0, 1.0, 0.0, -1.0, -1.0, 0.0];
        // Values 1, 1, -1, 1 with mean 1/2: weights 1/2, 1/2, -3/2, 1/2.
        let found = direction(&at, &points, &[true, true, false, true], false);
        assert!(found[0].abs() < 1e-12 && (found[1] - 1.0).abs() < 1e-12, "{found:?}");
        let all = direction(&at, &points[..4], &[false, false], true);
        assert_eq!(all, [-1.0, -1.0]);
    }

    #[test]
    fn tolerance_and_radius_as_in_the_paper() {
        let (l2, linf) = (HopSkipJump::new(Norm::L2), HopSkipJump::new(Norm::Linf));
        assert!((l2.theta(100) - 1e-3).abs() < 1e-15);
        assert!((linf.theta(100) - 1e-4).abs() < 1e-15);
    }
}
