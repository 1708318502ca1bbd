//! The simulation: rounds, what is measured after each, and who hears of it.
//!
//! The same seed gives the same bits for any number of devices: each client is trained on one device
//! of one thread, and the server adds up in the order of the clients. State between two rounds is one
//! file ([`State`]).

mod account;
mod collect;
mod judge;
mod running;
mod state;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use account::ClientBudget;
pub use state::State;

use self::running::Running;
use super::{Client, Federation};
use crate::data::Dataset;
use crate::model::Network;
use crate::report::PrivacyBudget;
use crate::rng::Rng;
use crate::train::TrainConfig;
use crate::{Device, Result, bail};

/// What a round was, and what was measured after it. Under privacy of clients, what depends on who came
/// is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundRecord {
    /// Its number, from 1.
    pub round: usize,
    /// Clients of the round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected: Option<usize>,
    /// Updates that the server has used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<usize>,
    /// Clients that dropped out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: usize,
    /// Clients that were slow: not waited for, or with part of their epochs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late: usize,
    /// Clients whose loss became no number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: usize,
    /// Whether the weights stayed because too few updates came for the rule.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
    /// Values that were cut off at the range of secure aggregation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut_off: usize,
    /// Mean loss of the clients' samples in their last epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Accuracy on the test part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_accuracy: Option<f64>,
    /// Accuracy on attacked test samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robust_accuracy: Option<f64>,
    /// Share of the test samples of other classes that are taken for the attackers' target once they
    /// have the trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backdoor_rate: Option<f64>,
    /// Epsilon so far by a quick bound: of the federation's clients, or of the samples of the client
    /// that has spent most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// The most updates that existed at a time while clients were trained, those of a rule that compares
    /// clients included.
    pub held: usize,
    /// Time that it took, in seconds.
    pub seconds: f64,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Hears how a simulation goes, and may stop it by returning an error.
pub trait Watcher {
    /// `done` of the `of` clients of round `round` have answered.
    ///
    /// # Errors
    /// To stop.
    fn client(&mut self, round: usize, done: usize, of: usize) -> Result<()> {
        let _ = (round, done, of);
        Ok(())
    }

    /// Called several times a second while clients train.
    ///
    /// # Errors
    /// To stop.
    fn tick(&mut self) -> Result<()> {
        Ok(())
    }

    /// A round is over.
    ///
    /// # Errors
    /// To stop.
    fn round(&mut self, record: &RoundRecord) -> Result<()> {
        let _ = record;
        Ok(())
    }

    /// The simulation is between two rounds, and `state` is what [`Simulation::run`] goes on with. It is
    /// called before the first round and after every one.
    ///
    /// # Errors
    /// To stop.
    fn checkpoint(&mut self, state: &dyn Fn() -> State) -> Result<()> {
        let _ = state;
        Ok(())
    }
}

impl Watcher for () {}

/// What a simulation leaves beside the weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The rounds.
    pub history: Vec<RoundRecord>,
    /// What it guarantees to whole clients, where it does.
    pub privacy: Option<PrivacyBudget>,
    /// What private clients guarantee to their samples, those that took part.
    pub clients: Vec<ClientBudget>,
    /// Time that it took, in seconds, over all its parts where it was resumed.
    pub seconds: f64,
}

/// A federation with its data and devices.
pub struct Simulation<'a> {
    /// The samples that are divided among clients.
    pub train: &'a Dataset,
    /// The samples that the server's weights are judged on.
    pub test: &'a Dataset,
    /// How clients train.
    pub config: &'a TrainConfig,
    /// The federation.
    pub federation: &'a Federation,
    /// A device for each worker. Results are the same for any number of devices of one thread.
    pub devices: &'a [Device],
    /// Where privacy is recorded: the ledger of a federation whose clients are private, the folder of the
    /// clients' ledgers where they train privately.
    pub ledger: Option<&'a Path>,
    /// All randomness but that of privacy and of masks.
    pub rng: &'a Rng,
}

impl Simulation<'_> {
    /// Runs all rounds, from the weights of `network` or from `state`, and leaves those of the server
    /// in `network`.
    ///
    /// # Errors
    /// A constant is out of range, `state` is of another simulation, a device failed, weights became
    /// infinite, or the watcher stopped.
    pub fn run(
        &self,
        network: &mut Network,
        state: Option<&State>,
        watcher: &mut dyn Watcher,
    ) -> Result<Outcome> {
        self.check_given(network)?;
        let mut running = Running::new(self, network, state)?;
        watcher.checkpoint(&|| running.state())?;
        while running.rounds_done() < self.federation.rounds {
            let record = running.round(watcher)?;
            watcher.round(&record)?;
            watcher.checkpoint(&|| running.state())?;
        }
        running.finish(network)
    }

    /// Checks what can be known before the first round. [`Simulation::run`] finds the same, but some
    /// of it only once ledgers are open and clients train.
    ///
    /// # Errors
    /// As [`Simulation::run`], whose device may fail here too.
    pub fn check(&self, network: &Network) -> Result<()> {
        self.check_given(network)?;
        let Simulation { train, config, federation, rng, .. } = *self;
        if let Some(privacy) = &federation.privacy {
            let rate = federation.sampled() as f64 / federation.clients as f64;
            privacy.planned(rate, federation.rounds)?;
        }
        let parts =
            federation.partition.split(&train.labels, train.classes, federation.clients, rng)?;
        // With the fewest samples each of them is in the most batches, and noise costs most.
        let Some(fewest) = parts.iter().min_by_key(|rows| rows.len()) else { return Ok(()) };
        let client = Client {
            data: &train.select(fewest),
            config,
            proximal: federation.proximal,
            calibrate: federation.calibrate,
            span: [0.0, 1.0],
            ledger: None,
        };
        client.check(network, rng)
    }

    fn check_given(&self, network: &Network) -> Result<()> {
        self.federation.check(self.config)?;
        self.federation.check_for(self.train)?;
        if self.devices.is_empty() {
            bail!(Usage, "federation: no device to train on; pass at least one");
        }
        let private = self.federation.privacy.is_some() || self.config.private.is_some();
        if private && self.ledger.is_none() {
            bail!(Usage, "federation: what is private needs a ledger; pass its path");
        }
        if let Some(attack) = &self.config.monitor {
            let threat = attack.check()?.threat();
            if threat.budget().is_none() {
                bail!(Config, "federation: the monitor's {} has no budget; set eps", attack.name());
            }
            let spec = network.spec();
            threat.check_within(spec.input.iter().product(), spec.bounds)?;
        }
        Ok(())
    }
}
