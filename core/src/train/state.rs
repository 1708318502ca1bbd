//! A training between two steps, as a file: what a killed run goes on with.
//!
//! Everything that later steps read is here, so a training that is resumed comes to the same bits as
//! one that never stopped. Random draws need no place in it: they belong to steps and epochs by number
//! ([`crate::rng`]). The exception is private training, whose secret is on no disk: it goes on with
//! another, which is as good, and does not repeat.
//!
//! It is one file, because a file appears whole or not at all: weights of one step beside moments of
//! another would be a training that never was. Values are safetensors, the rest are notes in its
//! header.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::TrainConfig;
use crate::dp::accounting::Mechanism;
use crate::dp::ledger::{Known, Mark};
use crate::model::Network;
use crate::nn::{Params, load_tensors, save_tensors};
use crate::report::EpochRecord;
use crate::rng::Rng;
use crate::{Device, Error, ErrorKind, Result, Tensor, bail};

const VERSION: u32 = 1;
/// Name of the notes in the header.
const NOTES: &str = "inocula.training";

/// What a training is between two of its batches. It is made by the training, for
/// [`Observer::checkpoint`](super::Observer::checkpoint), and taken up by [`resume`](super::resume).
#[derive(Debug, Clone)]
pub struct State {
    notes: Notes,
    tensors: Vec<(String, Tensor)>,
}

/// Where a training is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// The epoch, from 1.
    pub(super) epoch: usize,
    /// Batches of it that are done.
    pub(super) batches: usize,
    /// Sum of the losses of their samples.
    pub(super) loss: f64,
    /// Steps of the optimiser, over all epochs.
    pub(super) step: usize,
    /// Time spent, in seconds.
    pub(super) seconds: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    version: u32,
    /// Of the training: see [`identity`].
    identity: String,
    position: Position,
    history: Vec<EpochRecord>,
    private: Option<PrivateNotes>,
}

/// What private training adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrivateNotes {
    /// The clipping bound.
    pub(super) bound: f64,
    /// The noisy steps: sampling rate, noise multiplier, number.
    pub(super) spent: Vec<(f64, f64, u64)>,
    /// Where the ledger was, if one was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ledger: Option<Mark>,
}

impl PrivateNotes {
    /// Notes of these values.
    pub(super) fn new(bound: f64, spent: &[Mechanism]) -> Self {
        PrivateNotes { bound, spent: spent.iter().map(triple).collect(), ledger: None }
    }

    /// The noisy steps.
    pub(super) fn mechanisms(&self) -> Result<Vec<Mechanism>> {
        self.spent.iter().map(|&(rate, sigma, steps)| Mechanism::new(rate, sigma, steps)).collect()
    }
}

fn triple(m: &Mechanism) -> (f64, f64, u64) {
    (m.sampling_rate(), m.noise_multiplier(), m.steps())
}

/// Number of the steps.
fn total(spent: &[(f64, f64, u64)]) -> u64 {
    spent.iter().fold(0_u64, |sum, (_, _, steps)| sum.saturating_add(*steps))
}

impl State {
    pub(super) fn new(identity: &str, position: Position, history: &[EpochRecord]) -> Self {
        let (identity, history) = (identity.to_owned(), history.to_vec());
        let notes = Notes { version: VERSION, identity, position, history, private: None };
        State { notes, tensors: Vec::new() }
    }

    pub(super) fn set_private(&mut self, notes: PrivateNotes) {
        self.notes.private = Some(notes);
    }

    pub(super) fn put(&mut self, name: &str, value: &Tensor) {
        self.tensors.push((name.to_owned(), value.detach()));
    }

    pub(super) fn put_all(&mut self, prefix: &str, params: &Params) {
        params.iter().for_each(|(name, value)| self.put(&format!("{prefix}.{name}"), value));
    }

    pub(super) fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The set that [`State::put_all`] put there, if it did, checked against `params`.
    pub(super) fn get_all(&self, prefix: &str, params: &Params) -> Result<Option<Params>> {
        let mut values = Vec::new();
        for (name, like) in params.iter() {
            match self.get(&format!("{prefix}.{name}")) {
                Some(value) if value.aval() == like.aval() => values.push(value.clone()),
                Some(value) => {
                    let (got, want) = (value.aval(), like.aval());
                    bail!(Data, "state: {prefix}.{name} is {got} where {want} is needed")
                }
                None if values.is_empty() => return Ok(None),
                None => bail!(Data, "state: {prefix} is there without {name}; it is damaged"),
            }
        }
        params.with_values(values).map(Some)
    }

    pub(super) fn check(&self, identity: &str) -> Result<()> {
        if self.notes.identity != identity {
            bail!(
                Config,
                "state: of another training; resume with the configuration, data and seed that it was \
                 started with"
            );
        }
        Ok(())
    }

    pub(super) fn position(&self) -> Position {
        self.notes.position
    }

    pub(super) fn history(&self) -> &[EpochRecord] {
        &self.notes.history
    }

    pub(super) fn private(&self) -> Option<&PrivateNotes> {
        self.notes.private.as_ref()
    }

    /// Steps of the optimiser so far.
    pub fn step(&self) -> usize {
        self.notes.position.step
    }

    /// Replaces the noisy steps that it knows of by those that a ledger recorded. Steps that came
    /// after it are lost and will be done again; they were noisy values all the same, and count.
    /// Fewer steps than it knows of change nothing: [`Ledger::resume`](crate::dp::ledger::Ledger::resume)
    /// is what refuses such a ledger.
    pub fn count(&mut self, recorded: &[Mechanism]) {
        let Some(private) = &mut self.notes.private else { return };
        let spent: Vec<_> = recorded.iter().map(triple).collect();
        if total(&spent) >= total(&private.spent) {
            private.spent = spent;
        }
    }

    /// Keeps where the ledger of the run is, so that a ledger which lacks something is known by it.
    pub fn set_ledger(&mut self, mark: Mark) {
        if let Some(private) = &mut self.notes.private {
            private.ledger = Some(mark);
        }
    }

    /// What it knows of the ledger of its run: nothing, if it is not private.
    ///
    /// # Errors
    /// A noisy step is out of range.
    pub fn known(&self) -> Result<Known> {
        let Some(private) = &self.notes.private else { return Ok(Known::default()) };
        Ok(Known { steps: private.mechanisms()?, mark: private.ledger })
    }

    /// Writes it to `path`; the file appears complete or not at all, and is on the disk then.
    ///
    /// # Errors
    /// A value is not finite, or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let notes = serde_json::to_string(&self.notes)
            .map_err(|e| Error::new(ErrorKind::Data, format!("{}: {e}", path.display())))?;
        let tensors = self.tensors.iter().map(|(name, value)| (name.as_str(), value));
        save_tensors(path, tensors, HashMap::from([(NOTES.to_owned(), notes)]))
    }

    /// Reads it back, its values on `device`.
    ///
    /// # Errors
    /// The file is missing, malformed, or of another version of the program.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let (tensors, about) = load_tensors(path, device)?;
        let refused = |what: String| {
            let message = format!("{}: {what}", path.display());
            Error::new(ErrorKind::Data, message)
        };
        let text = about
            .get(NOTES)
            .ok_or_else(|| refused("not the state of a training; name the right file".into()))?;
        let notes: Notes = serde_json::from_str(text)
            .map_err(|e| refused(format!("{e}; use the program that wrote it")))?;
        if notes.version != VERSION {
            let version = notes.version;
            let what = format!(
                "version {version}, this program reads version {VERSION}; use the program that wrote it"
            );
            return Err(refused(what));
        }
        Ok(State { notes, tensors })
    }
}

/// What two trainings have in common if one can take up the state of the other: configuration, network,
/// number of samples and generator.
pub(super) fn identity(
    config: &TrainConfig,
    network: &Network,
    samples: usize,
    rng: &Rng,
) -> Result<String> {
    let drawn = rng.child("identity").below(1 << 30);
    let parts = (config, network.spec(), samples, drawn);
    let text = serde_json::to_string(&parts)
        .map_err(|e| Error::new(ErrorKind::Config, format!("train: {e}")))?;
    Ok(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
}
