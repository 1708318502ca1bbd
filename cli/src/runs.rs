//! Run folders: what a training run leaves, complete enough to repeat it.
//!
//! `config.toml` the exact configuration, `model.toml` and `model.safetensors` the network,
//! `metrics.json` the results with seed, backend and versions, `ledger` the noisy steps of a private
//! run. `metrics.json` is written last: a folder that has it is complete.

use std::path::{Path, PathBuf};

use inocula_core::data::Dataset;
use inocula_core::fl::{ClientBudget, RoundRecord};
use inocula_core::model::{Network, confusion};
use inocula_core::nn::{self, ModelSpec};
use inocula_core::place::Placement;
use inocula_core::report::{
    BackendSection, ClassificationReport, DatasetSection, HostSection, ProgramSection,
    TrainingReport,
};
use inocula_core::{DType, Device, Error, ErrorKind, Result, bail, fs};
use serde::{Deserialize, Serialize};

use crate::config::{self, RunConfig};
use crate::unfinished::{self, LEDGER};
use crate::{reporting, staging};

/// What a training run measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Metrics {
    /// When it ended: RFC 3339, UTC.
    pub(crate) created: String,
    /// The program that ran.
    pub(crate) program: ProgramSection,
    /// The device that it computed on.
    pub(crate) backend: BackendSection,
    /// The machine.
    pub(crate) host: HostSection,
    /// The seed.
    pub(crate) seed: u64,
    /// The data.
    pub(crate) dataset: DatasetSection,
    /// How training went; absent for imported weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) training: Option<TrainingReport>,
    /// The rounds of a federation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) federation: Option<FederationReport>,
    /// Scores on the test part.
    pub(crate) test: ClassificationReport,
}

impl Metrics {
    /// What `network`, trained or imported as `config` says, comes to on `test`.
    pub(crate) fn of(
        config: &RunConfig,
        network: &Network,
        train: &Dataset,
        test: &Dataset,
        training: Option<TrainingReport>,
    ) -> Result<Self> {
        let device = network.device();
        let place = Placement { dtype: network.dtype(), ..Placement::new(device) };
        let confusion = confusion(network, test, &place)?;
        Ok(Metrics {
            created: reporting::now(),
            program: reporting::program(),
            backend: BackendSection::new(&config.backend, device.info()),
            host: HostSection::current(),
            seed: config.seed,
            dataset: reporting::dataset(train, test),
            training,
            federation: None,
            test: ClassificationReport::new(&confusion, &test.class_names)?,
        })
    }
}

/// What a federation measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FederationReport {
    /// The rounds.
    pub(crate) rounds: Vec<RoundRecord>,
    /// What private clients guarantee to their samples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) clients: Vec<ClientBudget>,
}

/// A run that was read back.
pub(crate) struct Run {
    /// Last part of its path: its name in reports.
    pub(crate) name: String,
    /// The configuration.
    pub(crate) config: RunConfig,
    /// The network.
    pub(crate) network: Network,
    /// What was measured at training.
    pub(crate) metrics: Metrics,
}

/// Larger files are refused.
const MAX_BYTES: u64 = 64 << 20;
/// Larger ledgers are refused: none grows so long.
const MAX_LEDGER: u64 = 1 << 30;

/// Makes the output folder and checks that it can be written to, before any work is done.
///
/// # Errors
/// It cannot be written, or it holds `marker`, the result of an earlier run, and `force` is off.
pub(crate) fn prepare(folder: &Path, marker: &str, force: bool) -> Result<()> {
    fs::create_dir(folder)?;
    if folder.join(marker).exists() && !force {
        bail!(
            Io,
            "{} holds {marker} of an earlier run; choose another --out or pass --force",
            folder.display()
        );
    }
    let probe = folder.join(".inocula-probe");
    fs::write_bytes(&probe, b"")?;
    std::fs::remove_file(&probe).map_err(|e| Error::io(&probe, "remove", &e))
}

/// Writes a run; `ledger` is the path of that of a private one.
pub(crate) fn write(
    folder: &Path,
    config: &RunConfig,
    network: &Network,
    metrics: &Metrics,
    ledger: Option<&Path>,
) -> Result<()> {
    let last = if ledger.is_some() { &[LEDGER, "metrics.json"][..] } else { &["metrics.json"] };
    let names = [&["config.toml", "model.toml", "model.safetensors"], last].concat();
    staging::publish(folder, &names, |to| {
        fs::write_bytes(to.join("config.toml"), config::to_toml(config)?.as_bytes())?;
        fs::write_bytes(to.join("model.toml"), config::to_toml(network.spec())?.as_bytes())?;
        nn::save_params(&to.join("model.safetensors"), network.params())?;
        if let Some(ledger) = ledger {
            fs::write_bytes(to.join(LEDGER), &fs::read(ledger, MAX_LEDGER)?)?;
        }
        write_json(&to.join("metrics.json"), metrics)
    })?;
    if ledger.is_none() {
        // Of an earlier run in this folder, which was private.
        remove_file(&folder.join(LEDGER))?;
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(path, "remove", &err))
        }
        _ => Ok(()),
    }
}

/// Writes a value as JSON.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(|e| json_error(path, &e))?;
    text.push('\n');
    fs::write_bytes(path, text.as_bytes())
}

fn json_error(path: &Path, err: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Data, format!("{}: {err}", path.display()))
}

/// Reads a run folder, its network on `device`.
pub(crate) fn read(folder: &Path, device: &Device) -> Result<Run> {
    if !folder.join("metrics.json").is_file() && unfinished::is_there(folder) {
        bail!(
            NotFound,
            "{} is the folder of a run that is not finished; go on with it by \
             `inocula train --resume --out {}`",
            folder.display(),
            folder.display()
        );
    }
    if !folder.join("metrics.json").is_file() {
        bail!(
            NotFound,
            "{} is not the folder of a finished run (it has no metrics.json); make one with \
             `inocula train --out {}`",
            folder.display(),
            folder.display()
        );
    }
    let config = config::read(&folder.join("config.toml"))?;
    let spec: ModelSpec = config::read(&folder.join("model.toml"))?;
    spec.check().map_err(|e| e.context(folder.join("model.toml").display()))?;
    let weights = folder.join("model.safetensors");
    let params = nn::load_params(&weights, &spec, device, DType::F32)?;
    let path = folder.join("metrics.json");
    let metrics =
        serde_json::from_slice(&fs::read(&path, MAX_BYTES)?).map_err(|e| json_error(&path, &e))?;
    let name = folder.canonicalize().unwrap_or_else(|_| PathBuf::from(folder));
    let name = name.file_name().map_or("model".into(), |n| n.to_string_lossy().into_owned());
    Ok(Run { name, config, network: Network::new(spec, params, device)?, metrics })
}
