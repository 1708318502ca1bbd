//! Ascent along gradients that are estimated from scores: the loop that NES and SPSA share.
//!
//! A direction is tried both ways, which takes the even terms off the estimate. Points are kept to the
//! box; a value at its edge then moves one way only, so what is fitted is the slope over the way that
//! each value did go: `g_j = sum(df d_j) / sum(d_j^2)`, which without a box is the estimate of the papers
//! times a constant.

use super::query::{Model, Sample, Score};
use super::{Norm, Threat};
use crate::Result;

/// How directions are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Directions {
    /// Standard normal values.
    Gaussian,
    /// Values of 1 and -1, equally likely.
    Signs,
}

/// An estimate of a gradient: so many pairs of points at `radius` times a direction.
pub(super) struct Estimator {
    pub(super) pairs: usize,
    pub(super) radius: f64,
    pub(super) directions: Directions,
}

/// The way from gradients to steps, per sample.
pub(super) trait Ascent {
    /// What to add to the point.
    fn step(&mut self, g: &[f64]) -> Vec<f64>;

    /// Hears of the loss at the point after the step.
    fn hear(&mut self, loss: f64);
}

/// A sample on its way up; the sample holds the best point.
struct Climber<A> {
    sample: Sample,
    /// Where it is.
    at: Vec<f32>,
    /// Estimate of the gradient there.
    g: Vec<f64>,
    ascent: A,
}

impl<A> AsMut<Sample> for Climber<A> {
    fn as_mut(&mut self) -> &mut Sample {
        &mut self.sample
    }
}

/// The fewest queries of a step: a pair, and the score of the point that it leads to.
const LEAST: usize = 3;

/// Ascends from the originals until a sample is fooled or has no queries left for a step.
pub(super) fn climb<A: Ascent>(
    model: &Model<'_>,
    threat: Threat,
    estimator: &Estimator,
    samples: Vec<Sample>,
    ascent: impl Fn() -> A,
) -> Result<Vec<Sample>> {
    let begin =
        |sample: Sample| Climber { at: sample.x0.clone(), sample, g: Vec::new(), ascent: ascent() };
    let mut open: Vec<Climber<A>> = samples.into_iter().map(begin).collect();
    let mut closed = Vec::new();
    loop {
        model.ask_scores(&mut open, |c, points| points.extend_from_slice(&c.at), hear)?;
        let done = |c: &mut Climber<A>| c.sample.score.reached || c.sample.left < LEAST;
        closed.extend(open.extract_if(.., done).map(|c| c.sample));
        if open.is_empty() {
            return Ok(closed);
        }
        let next = |c: &mut Climber<A>, points: &mut Vec<f32>| {
            let pairs = estimator.pairs.min((c.sample.left - 1) / 2);
            for _ in 0..pairs {
                estimator.pair(&mut c.sample.rng, &c.at, model.bounds, points);
            }
        };
        let answer = |c: &mut Climber<A>, points: &[f32], scores: &[Score]| {
            c.g = slope(points, scores, model.features);
        };
        model.ask_scores(&mut open, next, answer)?;
        for Climber { sample, at, g, ascent } in &mut open {
            let step = ascent.step(g);
            let moved = at.iter().zip(step).map(|(&x, d)| f64::from(x) + d);
            *at = project(threat, &sample.x0, moved, model.bounds);
        }
    }
}

fn hear<A: Ascent>(climber: &mut Climber<A>, point: &[f32], scores: &[Score]) {
    climber.ascent.hear(scores[0].loss);
    climber.sample.take_better(point, scores[0]);
}

impl Estimator {
    /// Adds a direction both ways from `at`.
    fn pair(
        &self,
        rng: &mut crate::rng::Rng,
        at: &[f32],
        [lo, hi]: [f32; 2],
        points: &mut Vec<f32>,
    ) {
        let mut direction = vec![0f32; at.len()];
        match self.directions {
            Directions::Gaussian => rng.fill_normal(&mut direction),
            Directions::Signs => {
                let sign = |up| if up { 1.0 } else { -1.0 };
                direction.iter_mut().for_each(|u| *u = sign(rng.bernoulli(0.5)));
            }
        }
        for radius in [self.radius as f32, -self.radius as f32] {
            points.extend(at.iter().zip(&direction).map(|(x, u)| (x + radius * u).clamp(lo, hi)));
        }
    }
}

/// The slope of the loss in each value, from pairs of points.
fn slope(points: &[f32], scores: &[Score], features: usize) -> Vec<f64> {
    let (mut products, mut squares) = (vec![0f64; features], vec![0f64; features]);
    for (pair, scores) in points.chunks_exact(2 * features).zip(scores.chunks_exact(2)) {
        let rise = scores[0].loss - scores[1].loss;
        let (there, back) = pair.split_at(features);
        for j in (0..features).filter(|_| rise.is_finite()) {
            let way = f64::from(there[j]) - f64::from(back[j]);
            products[j] += rise * way;
            squares[j] += way * way;
        }
    }
    products.iter().zip(squares).map(|(p, s)| if s > 0.0 { p / s } else { 0.0 }).collect()
}

/// The point `x` brought into the ball around `x0` (Linf or L2), then into the box: on the host what
/// [`Threat::project`] is on the device.
pub(super) fn project(
    threat: Threat,
    x0: &[f32],
    x: impl Iterator<Item = f64>,
    [lo, hi]: [f32; 2],
) -> Vec<f32> {
    let delta: Vec<f64> = x.zip(x0).map(|(x, &x0)| x - f64::from(x0)).collect();
    let land = |x0: f32, d: f64| ((f64::from(x0) + d) as f32).clamp(lo, hi);
    let each = x0.iter().zip(&delta);
    if threat.norm == Norm::Linf {
        let eps = threat.eps as f32;
        return each.map(|(&x0, &d)| land(x0, d).clamp(x0 - eps, x0 + eps)).collect();
    }
    // A little less than the radius, so that the sum in f32 does not leave the ball.
    let eps = threat.eps * (1.0 - 1e-6);
    let size = Norm::L2.of(delta.iter().copied());
    let scale = if size > eps { eps / size } else { 1.0 };
    each.map(|(&x0, &d)| land(x0, d * scale)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// The estimate for a linear function points along its gradient: the cosine of n pairs in d
    /// dimensions is about `sqrt(n / (n + d))`, here 0.89.
    #[test]
    fn slopes_are_those_of_a_linear_function() {
        let (features, pairs) = (50, 200);
        let mut rng = Rng::new(4);
        let w: Vec<f64> = (0..features).map(|_| rng.normal()).collect();
        // Some values at the edge of the box.
        let at: Vec<f32> = (0..features).map(|j| if j % 3 == 0 { 0.0 } else { 0.5 }).collect();
        for directions in [Directions::Gaussian, Directions::Signs] {
            let estimator = Estimator { pairs, radius: 0.01, directions };
            let mut points = Vec::new();
            (0..pairs).for_each(|_| estimator.pair(&mut rng, &at, [0.0, 1.0], &mut points));
            let loss = |point: &[f32]| point.iter().zip(&w).map(|(x, w)| f64::from(*x) * w).sum();
            let scores: Vec<Score> = points
                .chunks(features)
                .map(|point| Score { loss: loss(point), reached: false })
                .collect();
            let g = slope(&points, &scores, features);
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let cosine = dot(&g, &w) / (dot(&g, &g) * dot(&w, &w)).sqrt();
            assert!(cosine > 0.8, "{directions:?}: cosine {cosine}");
            let ratio = dot(&g, &w) / dot(&w, &w);
            assert!((ratio - 1.0).abs() < 0.2, "{directions:?}: {ratio} of the slope");
        }
    }

    #[test]
    fn projections_keep_to_ball_and_box() {
        let x0 = [0.0f32, 0.5, 1.0];
        let far = || [-1.0, 0.9, 0.2].into_iter();
        let linf = project(Threat::new(Norm::Linf, 0.25), &x0, far(), [0.0, 1.0]);
        assert_eq!(linf, [0.0, 0.75, 0.75]);
        let l2 = project(Threat::new(Norm::L2, 0.5), &x0, far(), [0.0, 1.0]);
        assert!(l2[0] == 0.0 && (l2[2] - 1.0 + 0.8 * 0.5 / 1.8f32.sqrt()).abs() < 1e-5, "{l2:?}");
    }
}
