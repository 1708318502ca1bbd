//! MI-Face (Fredrikson et al. 2015, "Model Inversion Attacks that Exploit Confidence Information and
//! Basic Countermeasures", algorithm 1), on a model whose gradients are known.
//!
//! `c(x) = 1 - f_label(x)`, `x <- Process(x - lambda grad c(x))`, from an empty sample, for at most
//! alpha steps. It stops when the cost did not fall below the largest of the last beta ones, and when it
//! is at most gamma; the best sample of the way is the result. A widely used implementation has the
//! signs of both conditions the other way round, so that it stops where it should go on: here each sample
//! says which rule ended it, and tests hold it to that.

use serde::{Deserialize, Serialize};

use super::{Inverted, Progress, batch_shape, confidence};
use crate::grad::grad;
use crate::model::{Classifier, Network};
use crate::{Result, Tensor, bail};

/// Constants, named and set as in section 5.2 of the paper, but for the step (below).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MiFace {
    /// Steps at most.
    pub alpha: usize,
    /// Costs that a new one must not all reach or exceed.
    pub beta: usize,
    /// Cost at which it is done. The paper states the confidence, 0.99, of which this is the complement.
    pub gamma: f64,
    /// Step size, in units of the range of values.
    pub lambda: f64,
}

impl Default for MiFace {
    fn default() -> Self {
        MiFace { alpha: 5000, beta: 100, gamma: 0.01, lambda: 0.1 }
    }
}

/// Which rule ended the search for a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The cost is at most gamma.
    Confident,
    /// The cost is at least the largest of the last beta ones.
    NoProgress,
    /// Alpha steps are done.
    Steps,
}

/// The search for one sample, as far as it is the host's: costs, and whether it goes on.
struct Trace {
    costs: Vec<f64>,
    stop: Option<Stop>,
    best: f64,
}

impl MiFace {
    pub(super) fn check(&self) -> Result<()> {
        if self.alpha == 0 || self.beta == 0 {
            let (alpha, beta) = (self.alpha, self.beta);
            bail!(Config, "miface: alpha = {alpha} and beta = {beta} must be at least 1");
        }
        if !(self.gamma >= 0.0 && self.gamma < 1.0) {
            bail!(
                Config,
                "miface: gamma = {} is a cost and must be in [0, 1), say 0.01",
                self.gamma
            );
        }
        if !(self.lambda > 0.0 && self.lambda.is_finite()) {
            bail!(Config, "miface: lambda = {} must be positive, say 0.1", self.lambda);
        }
        Ok(())
    }

    pub(super) fn run(
        &self,
        network: &Network,
        classes: &[i64],
        progress: Progress<'_>,
    ) -> Result<Inverted> {
        let n = classes.len();
        let [lo, hi] = network.bounds();
        let (device, dtype) = (network.device(), network.dtype());
        let labels = Tensor::from_slice(device, classes, &[n])?;
        let mut x = Tensor::full(device, dtype, &batch_shape(network, n), 0.0).clamp(lo, hi);
        let mut best = x.clone();
        let mut traces: Vec<Trace> =
            (0..n).map(|_| Trace { costs: vec![], stop: None, best: f64::INFINITY }).collect();
        let mut gradient_steps = 0;
        for step in 0..=self.alpha {
            progress(step, self.alpha)?;
            let tracked = x.tracked();
            let cost = confidence(&network.logits(&tracked)?, &labels).affine(-1.0, 1.0);
            let costs = cost.to_f64_vec()?;
            let improved: Vec<bool> =
                traces.iter_mut().zip(costs).map(|(t, c)| t.note(c, step, self)).collect();
            best = x.where_(&flags(&improved, &x)?, &best);
            let running: Vec<bool> = traces.iter().map(|t| t.stop.is_none()).collect();
            if !running.contains(&true) {
                break;
            }
            let g = grad(&cost.sum_all(), &[&tracked])?.swap_remove(0);
            drop((cost, tracked));
            gradient_steps += running.iter().filter(|r| **r).count() as u64;
            let moved = (&x - &(g * (self.lambda * (hi - lo)))).clamp(lo, hi);
            x = moved.where_(&flags(&running, &x)?, &x);
        }
        let confidence = traces.iter().map(|t| 1.0 - t.best).collect();
        let stops = traces.iter().map(|t| t.stop.unwrap_or(Stop::Steps)).collect();
        Ok(Inverted { x: best, confidence, gradient_steps, stops })
    }
}

impl Trace {
    /// Takes in the cost after `step` steps; whether the sample is the best so far. A search that has
    /// ended stays as it is.
    fn note(&mut self, cost: f64, step: usize, rule: &MiFace) -> bool {
        if self.stop.is_some() {
            return false;
        }
        let before = &self.costs[self.costs.len().saturating_sub(rule.beta)..];
        let largest = before.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // The sample that the search begins with has no step behind it that could be judged.
        if step > 0 && cost >= largest {
            self.stop = Some(Stop::NoProgress);
        } else if cost <= rule.gamma {
            self.stop = Some(Stop::Confident);
        } else if step == rule.alpha {
            self.stop = Some(Stop::Steps);
        }
        self.costs.push(cost);
        let improved = cost < self.best;
        self.best = self.best.min(cost);
        improved
    }
}

/// Flags of samples, in the shape and dtype of `x`.
fn flags(which: &[bool], x: &Tensor) -> Result<Tensor> {
    let flags: Vec<f64> = which.iter().map(|w| f64::from(u8::from(*w))).collect();
    let flags = Tensor::from_f64(x.device(), x.dtype(), &flags, &[flags.len()])?;
    Ok(flags.per_sample(x).broadcast(x.shape()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(costs: &[f64], rule: &MiFace) -> (Option<Stop>, usize, f64) {
        let mut trace = Trace { costs: vec![], stop: None, best: f64::INFINITY };
        for (step, cost) in costs.iter().enumerate() {
            trace.note(*cost, step, rule);
            if trace.stop.is_some() {
                return (trace.stop, step, trace.best);
            }
        }
        (None, costs.len(), trace.best)
    }

    #[test]
    fn it_stops_by_the_rules_of_the_paper_and_by_no_other() {
        let rule = MiFace { alpha: 5, beta: 2, gamma: 0.1, ..MiFace::default() };
        // Falling costs go on until they reach gamma, which is not the first of them.
        assert_eq!(ended(&[0.9, 0.5, 0.3, 0.1], &rule), (Some(Stop::Confident), 3, 0.1));
        // A rise that stays below the largest of the last two is no end, one that does not is.
        assert_eq!(ended(&[0.9, 0.5, 0.6, 0.55, 0.4], &rule), (None, 5, 0.4));
        assert_eq!(ended(&[0.9, 0.5, 0.6, 0.6], &rule), (Some(Stop::NoProgress), 3, 0.5));
        assert_eq!(ended(&[0.9, 0.9], &rule), (Some(Stop::NoProgress), 1, 0.9));
        let falling = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4];
        assert_eq!(ended(&falling, &rule), (Some(Stop::Steps), 5, 0.4));
        // A class that the empty sample already shows needs no step.
        assert_eq!(ended(&[0.05], &rule), (Some(Stop::Confident), 0, 0.05));
    }
}
