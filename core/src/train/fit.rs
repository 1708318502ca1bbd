//! The training loop: epochs, what is measured after each, and who hears of it.

use std::sync::LazyLock;

use super::TrainConfig;
use super::monitor::Monitor;
use super::rule::Local;
use super::run::Run;
use super::state::State;
use crate::data::Dataset;
use crate::dp::accounting::Mechanism;
use crate::model::Network;
use crate::report::{EpochRecord, PrivacyBudget};
use crate::rng::Rng;
use crate::{Result, bail};

/// Hears how training goes, and may stop it by returning an error.
pub trait Observer {
    /// Step `step` of `steps` is done, with mean loss `loss`; rules that take several steps on a batch
    /// are heard of after the last of them. Under privacy the loss is a figure of
    /// private samples without noise: to look at, not to publish.
    ///
    /// # Errors
    /// To stop.
    fn step(&mut self, step: usize, steps: usize, loss: f64) -> Result<()> {
        let _ = (step, steps, loss);
        Ok(())
    }

    /// Private step `step`, counted from 0, is about to draw its noise: this is what it costs. A
    /// ledger that writes it down here has it before any noisy value exists.
    ///
    /// # Errors
    /// To prevent the step.
    fn mechanism(&mut self, step: usize, mechanism: &Mechanism) -> Result<()> {
        let _ = (step, mechanism);
        Ok(())
    }

    /// The training is between two batches, and `state` makes a [`State`] of it, which [`resume`] goes
    /// on with. It is called before the first batch and after every one, before
    /// [`Observer::step`].
    ///
    /// # Errors
    /// To stop.
    fn checkpoint(&mut self, state: &dyn Fn() -> Result<State>) -> Result<()> {
        let _ = state;
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

/// What a training leaves beside the weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// What was measured after each epoch.
    pub history: Vec<EpochRecord>,
    /// What private training guarantees.
    pub privacy: Option<PrivacyBudget>,
    /// Time that it took, in seconds, measurements after epochs included; over all its parts where it
    /// was resumed.
    pub seconds: f64,
}

/// Trains `network` on `train` and records each epoch, judged on `held_out`.
///
/// The same seed, device and thread count give the same bits. After an error the weights of a private
/// training carry no guarantee.
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
) -> Result<Trained> {
    Ready::new(network, train.len(), config, rng)?.fit(None, network, train, held_out, observer)
}

/// As [`fit`], for a client of a federation in one round, without held-out data.
///
/// # Errors
/// As [`fit`].
pub(crate) fn fit_local(
    network: &mut Network,
    train: &Dataset,
    config: &TrainConfig,
    local: &Local,
    rng: &Rng,
    observer: &mut dyn Observer,
) -> Result<Trained> {
    let ready = Ready::local(network, train.len(), config, local, rng)?;
    ready.fit(None, network, train, None, observer)
}

/// Goes on with a training from `state`: the arguments are those that [`fit`] got, and the weights of
/// `network` do not matter. It comes to the bits of a training that never stopped, on the same device
/// with the same number of threads; a private one draws its noise anew.
///
/// # Errors
/// As [`fit`], or the state is of another training.
pub fn resume(
    state: &State,
    network: &mut Network,
    train: &Dataset,
    held_out: Option<&Dataset>,
    config: &TrainConfig,
    rng: &Rng,
    observer: &mut dyn Observer,
) -> Result<Trained> {
    let ready = Ready::new(network, train.len(), config, rng)?;
    ready.fit(Some(state), network, train, held_out, observer)
}

/// The training of [`fit`], which is no client's in a round.
static WHOLE: LazyLock<Local> = LazyLock::new(Local::default);

/// A training that may begin: everything that can be known before its first step has been checked, and
/// the noise that keeps within an epsilon has been found. So what is not to be lost to a mistake in a
/// configuration can be replaced between [`Ready::new`] and [`Ready::fit`].
pub struct Ready<'a> {
    run: Run<'a>,
    config: &'a TrainConfig,
    samples: usize,
    rng: &'a Rng,
}

impl<'a> Ready<'a> {
    /// For the training of `network` on `samples` samples. It needs none of them: what a sample looks
    /// like, the network says, and how many there are decides what a noise costs.
    ///
    /// # Errors
    /// A constant is out of range; the rule does not go with the network or with privacy; no noise
    /// gives the epsilon that was asked for; or the device failed.
    pub fn new(
        network: &Network,
        samples: usize,
        config: &'a TrainConfig,
        rng: &'a Rng,
    ) -> Result<Self> {
        Ready::local(network, samples, config, &WHOLE, rng)
    }

    /// As [`Ready::new`], for a client of a federation in one round.
    pub(crate) fn local(
        network: &Network,
        samples: usize,
        config: &'a TrainConfig,
        local: &'a Local,
        rng: &'a Rng,
    ) -> Result<Self> {
        config.check()?;
        if samples == 0 {
            bail!(Data, "train: the training data are empty");
        }
        config.check_for(samples)?;
        let run = Run::new(network, samples, config, local, rng)?;
        Ok(Ready { run, config, samples, rng })
    }

    /// Trains as [`fit`] does, or goes on from `state` as [`resume`] does; `network` is the one that
    /// was checked.
    ///
    /// # Errors
    /// The data are not as many as were said, the state is of another training, the loss became NaN,
    /// the device failed, or the observer stopped.
    pub fn fit(
        self,
        state: Option<&State>,
        network: &mut Network,
        train: &Dataset,
        held_out: Option<&Dataset>,
        observer: &mut dyn Observer,
    ) -> Result<Trained> {
        let Ready { mut run, config, samples, rng } = self;
        if train.len() != samples {
            let n = train.len();
            bail!(Usage, "train: {n} samples where {samples} were said; pass the same data");
        }
        if let Some(state) = state {
            run.restore(state, network)?;
        }
        let judge = held_out.map(|data| {
            let (attack, samples) = (config.monitor.as_ref(), config.monitor_samples);
            Monitor::new(attack, samples, data, run.place(), rng)
        });
        let judge = judge.transpose()?;
        observer.checkpoint(&|| run.state(network))?;
        while run.epochs_done() < config.epochs {
            run.epoch(network, train, observer)?;
            let (released, epoch) = (run.released(network), run.epochs_done() + 1);
            let record = match &judge {
                Some(judge) => judge.record(released.as_ref().unwrap_or(network), epoch)?,
                None => EpochRecord { epoch, ..EpochRecord::default() },
            };
            observer.epoch(&run.end_epoch(record, train.len())?)?;
        }
        if let Some(released) = run.released(network) {
            *network = released;
        }
        let privacy = run.budget()?;
        Ok(Trained { seconds: run.seconds(), history: run.into_history(), privacy })
    }
}
