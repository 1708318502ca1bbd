//! The training loop.

use super::TrainConfig;
use super::rule::{Batch, CheckedRule};
use crate::data::Dataset;
use crate::grad::grad;
use crate::model::{Network, confusion};
use crate::optim::Optimizer;
use crate::place::Placement;
use crate::report::EpochRecord;
use crate::rng::Rng;
use crate::{Result, attack, bail};

/// Hears how training goes, and may stop it by returning an error.
pub trait Observer {
    /// Step `step` of `steps` is done, with mean loss `loss`.
    ///
    /// # Errors
    /// To stop.
    fn step(&mut self, step: usize, steps: usize, loss: f64) -> Result<()> {
        let _ = (step, steps, loss);
        Ok(())
    }

    /// An epoch is done.
    ///
    /// # Errors
    /// To stop.
    fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        let _ = record;
        Ok(())
    }
}

impl Observer for () {}

/// Trains `network` on `train` and records each epoch, judged on `held_out`.
///
/// The same seed, device and thread count give the same bits.
///
/// # Errors
/// A constant is out of range, the loss became NaN, the device failed, or the observer stopped.
pub fn fit(
    network: &mut Network,
    train: &Dataset,
    held_out: Option<&Dataset>,
    config: &TrainConfig,
    rng: &Rng,
    observer: &mut dyn Observer,
) -> Result<Vec<EpochRecord>> {
    config.check()?;
    if train.is_empty() {
        bail!(Data, "train: the training data are empty");
    }
    let place = Placement {
        device: network.device().clone(),
        dtype: network.dtype(),
        batch: config.batch_size,
    };
    let rule = config.rule.check()?;
    let features = network.spec().input.iter().product();
    rule.check_within(features, network.spec().bounds)?;
    if let Some(monitor) = &config.monitor {
        monitor.check()?.threat().check_within(features, network.spec().bounds)?;
    }
    let batches = train.len().div_ceil(config.batch_size);
    let mut run = Run {
        place,
        rule,
        optimizer: config.optimizer.check()?,
        config,
        rng,
        steps: batches * config.epochs,
        step: 0,
    };
    let mut history = Vec::new();
    for epoch in 1..=config.epochs {
        let loss = run.epoch(epoch, network, train, observer)?;
        let (clean_accuracy, robust_accuracy) = match held_out {
            Some(data) if !data.is_empty() => run.monitor(network, data)?,
            _ => (None, None),
        };
        let record = EpochRecord { epoch, loss, clean_accuracy, robust_accuracy };
        observer.epoch(&record)?;
        history.push(record);
    }
    Ok(history)
}

struct Run<'a> {
    config: &'a TrainConfig,
    rule: CheckedRule,
    optimizer: Optimizer,
    place: Placement,
    rng: &'a Rng,
    step: usize,
    steps: usize,
}

impl Run<'_> {
    /// One pass over the data; the mean loss.
    fn epoch(
        &mut self,
        epoch: usize,
        network: &mut Network,
        train: &Dataset,
        observer: &mut dyn Observer,
    ) -> Result<f64> {
        let order = self.rng.child("order").index(epoch as u64).permutation(train.len());
        let mut total = 0.0;
        for rows in order.chunks(self.config.batch_size) {
            let (x, y) = self.place.tensors(train, rows)?;
            let step = self.step as u64;
            let batch = Batch { x: &x, y: &y, ids: rows, step };
            let loss = self.update(network, &batch)?;
            if !loss.is_finite() {
                bail!(
                    Numeric,
                    "train: the loss became {loss} in epoch {epoch}, step {}; lower the learning \
                     rate",
                    self.step + 1
                );
            }
            total += loss * rows.len() as f64;
            self.step += 1;
            observer.step(self.step, self.steps, loss)?;
        }
        Ok(total / train.len() as f64)
    }

    /// One step of the optimiser; the mean loss before it.
    fn update(&mut self, network: &mut Network, batch: &Batch<'_>) -> Result<f64> {
        let params = network.params().tracked();
        let mut dropout = self.rng.child("dropout").index(self.step as u64);
        let losses = self.rule.losses(network, &params, batch, &mut dropout, self.rng)?;
        let loss = losses.mean_all();
        let grads = grad(&loss, &params.values())?;
        let scale = self.config.schedule.factor((self.step as f64 + 0.5) / self.steps as f64);
        drop(params);
        let next = self.optimizer.step(network.params().clone(), grads, scale)?;
        network.set_params(next);
        loss.item()
    }

    /// Accuracy on held-out data, clean and (if asked) attacked.
    fn monitor(&self, network: &Network, data: &Dataset) -> Result<(Option<f64>, Option<f64>)> {
        let place = Placement { batch: self.place.batch.max(256), ..self.place.clone() };
        let clean = confusion(network, data, &place)?.accuracy();
        let Some(config) = &self.config.monitor else { return Ok((Some(clean), None)) };
        let attack = config.check()?;
        let rows = self
            .rng
            .child("monitor")
            .choose(data.len(), self.config.monitor_samples.min(data.len()));
        let rng = self.rng.child("monitor-attack");
        let outcome = attack::perturb_rows(
            &*attack,
            network,
            data,
            &rows,
            attack::Aim::Untargeted,
            &place,
            &rng,
            &mut |_| Ok(()),
        )?;
        let held = outcome.success.iter().filter(|fooled| !**fooled).count();
        Ok((Some(clean), Some(held as f64 / rows.len().max(1) as f64)))
    }
}
