//! A simulation between two rounds, as a file: what a killed one goes on with.
//!
//! It is everything that later rounds read, so a simulation that is resumed comes to the same bits as
//! one that never stopped. Draws belong to rounds and clients by number and need no place in it. What is
//! on no disk is the secret of a private one, which goes on with another.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{RoundRecord, Simulation};
use crate::model::Network;
use crate::{Error, ErrorKind, Result, bail, fs};

const VERSION: u32 = 1;
/// Name of the notes in the header.
const NOTES: &str = "inocula.federation";
/// Larger files are refused.
const MAX_BYTES: u64 = 8 << 30;

/// What a simulation is between two of its rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub(super) notes: Notes,
    /// The weights of the server.
    pub(super) weights: Vec<f64>,
    /// What its optimiser remembers.
    pub(super) memory: Vec<Vec<f64>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Notes {
    pub(super) version: u32,
    /// Of the simulation: see [`identity`].
    pub(super) identity: String,
    pub(super) history: Vec<RoundRecord>,
    /// Noisy steps that are known of each private client, or of the federation.
    pub(super) recorded: Vec<u64>,
    /// Time spent, in seconds.
    pub(super) seconds: f64,
}

impl Notes {
    pub(super) fn new(identity: String) -> Self {
        let (history, recorded) = (Vec::new(), Vec::new());
        Notes { version: VERSION, identity, history, recorded, seconds: 0.0 }
    }
}

impl State {
    /// Rounds that are over.
    pub fn rounds(&self) -> usize {
        self.notes.history.len()
    }

    pub(super) fn check(&self, identity: &str, weights: usize, slots: usize) -> Result<()> {
        if self.notes.identity != identity {
            bail!(
                Config,
                "state: of another federation; resume with the configuration, data and seed that it was \
                 started with"
            );
        }
        let lengths = self.memory.iter().chain([&self.weights]).all(|v| v.len() == weights);
        if !lengths || self.memory.len() != slots {
            bail!(
                Data,
                "state: its values are not as many as the network has weights; it is damaged"
            );
        }
        Ok(())
    }

    /// Writes it to `path`; the file appears complete or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let failed = |e: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Data, format!("{}: {e}", path.display()))
        };
        let notes = serde_json::to_string(&self.notes).map_err(|e| failed(&e))?;
        let mut stored = vec![("weights".to_owned(), bytes(&self.weights))];
        for (slot, values) in self.memory.iter().enumerate() {
            stored.push((format!("server.{slot}"), bytes(values)));
        }
        let mut views = Vec::new();
        for (name, data) in &stored {
            let view = TensorView::new(Dtype::F64, vec![self.weights.len()], data);
            views.push((name.as_str(), view.map_err(|e| failed(&e))?));
        }
        let about = HashMap::from([(NOTES.to_owned(), notes)]);
        let file = safetensors::serialize(views, Some(about)).map_err(|e| failed(&e))?;
        fs::write_bytes(path, &file)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// The file is missing, malformed, or of another version of the program.
    pub fn load(path: &Path) -> Result<Self> {
        let refused =
            |what: String| Error::new(ErrorKind::Data, format!("{}: {what}", path.display()));
        let bytes = fs::read(path, MAX_BYTES)?;
        let damaged =
            |e: safetensors::SafeTensorError| refused(format!("damaged ({e}); restore it"));
        let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let text = header.metadata().as_ref().and_then(|about| about.get(NOTES));
        let text = text
            .ok_or_else(|| refused("not the state of a federation; name the right file".into()))?;
        let notes: Notes = serde_json::from_str(text)
            .map_err(|e| refused(format!("{e}; use the program that wrote it")))?;
        if notes.version != VERSION {
            let version = notes.version;
            return Err(refused(format!(
                "version {version}, this program reads version {VERSION}; use the program that wrote it"
            )));
        }
        let values = |name: &str| -> Result<Vec<f64>> {
            let view = file.tensor(name).map_err(damaged)?;
            let words = view.data().as_chunks::<8>().0;
            Ok(words.iter().map(|b| f64::from_le_bytes(*b)).collect())
        };
        let slots = file.names().iter().filter(|n| n.starts_with("server.")).count();
        let memory =
            (0..slots).map(|slot| values(&format!("server.{slot}"))).collect::<Result<_>>()?;
        Ok(State { notes, weights: values("weights")?, memory })
    }
}

fn bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// What two simulations have in common if one can take up the state of the other: configuration,
/// network, number of samples and generator.
pub(super) fn identity(simulation: &Simulation<'_>, network: &Network) -> Result<String> {
    let drawn = simulation.rng.child("identity").below(1 << 30);
    let Simulation { config, federation, train, test, .. } = simulation;
    let parts = (config, federation, network.spec(), train.len(), test.len(), drawn);
    let text = serde_json::to_string(&parts)
        .map_err(|e| Error::new(ErrorKind::Config, format!("federation: {e}")))?;
    Ok(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let mut notes = Notes::new("of this".into());
        notes.history.push(RoundRecord {
            round: 1,
            loss: Some(0.1 + 0.2),
            ..RoundRecord::default()
        });
        notes.recorded = vec![3, 0];
        let state = State {
            notes,
            weights: vec![0.1, -1e-300, 2.0],
            memory: vec![vec![1.0; 3], vec![f64::MIN_POSITIVE; 3]],
        };
        state.save(&path).unwrap();
        let read = State::load(&path).unwrap();
        assert_eq!(read, state);
        assert_eq!(read.rounds(), 1);
        read.check("of this", 3, 2).unwrap();
        assert!(
            read.check("of another", 3, 2).unwrap_err().to_string().contains("another federation")
        );
        assert!(read.check("of this", 4, 2).is_err() && read.check("of this", 3, 1).is_err());
        let mut torn = std::fs::read(&path).unwrap();
        torn.truncate(torn.len() - 9);
        std::fs::write(&path, torn).unwrap();
        assert!(State::load(&path).unwrap_err().to_string().contains("damaged"));
    }
}
