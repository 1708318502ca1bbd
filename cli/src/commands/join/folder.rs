//! The folder of a node.
//!
//! `config.toml` and `node.toml` say what it does, `node.pem` and `number` who it is, `rounds.json` what it did, `updates`
//! holds the last weights that it got and sent, `pending` the message that it works on, `ledger` what
//! privacy it spent. Every file is whole or not there, and is written in an order in which a process that
//! is killed at any point has lost nothing but its current work.

use std::path::{Path, PathBuf};

use inocula_core::{Error, ErrorKind, Result, Tensor, bail, fs};
use ndarray::{ArrayD, IxDyn};
use ndarray_npy::{NpzReader, NpzWriter};
use serde::{Deserialize, Serialize};

use crate::config::{self, RunConfig};
use crate::runs;

/// Larger files of updates and of rounds are refused, in bytes.
const MAX_BYTES: u64 = 4 << 30;

/// What a node does.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::commands) struct Settings {
    /// Which part of the data it has, from 1; of how many stands in the federation.
    pub(in crate::commands) shard: usize,
    /// The training.
    pub(in crate::commands) run: RunConfig,
}

/// `node.toml`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    shard: usize,
}

impl Settings {
    /// Those of the node `folder`; none if it is not the folder of one.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("node.toml");
        if !path.is_file() {
            return Ok(None);
        }
        let NodeFile { shard } = config::read(&path)?;
        let run: RunConfig = config::read(&folder.join("config.toml"))?;
        let clients = run.federation.as_ref().map_or(0, |f| f.clients);
        if !(1..=clients).contains(&shard) {
            bail!(Data, "{}: shard = {shard} of {clients}; restore it from a copy", path.display());
        }
        Ok(Some(Settings { shard, run }))
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let node = config::to_toml(&NodeFile { shard: self.shard })?;
        fs::write_bytes(folder.join("config.toml"), config::to_toml(&self.run)?.as_bytes())?;
        // Last: a folder that has it is one of a node.
        fs::write_bytes(folder.join("node.toml"), node.as_bytes())
    }
}

/// What a node did for one message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::commands) struct Entry {
    /// `train` or `evaluate`.
    pub(in crate::commands) kind: String,
    /// Name of the message that asked for it.
    pub(in crate::commands) message: String,
    /// The run of the server, a number as text.
    pub(in crate::commands) run: String,
    /// Round of the run, from 1.
    pub(in crate::commands) round: u64,
    /// Samples trained on or judged.
    pub(in crate::commands) samples: usize,
    /// Mean loss of the last epoch; none from private training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) loss: Option<f64>,
    /// Accuracy on the node's test samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) clean_accuracy: Option<f64>,
    /// The same under the monitor's attack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) adversarial_accuracy: Option<f64>,
    /// Epsilon spent so far, if the node trains privately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) epsilon: Option<f64>,
    /// Wall-clock time, in seconds.
    pub(in crate::commands) seconds: f64,
    /// File of the update in `updates`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) update: Option<String>,
}

/// The folder of a node that runs.
pub(super) struct Folder {
    path: PathBuf,
    keep: usize,
    entries: Vec<Entry>,
}

impl Folder {
    /// Makes it, or goes on with it.
    ///
    /// # Errors
    /// It cannot be written, a file of it is damaged, or it is a run folder.
    pub(super) fn open(path: &Path, settings: &Settings, keep: usize) -> Result<Self> {
        if path.join("metrics.json").exists() {
            bail!(Io, "{} is the folder of a finished run; choose another --out", path.display());
        }
        fs::create_dir(path.join("updates"))?;
        settings.write(path)?;
        let entries = entries(path)?;
        Ok(Folder { path: path.to_owned(), keep, entries })
    }

    /// Updates so far.
    pub(super) fn updates(&self) -> usize {
        self.entries.iter().filter(|e| e.update.is_some()).count()
    }

    /// The ledger of a node that trains privately.
    pub(super) fn ledger(&self) -> PathBuf {
        self.path.join("ledger")
    }

    /// Adds what was done, with the update if there is one.
    pub(super) fn add(&mut self, mut entry: Entry, update: Option<&Update>) -> Result<()> {
        // Done before a kill, and now again.
        if self.entries.last().is_some_and(|last| last.message == entry.message) {
            self.entries.pop();
        }
        if let Some(update) = update {
            let name = format!("update-{:05}.npz", self.updates() + 1);
            update.write(&self.path.join("updates").join(&name))?;
            entry.update = Some(name);
        }
        self.entries.push(entry);
        runs::write_json(&self.path.join("rounds.json"), &self.entries)?;
        let named: Vec<&String> = self.entries.iter().filter_map(|e| e.update.as_ref()).collect();
        for old in named.iter().rev().skip(self.keep) {
            let path = self.path.join("updates").join(old);
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                // So are those before it.
                Err(err) if err.kind() == std::io::ErrorKind::NotFound => break,
                Err(err) => return Err(Error::io(&path, "remove", &err)),
            }
        }
        Ok(())
    }
}

/// What the node `folder` did; nothing if it did nothing yet.
pub(in crate::commands) fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let path = folder.join("rounds.json");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let damaged = |e: serde_json::Error| {
        let text = format!("{}: {e}; restore it from a copy", path.display());
        Error::new(ErrorKind::Data, text)
    };
    serde_json::from_slice(&fs::read(&path, MAX_BYTES)?).map_err(damaged)
}

/// The weights of a round: what the server sent, and what it got. All it sees of the data.
pub(in crate::commands) struct Update {
    /// The parameters, in their order.
    pub(in crate::commands) arrays: Vec<Moved>,
}

/// A parameter before and after a round.
pub(in crate::commands) struct Moved {
    pub(in crate::commands) name: String,
    pub(in crate::commands) shape: Vec<usize>,
    /// Its values as they came, and as they were sent.
    pub(in crate::commands) sides: [Vec<f32>; 2],
}

impl Update {
    fn write(&self, path: &Path) -> Result<()> {
        let mut all = Vec::new();
        for (i, side) in ["before", "after"].iter().enumerate() {
            for Moved { name, shape, sides } in &self.arrays {
                all.push((format!("{side}.{name}"), shape.clone(), sides[i].clone()));
            }
        }
        npz(path, all)
    }

    /// Reads one back whose parameters are called `names`.
    pub(in crate::commands) fn read(path: &Path, names: &[&str]) -> Result<Self> {
        let bytes = fs::read(path, MAX_BYTES)?;
        let failed = |e: &dyn std::fmt::Display| {
            let text = format!("{}: {e}; restore it from a copy", path.display());
            Error::new(ErrorKind::Data, text.replace('\n', " "))
        };
        let mut npz = NpzReader::new(std::io::Cursor::new(bytes)).map_err(|e| failed(&e))?;
        let mut arrays = Vec::new();
        for name in names {
            let mut side = |side: &str| -> Result<ArrayD<f32>> {
                npz.by_name(&format!("{side}.{name}")).map_err(|e| failed(&e))
            };
            let (before, after) = (side("before")?, side("after")?);
            let values = |a: &ArrayD<f32>| a.iter().copied().collect::<Vec<f32>>();
            let shape = before.shape().to_vec();
            let sides = [values(&before), values(&after)];
            arrays.push(Moved { name: (*name).to_owned(), shape, sides });
        }
        Ok(Update { arrays })
    }
}

/// Writes parameters by name, in their order.
pub(super) fn write_npz<'a>(
    path: &Path,
    params: impl Iterator<Item = (&'a str, &'a Tensor)>,
) -> Result<()> {
    let array = |(name, value): (&str, &Tensor)| {
        Ok((name.to_owned(), value.shape().to_vec(), value.to_vec::<f32>()?))
    };
    npz(path, params.map(array).collect::<Result<Vec<_>>>()?)
}

fn npz(path: &Path, arrays: Vec<(String, Vec<usize>, Vec<f32>)>) -> Result<()> {
    let failed =
        |e: &dyn std::fmt::Display| Error::new(ErrorKind::Data, format!("{}: {e}", path.display()));
    let mut npz = NpzWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, shape, values) in arrays {
        let array = ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|e| failed(&e))?;
        npz.add_array(name, &array).map_err(|e| failed(&e))?;
    }
    let bytes = npz.finish().map_err(|e| failed(&e))?.into_inner();
    fs::write_bytes(path, &bytes)
}
