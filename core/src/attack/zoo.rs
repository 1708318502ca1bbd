//! ZOO (Chen et al. 2017, "Zeroth order optimization based black-box attacks"): the attack of Carlini and
//! Wagner without gradients. Slopes of a few random values at a time are measured by differences, and
//! Adam moves those values; the weight of the loss against the squared distance is searched per sample.

use serde::{Deserialize, Serialize};

use super::cw::l2;
use super::query::{Loss, Model, Sample, Score};
use super::spsa::Adam;
use super::table::{at_least_one, check_threat, positive};
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat};
use crate::model::Classifier;
use crate::{Result, Tensor};

/// Configuration of ZOO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zoo {
    /// The norm; only L2 is defined.
    #[serde(default = "l2")]
    pub norm: Norm,
    /// Radius of the ball, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// The most queries per sample, in equal parts for each weight.
    #[serde(default = "queries")]
    pub queries: usize,
    /// Values that move in one step; each takes two queries.
    #[serde(default = "coordinates")]
    pub coordinates: usize,
    /// Learning rate of Adam, in units of the box.
    #[serde(default = "rate")]
    pub rate: f64,
    /// How far a value is moved to measure a slope, in units of the box. The paper has 0.0001, where
    /// differences of f32 logits are mostly rounding.
    #[serde(default = "difference")]
    pub difference: f64,
    /// Weights of the loss that are tried: the first, then by bisection.
    #[serde(default = "searches")]
    pub searches: usize,
    /// The first weight.
    #[serde(default = "weight")]
    pub weight: f64,
}

fn queries() -> usize {
    30_000
}
fn coordinates() -> usize {
    128
}
fn rate() -> f64 {
    0.01
}
fn difference() -> f64 {
    0.001
}
fn searches() -> usize {
    3
}
fn weight() -> f64 {
    1.0
}

impl Zoo {
    /// 30,000 queries, steps of 128 values, three weights from 1.
    pub fn new() -> Self {
        Zoo {
            norm: l2(),
            eps: None,
            queries: queries(),
            coordinates: coordinates(),
            rate: rate(),
            difference: difference(),
            searches: searches(),
            weight: weight(),
        }
    }

    /// Measures the slopes of some values of each point, and moves those values.
    fn step(&self, model: &Model<'_>, open: &mut [Descent]) -> Result<bool> {
        let [lo, hi] = model.bounds;
        let apart = self.difference as f32 * (hi - lo);
        let next = |d: &mut Descent, points: &mut Vec<f32>| {
            // One query is for the point that the step leads to.
            let most = (d.share.min(d.sample.left).saturating_sub(1)) / 2;
            let count = self.coordinates.min(model.features).min(most);
            d.moving = d.sample.rng.choose(model.features, count);
            for &j in &d.moving {
                for away in [apart, -apart] {
                    let start = points.len();
                    points.extend_from_slice(&d.at);
                    points[start + j] = (d.at[j] + away).clamp(lo, hi);
                }
            }
        };
        let answer = |d: &mut Descent, points: &[f32], scores: &[Score]| {
            d.share = d.share.saturating_sub(scores.len());
            let rows = points.chunks_exact(2 * model.features).zip(scores.chunks_exact(2));
            for (i, (pair, scores)) in rows.enumerate() {
                let j = d.moving[i];
                let (there, back) = (pair[j], pair[model.features + j]);
                let missing = |score: Score| (-score.loss).max(0.0);
                let fall = missing(scores[0]) - missing(scores[1]);
                let slope = fall / f64::from(there - back).max(f64::MIN_POSITIVE);
                let pull = 2.0 * (f64::from(d.at[j]) - f64::from(d.sample.x0[j]));
                let g = d.weight * slope + pull;
                let change = d.adam.at(j, if g.is_finite() { -g } else { 0.0 }, model.features);
                d.at[j] = ((f64::from(d.at[j]) + change) as f32).clamp(lo, hi);
            }
        };
        model.ask_scores(open, next, answer)
    }
}

/// A sample on its way down `|x - x0|^2 + weight max(0, -margin)`.
struct Descent {
    /// With the nearest point that fools, or else that of the largest margin.
    sample: Sample,
    at: Vec<f32>,
    adam: Adam,
    /// The values that the running step moves.
    moving: Vec<usize>,
    /// Queries left for this weight.
    share: usize,
    /// The weight, the largest that failed and the smallest that fooled.
    weight: f64,
    below: f64,
    above: f64,
    /// Whether this weight has fooled.
    fooled: bool,
    /// Distance of the nearest point that fools.
    nearest: f64,
}

impl AsMut<Sample> for Descent {
    fn as_mut(&mut self) -> &mut Sample {
        &mut self.sample
    }
}

impl Descent {
    fn new(sample: Sample, zoo: &Zoo, rate: f64) -> Self {
        Descent {
            at: sample.x0.clone(),
            adam: Adam::new(rate),
            moving: Vec::new(),
            share: zoo.queries.div_ceil(zoo.searches),
            weight: zoo.weight,
            below: 0.0,
            above: f64::INFINITY,
            fooled: false,
            nearest: f64::INFINITY,
            sample,
        }
    }

    fn hear(&mut self, point: &[f32], score: Score) {
        self.share = self.share.saturating_sub(1);
        if !score.reached {
            self.sample.take_better(point, score);
            return;
        }
        self.fooled = true;
        let distance = super::decision::distance(Norm::L2, &self.sample.x0, point);
        if distance < self.nearest {
            self.nearest = distance;
            self.sample.x.copy_from_slice(point);
            self.sample.score = score;
        }
    }

    /// Starts over with the next weight.
    fn next_weight(&mut self, zoo: &Zoo) {
        if self.fooled {
            self.above = self.weight;
        } else {
            self.below = self.weight;
        }
        self.weight = match self.above.is_finite() {
            true => f64::midpoint(self.below, self.above),
            false => self.weight * 10.0,
        };
        self.fooled = false;
        self.share = zoo.queries.div_ceil(zoo.searches);
        self.at.clone_from(&self.sample.x0);
        self.adam = Adam::new(self.adam.rate);
    }
}

impl Default for Zoo {
    fn default() -> Self {
        Zoo::new()
    }
}

impl AttackSpec for Zoo {
    const NAME: &'static str = "zoo";
    const SUMMARY: &'static str = "Carlini and Wagner by differences, from scores (ZOO, L2)";
    const NORMS: &'static [Norm] = &[Norm::L2];
    const MINIMAL: bool = true;

    fn at(threat: Threat) -> Self {
        Zoo { norm: threat.norm, eps: threat.budget(), ..Zoo::new() }
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        for (name, count) in [
            ("queries", self.queries),
            ("coordinates", self.coordinates),
            ("searches", self.searches),
        ] {
            at_least_one::<Self>(name, count)?;
        }
        for (name, value) in
            [("rate", self.rate), ("difference", self.difference), ("weight", self.weight)]
        {
            positive::<Self>(name, value)?;
        }
        Ok(())
    }

    fn label(&self) -> String {
        format!("ZOO-{}", self.queries)
    }

    fn with_threat(&self, threat: Threat) -> Self {
        Zoo { norm: threat.norm, eps: threat.budget(), ..self.clone() }
    }
}

impl Attack for Zoo {
    fn threat(&self) -> Threat {
        Threat::of(self.norm, self.eps)
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
        let model = Model::new(model, x, goal, Loss::Margin);
        let samples = Sample::all(x, goal, draws, self.queries)?;
        let begin = |sample| Descent::new(sample, self, self.rate * (hi - lo));
        let mut open: Vec<Descent> = samples.into_iter().map(begin).collect();
        let mut closed = Vec::new();
        loop {
            let point = |d: &mut Descent, points: &mut Vec<f32>| points.extend_from_slice(&d.at);
            let hear = |d: &mut Descent, point: &[f32], scores: &[Score]| d.hear(point, scores[0]);
            model.ask_scores(&mut open, point, hear)?;
            // A step takes a pair of queries and one for the point that it leads to.
            let done =
                |d: &mut Descent| self.eps.is_some_and(|eps| d.nearest <= eps) || d.sample.left < 3;
            closed.extend(open.extract_if(.., done));
            if open.is_empty() {
                return model.gather(closed.into_iter().map(|d| d.sample).collect());
            }
            open.iter_mut().filter(|d| d.share < 3).for_each(|d| d.next_weight(self));
            self.step(&model, &mut open)?;
        }
    }
}
