//! What a training is in between two steps, and how it takes one.

use std::time::Instant;

use super::TrainConfig;
use super::batches::Batches;
use super::fit::Observer;
use super::monitor;
use super::private::{PrivateRun, Sums};
use super::rule::{Batch, Carried, CheckedRule, Local};
use super::state::{self, Position, State};
use crate::data::Dataset;
use crate::dp::accounting::Sampling;
use crate::dp::ghost::PerSample;
use crate::grad::grad;
use crate::model::{Classifier as _, Network};
use crate::nn::Params;
use crate::optim::Optimizer;
use crate::place::Placement;
use crate::report::{EpochRecord, PrivacyBudget};
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// A training that runs.
pub(super) struct Run<'a> {
    config: &'a TrainConfig,
    local: &'a Local,
    rule: CheckedRule,
    /// What the rule carries from step to step.
    carried: Option<Carried>,
    private: Option<PrivateRun>,
    optimizer: Optimizer,
    batches: Batches,
    place: Placement,
    rng: &'a Rng,
    /// Who may take up its state.
    identity: String,
    at: Position,
    history: Vec<EpochRecord>,
    /// When this part of it began.
    started: Instant,
    /// Steps of the optimiser in all epochs.
    steps: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        network: &Network,
        samples: usize,
        config: &'a TrainConfig,
        local: &'a Local,
        rng: &'a Rng,
    ) -> Result<Self> {
        let place = Placement {
            device: network.device().clone(),
            dtype: network.dtype(),
            batch: config.batch_size,
        };
        let mut rule = local.around(&config.rule)?;
        rule.prepare(network)?;
        if let Some(attack) = &config.monitor {
            monitor::check_within(attack, network)?;
        }
        let (private, batches) = match &config.private {
            Some(private) => {
                let (run, batches) =
                    PrivateRun::new(private, config, &rule, network, samples, rng)?;
                (Some(run), batches)
            }
            None => {
                let (sampling, size) = (Sampling::Shuffled, config.batch_size);
                (None, Batches { sampling, samples, size, rng: rng.clone() })
            }
        };
        Ok(Run {
            place,
            steps: batches.steps() * config.epochs * rule.replays(),
            carried: rule.carried(),
            rule,
            private,
            optimizer: config.optimizer.check()?,
            batches,
            identity: state::identity(config, network, samples, rng)?,
            at: Position { epoch: 1, batches: 0, loss: 0.0, step: 0, seconds: 0.0 },
            history: Vec::new(),
            started: Instant::now(),
            config,
            local,
            rng,
        })
    }

    /// Where it computes.
    pub(super) fn place(&self) -> &Placement {
        &self.place
    }

    /// Everything that later steps read.
    pub(super) fn state(&self, network: &Network) -> Result<State> {
        let at = Position { seconds: self.seconds(), ..self.at };
        let mut state = State::new(&self.identity, at, &self.history);
        state.put_all("params", network.params());
        for (slot, moment) in self.optimizer.moments(network.params())?.iter().enumerate() {
            state.put_all(&format!("optimizer.{slot}"), moment);
        }
        if let Some(noise) = self.carried.as_ref().and_then(Carried::noise) {
            state.put("carried", noise);
        }
        if let Some(private) = &self.private {
            private.save(&mut state);
        }
        Ok(state)
    }

    /// Takes up `state`, and puts its weights into `network`.
    ///
    /// # Errors
    /// It is of another training, or damaged.
    pub(super) fn restore(&mut self, state: &State, network: &mut Network) -> Result<()> {
        state.check(&self.identity)?;
        let Some(params) = state.get_all("params", network.params())? else {
            bail!(Data, "state: there are no weights in it; it is damaged");
        };
        let at = state.position();
        let (epochs, batches) = (self.config.epochs, self.batches.steps());
        if !(1..=epochs + 1).contains(&at.epoch) || at.batches > batches {
            let Position { epoch, batches: batch, .. } = at;
            bail!(
                Data,
                "state: batch {batch} of epoch {epoch}, of {epochs} epochs of {batches} batches"
            );
        }
        self.at = at;
        let slot = |i| state.get_all(&format!("optimizer.{i}"), &params);
        let moments = (0..self.optimizer.slots()).map(slot);
        let moments: Option<Vec<Params>> = moments.collect::<Result<_>>()?;
        if moments.is_none() && self.at.step > 0 {
            bail!(Data, "state: what the optimiser remembers is not in it; it is damaged");
        }
        self.optimizer.restore(self.at.step, &moments.unwrap_or_default())?;
        if let Some(carried) = &mut self.carried {
            carried.restore(state.get("carried").cloned());
        }
        if let Some(private) = &mut self.private {
            private.restore(state, &params)?;
        }
        self.history = state.history().to_vec();
        network.set_params(params);
        Ok(())
    }

    /// Epochs that are over.
    pub(super) fn epochs_done(&self) -> usize {
        self.at.epoch - 1
    }

    /// Time spent so far, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.at.seconds + self.started.elapsed().as_secs_f64()
    }

    /// Ends the epoch with what was measured after it, to which its loss or epsilon is added.
    pub(super) fn end_epoch(&mut self, record: EpochRecord, samples: usize) -> Result<EpochRecord> {
        let record = match &self.private {
            None => EpochRecord { loss: Some(self.at.loss / samples as f64), ..record },
            Some(private) => EpochRecord { epsilon: Some(private.epsilon()?), ..record },
        };
        self.at = Position { epoch: self.at.epoch + 1, batches: 0, loss: 0.0, ..self.at };
        self.history.push(record);
        Ok(record)
    }

    /// What private training guarantees.
    pub(super) fn budget(&self) -> Result<Option<PrivacyBudget>> {
        self.private.as_ref().map(|private| private.budget(self.at.step)).transpose()
    }

    /// What was measured after each epoch.
    pub(super) fn into_history(self) -> Vec<EpochRecord> {
        self.history
    }

    /// `network` with the weights that are released, where these are not its own.
    pub(super) fn released(&self, network: &Network) -> Option<Network> {
        let params = self.private.as_ref()?.released()?;
        let mut released = network.clone();
        released.set_params(params);
        Some(released)
    }

    /// The steps of the epoch that are not done yet.
    pub(super) fn epoch(
        &mut self,
        network: &mut Network,
        train: &Dataset,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        for rows in self.batches.epoch(self.at.epoch).skip(self.at.batches) {
            let (total, loss) = match self.private {
                None => self.replays(network, train, &rows)?,
                Some(_) => self.private_step(network, train, &rows, observer)?,
            };
            self.at.loss += total;
            self.at.batches += 1;
            observer.checkpoint(&|| self.state(network))?;
            observer.step(self.at.step, self.steps, loss)?;
        }
        Ok(())
    }

    /// The steps on one batch: the sum of the losses of its samples, their mean where it is replayed,
    /// and the mean loss before the last step.
    fn replays(
        &mut self,
        network: &mut Network,
        train: &Dataset,
        rows: &[usize],
    ) -> Result<(f64, f64)> {
        let (x, y) = self.place.tensors(train, rows)?;
        let (mut total, mut last, replays) = (0.0, 0.0, self.rule.replays());
        for _ in 0..replays {
            let step = self.at.step as u64;
            let batch = Batch { x: &x, y: &y, ids: rows, step, progress: self.progress() };
            last = self.update(network, &batch)?;
            total += last * rows.len() as f64 / replays as f64;
            self.stepped(last)?;
        }
        Ok((total, last))
    }

    /// One step of the optimiser; the mean loss before it.
    fn update(&mut self, network: &mut Network, batch: &Batch<'_>) -> Result<f64> {
        let params = network.params().tracked();
        let mut dropout = dropout(self.rng, self.at.step);
        let noise = self.carried.as_mut().map(|carried| carried.variable(batch.x));
        let made = match &noise {
            None => self.rule.inputs(network, batch, self.rng)?,
            Some(noise) => Carried::inputs(noise, batch.x, network.bounds()),
        };
        let losses = self.rule.losses_at(&made, network, &params, batch, &mut dropout, self.rng)?;
        let loss = losses.mean_all();
        let variables: Vec<&Tensor> = params.values().into_iter().chain(&noise).collect();
        let mut grads = grad(&loss, &variables)?;
        if let (Some(carried), Some(noise)) = (&mut self.carried, &noise)
            && let Some(g) = grads.pop()
        {
            carried.ascend(noise, &g);
        }
        drop(params);
        self.descend(network, grads)?;
        loss.item()
    }

    /// One private step on the samples `rows`; the sum of their losses, and that over the expected
    /// number of samples.
    fn private_step(
        &mut self,
        network: &mut Network,
        train: &Dataset,
        rows: &[usize],
        observer: &mut dyn Observer,
    ) -> Result<(f64, f64)> {
        let progress = self.progress();
        let Some(private) = &mut self.private else {
            bail!(Usage, "train: a private step of a training that is not private");
        };
        let rng = private.draws().clone();
        let mut dropout = dropout(&rng, self.at.step);
        let (mut sums, mut total) = (Sums::default(), None);
        for ids in rows.chunks(private.portion(rows.len())) {
            let params = network.params().tracked();
            let (x, y) = self.place.tensors(train, ids)?;
            let batch = Batch { x: &x, y: &y, ids, step: self.at.step as u64, progress };
            let losses = self.rule.losses(network, &params, &batch, &mut dropout, &rng)?;
            private.add(&mut sums, &PerSample::of(&losses, &params.values())?)?;
            let loss = losses.detach().sum_all();
            total = Some(total.map_or(loss.clone(), |sum: Tensor| sum + loss));
        }
        let (epoch, step) = (self.at.epoch, self.at.step);
        let grads = private.release(epoch, step, sums, network.params(), observer)?;
        self.descend(network, grads)?;
        if let Some(private) = &mut self.private {
            private.stepped(network.params())?;
        }
        let total = total.map_or(Ok(0.0), |sum| sum.item())?;
        let loss = total / self.config.batch_size as f64;
        self.stepped(loss)?;
        Ok((total, loss))
    }

    /// Share of the training that is behind.
    fn progress(&self) -> f64 {
        self.local.progress(self.at.step as f64 / self.steps as f64)
    }

    /// Moves the weights along `grads`.
    fn descend(&mut self, network: &mut Network, grads: Vec<Tensor>) -> Result<()> {
        let middle = self.local.progress((self.at.step as f64 + 0.5) / self.steps as f64);
        let scale = self.config.schedule.factor(middle);
        let next = self.optimizer.step(network.params().clone(), grads, scale)?;
        network.set_params(next);
        Ok(())
    }

    /// Counts a step of mean loss `loss`.
    fn stepped(&mut self, loss: f64) -> Result<()> {
        self.at.step += 1;
        if !loss.is_finite() {
            let Position { epoch, step, .. } = self.at;
            bail!(
                Numeric,
                "train: the loss became {loss} in epoch {epoch}, step {step}; lower the learning rate"
            );
        }
        Ok(())
    }
}

/// The randomness of dropout in a step.
fn dropout(rng: &Rng, step: usize) -> Rng {
    rng.child("dropout").index(step as u64)
}
