//! Records from what a federated client sends back: the difference of weights after several local
//! steps.
//!
//! The attacker repeats those steps on a guess, with a graph, and turns the guess until the same
//! difference comes out (Geiping et al. 2020, section 6; Dimitrov et al. 2022). The difference of one
//! step is a gradient; of several it is not, and matching it as if it were one is the error that this
//! file avoids.

use serde::{Deserialize, Serialize};

use super::gradient_search::Cosine;
use super::matching::{Target, gradients};
use super::{Guess, Leaked, Seen};
use crate::model::Network;
use crate::nn::Params;
use crate::privacy::descend::Progress;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// What a client does with its records before it answers: plain SGD on their mean loss, in the order
/// of the records. The server, who is the attacker, has told it so.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalTraining {
    /// Passes over the records.
    pub epochs: usize,
    /// Records of a step.
    pub batch: usize,
    /// Step size.
    pub lr: f64,
}

impl Default for LocalTraining {
    fn default() -> Self {
        LocalTraining { epochs: 1, batch: 1, lr: 0.01 }
    }
}

/// Gradients at some weights of a step's records, given as first and number.
type Step<'a> = dyn FnMut(&Params, (usize, usize)) -> Result<Vec<Tensor>> + 'a;

impl LocalTraining {
    pub(super) fn check(&self) -> Result<()> {
        if self.epochs == 0 || self.batch == 0 {
            let (epochs, batch) = (self.epochs, self.batch);
            bail!(Config, "updates: epochs = {epochs} and batch = {batch} must be at least 1");
        }
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            bail!(Config, "updates: lr = {} must be positive, say 0.01", self.lr);
        }
        Ok(())
    }

    /// Places of the records of each step, as first and number.
    pub(super) fn steps(&self, samples: usize) -> impl Iterator<Item = (usize, usize)> {
        let batch = self.batch;
        let pass = move || (0..samples).step_by(batch).map(move |i| (i, batch.min(samples - i)));
        (0..self.epochs).flat_map(move |_| pass())
    }

    /// Weights before minus weights after the local steps on `x` with classes `labels`, in units of
    /// the step size, a tensor a parameter. With `further` it can be differentiated by `x`.
    ///
    /// # Errors
    /// A constant is out of range, the batch does not fit the network, or the device failed.
    pub fn difference(
        &self,
        network: &Network,
        x: &Tensor,
        labels: &Tensor,
        further: bool,
    ) -> Result<Vec<Tensor>> {
        self.check()?;
        let mut by = |params: &Params, (at, n): (usize, usize)| {
            let target = Target::Classes(labels.narrow(0, at, n));
            gradients(network, params, &x.narrow(0, at, n), &target, further)
        };
        self.run(network.params(), x.dim(0), further, &mut by)
    }

    /// The sum of the gradients of all steps, each at the weights that those before it left.
    pub(super) fn run(
        &self,
        start: &Params,
        samples: usize,
        further: bool,
        gradients: &mut Step<'_>,
    ) -> Result<Vec<Tensor>> {
        let mut params = start.tracked();
        let mut total: Option<Vec<Tensor>> = None;
        for step in self.steps(samples) {
            let g = gradients(&params, step)?;
            params = params.with_values(moved(&params, &g, self.lr))?;
            if !further {
                params = params.map(|p| p.detach().tracked());
            }
            total = Some(match total {
                None => g,
                Some(total) => total.iter().zip(&g).map(|(a, b)| a + b).collect(),
            });
        }
        match total {
            Some(total) => Ok(total),
            None => bail!(Data, "updates: there are no records to train on"),
        }
    }
}

fn moved(params: &Params, g: &[Tensor], lr: f64) -> Vec<Tensor> {
    params.values().into_iter().zip(g).map(|(p, g)| p - &(g * lr)).collect()
}

/// The search of Inverting Gradients through the unrolled local steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Updates {
    /// What the client did.
    pub local: LocalTraining,
    /// The search.
    pub search: Cosine,
}

impl Updates {
    pub(super) fn run(
        &self,
        seen: &Seen<'_>,
        labels: &[i64],
        rng: &Rng,
        progress: Progress<'_>,
    ) -> Result<Guess> {
        let Leaked::Update(target) = &seen.leaked else {
            bail!(Usage, "updates: it needs a difference of weights; what was seen is not that");
        };
        let y = seen.classes(labels)?;
        let mut found = |x: &Tensor| self.local.difference(seen.network, x, &y, true);
        let best = self.search.search(seen, target, &mut found, rng, progress)?;
        Ok(Guess { x: best.x, labels: Some(labels.to_vec()), objective: best.values[0] })
    }
}
