//! The commands that attack the training data of a run: model inversion, data reconstruction, attribute
//! inference, and the audit of its noise. Each writes one JSON file, from which `evaluate` takes what it
//! reports.

mod attributes;
mod inversion;
mod noise;
mod reconstruction;
mod updates;

use std::path::{Path, PathBuf};

use inocula_core::data::Dataset;
use inocula_core::report::{
    AttributesReport, AuditedEpsilon, BackendSection, Cell, Column, DatasetSection, HostSection,
    InversionReport, ModelReport, PictureGrid, ProgramSection, Rate, ReconstructionReport, Spread,
    Table,
};
use inocula_core::rng::Rng;
use inocula_core::{Device, Error, ErrorKind, Result, bail, fs};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::args::AuditedRun;
use crate::runs::{self, Run};
use crate::{audits, backends, config, output, reporting, staging};

pub(super) use attributes::run as attributes;
pub(super) use inversion::run as inversion;
pub(super) use noise::AuditedNoise;
pub(super) use reconstruction::run as reconstruction;
pub(super) use updates::run as updates;

/// Larger files of results are refused.
const MAX_BYTES: u64 = 256 << 20;

/// What the JSON file of an audit holds.
#[derive(Serialize, Deserialize)]
struct Record<T> {
    created: String,
    program: ProgramSection,
    backend: BackendSection,
    host: HostSection,
    seed: u64,
    dataset: DatasetSection,
    model: String,
    /// SHA-256 of the weights that were attacked.
    weights: String,
    config: serde_json::Value,
    result: T,
}

/// A run that is audited, with its data.
struct Audited {
    run: Run,
    train: Dataset,
    test: Dataset,
    device: Device,
    backend: String,
    seed: u64,
    folder: PathBuf,
    weights: String,
}

impl Audited {
    /// Opens the run, and makes sure that `marker` can be written.
    fn open(flags: &AuditedRun, marker: &str) -> Result<Self> {
        let spec_of = config::read::<config::RunConfig>(&flags.run.join("config.toml"));
        let backend = match &flags.backend {
            Some(backend) => backend.clone(),
            None => spec_of.map_or(backends::DEFAULT.into(), |c| c.backend),
        };
        let device = backends::open(&backend)?;
        let run = runs::read(&flags.run, &device)?;
        let (train, test) = run.config.datasets()?;
        let folder = flags.out.clone().unwrap_or_else(|| flags.run.clone());
        runs::prepare(&folder, marker, flags.force)?;
        let seed = flags.seed.unwrap_or(run.config.seed);
        let weights = audits::weights(&flags.run)?;
        Ok(Audited { run, train, test, device, backend, seed, folder, weights })
    }

    fn rng(&self, command: &str) -> Rng {
        Rng::new(self.seed).child(command)
    }

    /// Writes `NAME.json` and, where there are pictures, `NAME.png`.
    fn publish<T: Serialize>(
        &self,
        name: &str,
        config: serde_json::Value,
        result: &T,
        pictures: Option<&PictureGrid>,
    ) -> Result<()> {
        let record = Record {
            created: reporting::now(),
            program: reporting::program(),
            backend: BackendSection::new(&self.backend, self.device.info()),
            host: HostSection::current(),
            seed: self.seed,
            dataset: reporting::dataset(&self.train, &self.test),
            model: self.run.name.clone(),
            weights: self.weights.clone(),
            config,
            result,
        };
        let (json, png) = (format!("{name}.json"), format!("{name}.png"));
        let sheet = pictures.map(PictureGrid::to_png).transpose()?;
        let mut names = vec![json.as_str()];
        if sheet.is_some() {
            names.insert(0, &png);
        }
        staging::publish(&self.folder, &names, |to| {
            if let Some(sheet) = &sheet {
                fs::write_bytes(to.join(&png), sheet)?;
            }
            runs::write_json(&to.join(&json), &record)
        })?;
        let written: Vec<String> =
            names.iter().rev().map(|n| self.folder.join(n).display().to_string()).collect();
        output::line(format!("Written: {}", written.join(" and ")));
        Ok(())
    }
}

/// What audits left in the folder of a run.
#[derive(Default)]
pub(super) struct Found {
    inversion: Option<InversionReport>,
    reconstruction: Option<ReconstructionReport>,
    attributes: Option<AttributesReport>,
    noise: Option<AuditedEpsilon>,
    /// What was left out, a line each.
    warnings: Vec<String>,
}

impl Found {
    /// Reads it. What is about other weights than the run has now is left out with a warning.
    ///
    /// # Errors
    /// A file is damaged.
    pub(super) fn read(run: &Path) -> Result<Self> {
        let mut found = Found::default();
        let stale = &mut found.warnings;
        found.inversion = read(run, "inversion", stale)?;
        found.reconstruction = read(run, "reconstruction", stale)?;
        found.attributes = read(run, "attributes", stale)?;
        found.noise = read(run, "dp", stale)?;
        Ok(found)
    }

    /// Puts it into the report of the run's model, and tells what was left out.
    pub(super) fn attach(self, model: &mut ModelReport) -> Vec<String> {
        model.inversion = self.inversion;
        model.reconstruction = self.reconstruction;
        model.attributes = self.attributes;
        model.audited_epsilon = self.noise;
        self.warnings
    }
}

fn read<T: DeserializeOwned>(run: &Path, name: &str, stale: &mut Vec<String>) -> Result<Option<T>> {
    let path = run.join(format!("{name}.json"));
    if !path.is_file() {
        return Ok(None);
    }
    let (shown, again) =
        (path.display(), format!("inocula audit {name} {} --force", run.display()));
    let record: Record<T> = match serde_json::from_slice(&fs::read(&path, MAX_BYTES)?) {
        Ok(record) => record,
        Err(err) => bail!(Data, "{shown}: {err}; repeat `{again}` or remove the file"),
    };
    if record.weights == audits::weights(run)? {
        return Ok(Some(record.result));
    }
    stale.push(audits::stale(&path, &again));
    Ok(None)
}

/// A configuration as JSON.
fn json<T: Serialize>(value: &T) -> Result<serde_json::Value> {
    serde_json::to_value(value)
        .map_err(|e| Error::new(ErrorKind::Config, format!("configuration: {e}")))
}

/// A table of text: headings, those from `right` on of numbers, and rows.
fn show(headings: &[&str], right: usize, rows: Vec<Vec<String>>) {
    let column = |(at, heading): (usize, &&str)| match at < right {
        true => Column::left(*heading),
        false => Column::right(*heading),
    };
    let columns = headings.iter().enumerate().map(column).collect();
    let rows = rows.into_iter().map(|row| row.into_iter().map(Cell::text).collect()).collect();
    output::line(Table { columns, rows }.to_text_within(output::width()));
}

/// `37.5 % (8.5 to 75.5)`.
fn rate(rate: &Rate) -> String {
    let [value, low, high] = [rate.rate, rate.interval.low, rate.interval.high].map(|v| 100.0 * v);
    format!("{value:.1} % ({low:.1} to {high:.1})")
}

/// `31.2 (24.0 to 40.1)`.
fn spread(spread: &Spread, decimals: usize) -> String {
    let Spread { mean, min, max } = spread;
    format!("{mean:.decimals$} ({min:.decimals$} to {max:.decimals$})")
}

fn optional(value: Option<&Spread>, decimals: usize) -> String {
    value.map_or("-".into(), |s| spread(s, decimals))
}
