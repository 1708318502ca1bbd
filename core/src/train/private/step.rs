//! One private step: clipped sums, noise, and what is told of it before anybody uses the result.
//!
//! The gradients are those of `dp::ghost`: one forward and one backward pass, whatever the kind of
//! clipping. Portions of a batch add up before the noise, so a batch costs the same in one or in ten.

use super::account::{self, Account};
use super::average::Average;
use super::clipping::Clipper;
use super::secret::Secret;
use super::{Private, lemma};
use crate::dp::accounting::Mechanism;
use crate::dp::contributions::{self, Contributions};
use crate::dp::ghost::PerSample;
use crate::dp::mechanism;
use crate::model::Network;
use crate::nn::Params;
use crate::report::PrivacyBudget;
use crate::rng::Rng;
use crate::train::batches::Batches;
use crate::train::state::{PrivateNotes, State};
use crate::train::{CheckedRule, Observer, TrainConfig};
use crate::{Result, Tensor, bail};

/// A private training while it runs.
pub(in crate::train) struct PrivateRun {
    config: Private,
    /// Noise multiplier of the first epoch.
    sigma: f64,
    clipper: Clipper,
    secret: Secret,
    account: Account,
    average: Option<Average>,
    /// The most samples of a portion.
    capacity: usize,
    /// Samples of the data.
    samples: usize,
    /// Expected samples of a batch.
    batch: f64,
    rate: f64,
    outside: Option<&'static str>,
}

impl PrivateRun {
    /// The run, and its batches.
    ///
    /// # Errors
    /// The rule or the network has no per-sample gradients, or no noise gives the epsilon that was
    /// asked for.
    pub(in crate::train) fn new(
        config: &Private,
        train: &TrainConfig,
        rule: &CheckedRule,
        network: &Network,
        samples: usize,
        rng: &Rng,
    ) -> Result<(Self, Batches)> {
        let size = train.batch_size;
        let bytes = lemma::probe(rule, network, rng)?;
        let secret = Secret::new(config.seeded, rng)?;
        let batches = Batches { sampling: config.sampling, samples, size, rng: secret.batches() };
        let sigma = account::noise_multiplier(config, &batches, train.epochs)?;
        config.clipping.gradient_noise(sigma, size as f64)?;
        let run = PrivateRun {
            sigma,
            clipper: Clipper::new(&config.clipping, network.params()),
            secret,
            account: Account::default(),
            average: config.average.map(Average::new),
            capacity: config.micro_batch.unwrap_or_else(|| contributions::capacity(bytes)),
            samples,
            batch: size as f64,
            rate: batches.rate(),
            outside: rule.outside(),
            config: config.clone(),
        };
        Ok((run, batches))
    }

    /// Samples of a batch of `samples` that are worked on at a time.
    pub(in crate::train) fn portion(&self, samples: usize) -> usize {
        contributions::portion(samples, self.capacity)
    }

    /// The generator that attacks and dropout draw from.
    pub(in crate::train) fn draws(&self) -> &Rng {
        self.secret.draws()
    }

    /// Adds the clipped gradients of some samples to the sums of a step.
    pub(in crate::train) fn add(&self, sums: &mut Sums, each: &PerSample) -> Result<()> {
        let Sums { means, within } = sums;
        means.add(each, |norms| {
            let (factors, some) = self.clipper.factors(norms)?;
            *within = match (within.take(), some) {
                (Some(sum), Some(some)) => Some(sum + some),
                (sum, some) => sum.or(some),
            };
            Ok(factors.iter().map(|f| f * (1.0 / self.batch)).collect())
        })
    }

    /// The noisy mean gradient of step `step`, counted from 0. The observer hears of the mechanism
    /// before there is a noisy value at all, and can prevent it by an error.
    pub(in crate::train) fn release(
        &mut self,
        epoch: usize,
        step: usize,
        sums: Sums,
        params: &Params,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Tensor>> {
        let sigma = self.sigma * self.config.schedule.factor(epoch);
        let cost = Mechanism::new(self.rate, sigma, 1)?;
        observer.mechanism(step, &cost)?;
        self.account.add(&cost)?;
        let mechanism = mechanism::Mechanism {
            bound: self.clipper.bound(),
            noise_multiplier: self.config.clipping.gradient_noise(sigma, self.batch)?,
            expected_batch: self.batch,
        };
        let Sums { means, within } = sums;
        let samples = means.samples();
        // A batch of nobody has sums of zero. Its noise is added all the same: that there was nobody
        // must not show.
        let means = match samples {
            0 => params.values().into_iter().map(|p| p.fill(0.0)).collect(),
            _ => means.sums()?,
        };
        let mean = mechanism.release_mean(means, &self.secret.gradients(step))?;
        let within = within.map_or(Ok(0.0), |count| count.item())?;
        let (secret, batch) = (&self.secret, self.batch);
        self.clipper.learn(within, samples, batch, |std| secret.count(step, std));
        Ok(mean)
    }

    /// Takes in the weights after a step.
    pub(in crate::train) fn stepped(&mut self, params: &Params) -> Result<()> {
        self.average.as_mut().map_or(Ok(()), |average| average.add(params))
    }

    /// The weights to release in place of the last ones, where there are such.
    pub(in crate::train) fn released(&self) -> Option<Params> {
        self.average.as_ref().and_then(Average::value)
    }

    /// Epsilon spent so far: a quick bound.
    pub(in crate::train) fn epsilon(&self) -> Result<f64> {
        self.account.so_far(&self.config)
    }

    /// Writes down what later steps read. The secret is not of it.
    pub(in crate::train) fn save(&self, state: &mut State) {
        state.set_private(PrivateNotes::new(self.clipper.bound(), self.account.history()));
        if let Some(sum) = self.average.as_ref().and_then(Average::sum) {
            state.put_all("average", sum);
        }
    }

    /// Takes up what [`PrivateRun::save`] wrote down.
    pub(in crate::train) fn restore(&mut self, state: &State, params: &Params) -> Result<()> {
        let Some(notes) = state.private() else {
            bail!(Data, "state: nothing of privacy is in it; it is damaged");
        };
        self.clipper.restore(notes.bound)?;
        self.account = Account::of(notes.mechanisms()?);
        if let Some(average) = &mut self.average {
            average.restore(state.step(), state.get_all("average", params)?);
        }
        Ok(())
    }

    /// What it guarantees after `steps` steps.
    pub(in crate::train) fn budget(&self, steps: usize) -> Result<PrivacyBudget> {
        let again = self.account.steps().saturating_sub(steps as u64);
        let again = (again > 0).then(|| {
            format!("{again} noisy steps were lost when the training was stopped and done again; they count")
        });
        let outside = self.outside.map(|what| {
            format!(
                "the rule uses {what}: epsilon holds if those are not the samples trained on here"
            )
        });
        let seed = self.secret.warning().map(str::to_owned);
        let warnings = outside.into_iter().chain(seed).chain(again);
        self.account.budget(&self.config, self.samples, self.clipper.bound(), warnings)
    }
}

/// The sums of a step over the portions of its batch so far.
#[derive(Default)]
pub(in crate::train) struct Sums {
    /// Clipped gradients over the expected samples of a batch.
    means: Contributions,
    /// Samples within the bound, where they are counted.
    within: Option<Tensor>,
}
