//! Transfer from a substitute (Papernot et al. 2017, "Practical black-box attacks against machine
//! learning"): a network learns what the model says of the samples and of points near them, PGD fools that
//! network, and what fools it is tried on the model.
//!
//! Points are added by Jacobian augmentation: a step from each known point along the sign of the slope of
//! the substitute's probability of the class that the model gave, which is minus the sign of the gradient
//! of its cross-entropy. What was tried and failed is learned from as well, which the paper does not do,
//! and the model is tried after every round, so that a sample that is fooled asks no more.
//!
//! Gradients are those of the substitute. It learns from all samples of a batch, so that here, and only
//! here, a result depends on which samples are attacked together.

use serde::{Deserialize, Serialize};

use super::fgsm::{gradient, linf};
use super::query::{Loss, Model, Sample};
use super::table::{at_least_one, check_threat, positive};
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Pgd, Threat, craft, rows};
use crate::grad::grad;
use crate::loss::cross_entropy;
use crate::model::{Classifier, Network};
use crate::nn::{Mode, Preset, init_params};
use crate::optim::{Adam, OptimizerConfig};
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// Configuration of the attack by a substitute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Substitute {
    /// The norm.
    #[serde(default = "linf")]
    pub norm: Norm,
    /// Radius of the ball.
    pub eps: f64,
    /// The most queries per sample.
    #[serde(default = "queries")]
    pub queries: usize,
    /// Augmentations, each followed by a training.
    #[serde(default = "rounds")]
    pub rounds: usize,
    /// How far in every value a new point is from the one that it is made of, in units of the box:
    /// `lambda` of the paper. Its sign turns every three rounds, the periodic step of the paper.
    #[serde(default = "spread")]
    pub spread: f64,
    /// The preset that the substitute is.
    #[serde(default = "network")]
    pub model: String,
    /// Passes over all known points in one training.
    #[serde(default = "epochs")]
    pub epochs: usize,
    /// Learning rate of Adam.
    #[serde(default = "rate")]
    pub rate: f64,
    /// Steps of PGD on the substitute.
    #[serde(default = "steps")]
    pub steps: usize,
}

fn queries() -> usize {
    100
}
fn rounds() -> usize {
    6
}
fn spread() -> f64 {
    0.1
}
fn network() -> String {
    "mlp".into()
}
fn epochs() -> usize {
    20
}
fn rate() -> f64 {
    3e-3
}
fn steps() -> usize {
    40
}

/// Rounds after which new points are on the other side.
const PERIOD: usize = 3;

/// Points of one step of training, and of one gradient at the most.
const BATCH: usize = 64;
const ROWS: usize = 1024;

impl Substitute {
    /// 100 queries over six rounds, for a network of one hidden layer.
    pub fn new(norm: Norm, eps: f64) -> Self {
        Substitute {
            norm,
            eps,
            queries: queries(),
            rounds: rounds(),
            spread: spread(),
            model: network(),
            epochs: epochs(),
            rate: rate(),
            steps: steps(),
        }
    }

    /// The signed step of the augmentation after round `round`.
    fn spread_at(&self, round: usize) -> f64 {
        if (round / PERIOD).is_multiple_of(2) { self.spread } else { -self.spread }
    }

    /// Trains the substitute on all that is known.
    fn train(
        &self,
        network: &mut Network,
        model: &Model<'_>,
        all: &[Known],
        rng: &Rng,
    ) -> Result<()> {
        let values: Vec<f32> = all.iter().flat_map(|k| k.points.iter().copied()).collect();
        let labels: Vec<i64> = all.iter().flat_map(|k| k.labels.iter().copied()).collect();
        let (x, y) = (model.tensor(&values)?, labels_on(&network.device().clone(), &labels)?);
        let config = OptimizerConfig::Adam(Adam { lr: self.rate, ..Adam::default() });
        let mut optimizer = config.check()?;
        let mut dropout = rng.child("dropout");
        for epoch in 0..self.epochs {
            let order = rng.child("order").index(epoch as u64).permutation(labels.len());
            for part in order.chunks(BATCH) {
                let at = rows::index(&x, part)?;
                let params = network.params().tracked();
                let mut mode = Mode::Train(&mut dropout);
                let logits = network.forward(&params, &x.take(0, &at), &mut mode)?;
                let loss = cross_entropy(&logits, &y.take(0, &at)).mean_all();
                let grads = grad(&loss, &params.values())?;
                drop(params);
                network.set_params(optimizer.step(network.params().clone(), grads, 1.0)?);
            }
        }
        Ok(())
    }

    /// Fools the substitute, and tries that on the model: one query for each sample that is open.
    fn replay(
        &self,
        network: &Network,
        model: &Model<'_>,
        (x, goal, draws): (&Tensor, &Goal, &Draws),
        all: &mut [Known],
    ) -> Result<()> {
        let open: Vec<usize> = (0..all.len()).filter(|&i| !all[i].fooled).collect();
        let at = rows::index(x, &open)?;
        let pgd = Pgd { steps: self.steps, ..Pgd::new(self.norm, self.eps) };
        let draws = draws.select(&open);
        let found = craft(&pgd, network, &x.take(0, &at), &goal.take(&at), &draws)?;
        let found = found.to_f64_vec()?;
        for (&i, point) in open.iter().zip(found.chunks(model.features.max(1))) {
            all[i].fresh = point.iter().map(|&v| v as f32).collect();
        }
        model.ask_labels(all, Known::next, |known, point, labels| {
            known.learn(point, labels);
            if model.reached(labels[0], &known.sample) {
                known.fooled = true;
                known.sample.x.copy_from_slice(point);
            }
        })?;
        Ok(())
    }

    /// Makes new points of the known ones of each open sample, as many as leave a query for each of the
    /// `later` replays.
    fn augment(
        &self,
        network: &Network,
        model: &Model<'_>,
        (round, later): (usize, usize),
        all: &mut [Known],
    ) -> Result<()> {
        let [lo, hi] = model.bounds;
        let step = self.spread_at(round) as f32 * (hi - lo);
        // What no query was left for stays unasked.
        all.iter_mut().for_each(|known| known.fresh.clear());
        for known in all.iter_mut().filter(|known| !known.fooled) {
            let most = known.sample.left.saturating_sub(later);
            let mut chosen: Vec<usize> = (0..known.labels.len()).collect();
            if most < chosen.len() {
                chosen = known.sample.rng.choose(known.labels.len(), most);
            }
            let each = model.features;
            for i in chosen {
                known.fresh.extend_from_slice(&known.points[i * each..(i + 1) * each]);
                known.fresh_labels.push(known.labels[i]);
            }
        }
        let mut slopes = slopes(network, model, all)?.into_iter();
        for known in all.iter_mut() {
            for (v, slope) in known.fresh.iter_mut().zip(&mut slopes) {
                let along = if slope == 0.0 { 0.0 } else { -slope.signum() as f32 };
                *v = (*v + step * along).clamp(lo, hi);
            }
            known.fresh_labels.clear();
        }
        Ok(())
    }
}

/// Gradients of the substitute's cross-entropy at all fresh points, for the classes that the model gave
/// the points that they are copies of.
fn slopes(network: &Network, model: &Model<'_>, all: &[Known]) -> Result<Vec<f64>> {
    let points: Vec<f32> = all.iter().flat_map(|k| k.fresh.iter().copied()).collect();
    let labels: Vec<i64> = all.iter().flat_map(|k| k.fresh_labels.iter().copied()).collect();
    let mut slopes = Vec::with_capacity(points.len());
    for (points, labels) in points.chunks(ROWS * model.features.max(1)).zip(labels.chunks(ROWS)) {
        let goal = Goal::Untargeted(labels_on(network.device(), labels)?);
        let (_, g) = gradient(network, &model.tensor(points)?, &goal)?;
        slopes.extend(g.to_f64_vec()?);
    }
    Ok(slopes)
}

fn labels_on(device: &crate::Device, labels: &[i64]) -> Result<Tensor> {
    Tensor::from_slice(device, labels, &[labels.len()])
}

/// A sample, and what the model said of it and of points made of it.
struct Known {
    sample: Sample,
    fooled: bool,
    points: Vec<f32>,
    labels: Vec<i64>,
    /// Points to ask of next, and the classes of those that they are copies of.
    fresh: Vec<f32>,
    fresh_labels: Vec<i64>,
}

impl AsMut<Sample> for Known {
    fn as_mut(&mut self) -> &mut Sample {
        &mut self.sample
    }
}

impl Known {
    fn new(sample: Sample) -> Self {
        Known {
            fresh: sample.x0.clone(),
            sample,
            fooled: false,
            points: Vec::new(),
            labels: Vec::new(),
            fresh_labels: Vec::new(),
        }
    }

    fn next(&mut self, points: &mut Vec<f32>) {
        points.append(&mut self.fresh);
    }

    fn learn(&mut self, points: &[f32], labels: &[i64]) {
        self.points.extend_from_slice(points);
        self.labels.extend_from_slice(labels);
    }
}

impl AttackSpec for Substitute {
    const NAME: &'static str = "substitute";
    const SUMMARY: &'static str =
        "PGD on a network that learns from decisions (Papernot et al.; Linf, L2, L1)";

    fn at(threat: Threat) -> Self {
        Substitute::new(threat.norm, threat.eps)
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        for (name, count) in [
            ("queries", self.queries),
            ("rounds", self.rounds),
            ("epochs", self.epochs),
            ("steps", self.steps),
        ] {
            at_least_one::<Self>(name, count)?;
        }
        positive::<Self>("spread", self.spread)?;
        positive::<Self>("rate", self.rate)?;
        if let Err(err) = Preset::find(&self.model) {
            bail!(Config, "substitute: {err}");
        }
        Ok(())
    }

    fn label(&self) -> String {
        format!("Substitute-{}", self.queries)
    }

    fn with_threat(&self, Threat { norm, eps }: Threat) -> Self {
        Substitute { norm, eps, ..self.clone() }
    }
}

impl Attack for Substitute {
    fn threat(&self) -> Threat {
        Threat::new(self.norm, self.eps)
    }

    fn access(&self) -> Access {
        Access::Decision
    }

    fn coupling(&self) -> Option<&'static str> {
        Some("the substitute of the attack learns from all samples of a batch")
    }

    fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Tensor> {
        let rng = draws.rng.child("substitute");
        let spec =
            Preset::find(&self.model)?.spec(&x.shape()[1..], model.classes(), model.bounds())?;
        let params = init_params(&spec, x.device(), x.dtype(), &rng)?;
        let mut network = Network::new(spec, params, x.device())?;
        let model = Model::new(model, x, goal, Loss::Margin);
        let samples = Sample::all(x, goal, draws, self.queries)?;
        let mut all: Vec<Known> = samples.into_iter().map(Known::new).collect();
        // What is fooled as it is, is done; the class is learned from all the same.
        model.ask_labels(&mut all, Known::next, |known, points, labels| {
            known.learn(points, labels);
            known.fooled = model.reached(labels[0], &known.sample);
        })?;
        for round in 0..=self.rounds {
            let open = |known: &Known| !known.fooled && known.sample.left > 0;
            if !all.iter().any(open) {
                break;
            }
            self.train(&mut network, &model, &all, &rng.index(round as u64))?;
            let begun = (x, goal, &draws.index(round as u64));
            self.replay(&network, &model, begun, &mut all)?;
            if round < self.rounds {
                self.augment(&network, &model, (round, self.rounds - round), &mut all)?;
                model.ask_labels(&mut all, Known::next, Known::learn)?;
            }
        }
        model.gather(all.into_iter().map(|known| known.sample).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_turns_every_three_rounds() {
        let attack = Substitute::new(Norm::Linf, 0.1);
        let steps: Vec<f64> = (0..7).map(|round| attack.spread_at(round)).collect();
        assert_eq!(steps, [0.1, 0.1, 0.1, -0.1, -0.1, -0.1, 0.1]);
    }
}
