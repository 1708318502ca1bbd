//! `inocula evaluate`: trained models against a baseline, one report.

use std::path::PathBuf;

use inocula_core::attack::ball::diameter;
use inocula_core::data::{DataSource, Dataset};
use inocula_core::evaluate::{Contender, Extras, Plan, Stranger, evaluate_with};
use inocula_core::rng::Rng;
use inocula_core::{Device, Error, ErrorKind, Result, bail};

use super::leakage;
use super::plan::plan;
use crate::args::Evaluate;
use crate::progress::Bar;
use crate::reporting::Setting;
use crate::runs::Run;
use crate::{audits, backends, config, reporting, runs};

pub(super) fn run(flags: &Evaluate, quiet: bool) -> Result<()> {
    let mut plan = plan(flags)?;
    let first = config::read::<config::RunConfig>(&flags.runs[0].join("config.toml"));
    let backend = match (&flags.backend, first) {
        (Some(backend), _) => backend.clone(),
        (None, Ok(config)) => config.backend,
        (None, Err(_)) => backends::DEFAULT.into(),
    };
    let device = backends::open(&backend)?;
    let runs = read_all(&flags.runs, &device)?;
    same_data(&runs)?;
    let sources = read_all(&plan.transfer_from, &device)?;
    let targets = read_all(&plan.transfer_to, &device)?;
    let also = further(&plan.also, &runs[0])?;
    let leaks = flags.runs.iter().map(|r| leakage::Found::read(r)).collect::<Result<Vec<_>>>()?;
    let members = flags.runs.iter().map(|r| audits::found(r)).collect::<Result<Vec<_>>>()?;
    runs::prepare(&flags.out, "report.json", flags.force)?;
    let base = &runs[0].config;
    let (train, test) = base.datasets()?;
    let bounds = [f64::from(test.bounds.0), f64::from(test.bounds.1)];
    let widest = diameter(plan.threat.norm, test.shape.iter().product(), bounds);
    plan.radii.retain(|radius| *radius > 0.0 && *radius <= widest);
    let seed = flags.seed.unwrap_or(base.seed);
    let folders = flags.runs.iter().chain(&plan.transfer_from).chain(&plan.transfer_to);
    let everyone = runs.iter().chain(&sources).chain(&targets);
    let config = exact(folders.zip(everyone), &plan, &backend, seed)?;
    let contenders = contenders(runs);
    let (sources, targets) = (strangers(sources), strangers(targets));
    let extras = Extras { sources: &sources, targets: &targets, also: &also };

    let mut bar = Bar::new(quiet);
    let rng = Rng::new(seed).child("evaluate");
    let data = (&train, &test);
    let mut findings =
        evaluate_with(&contenders, data, extras, &plan, &rng, &mut |phase, done, total| {
            bar.show(phase, done, total)
        })?;
    bar.clear();
    for (model, (leaks, members)) in findings.models.iter_mut().zip(leaks.into_iter().zip(members))
    {
        findings.warnings.extend(leaks.attach(model));
        match members {
            Some(Ok(mut attacks)) => {
                // What both made is taken from the evaluation, whose samples are those of all models.
                attacks.retain(|a| model.membership.iter().all(|b| a.attack != b.attack));
                model.membership.extend(attacks);
            }
            Some(Err(warning)) => findings.warnings.push(warning),
            None => {}
        }
    }
    let setting = Setting {
        title: format!("{}: {} models compared", test.name, contenders.len()),
        backend: &backend,
        device: device_of(&contenders, &device),
        seed,
        config,
    };
    let report = reporting::report(setting, &plan, &train, &test, findings);
    reporting::publish(&flags.out, &report)
}

fn device_of<'a>(contenders: &'a [Contender], device: &'a Device) -> &'a Device {
    contenders.first().map_or(device, |c| c.network.device())
}

fn read_all(folders: &[PathBuf], device: &Device) -> Result<Vec<Run>> {
    folders.iter().map(|folder| runs::read(folder, device)).collect()
}

fn same_data(runs: &[Run]) -> Result<()> {
    let base = &runs[0].config;
    for run in &runs[1..] {
        let c = &run.config;
        let split = (c.seed, c.test_fraction, c.train_samples);
        if c.data != base.data || split != (base.seed, base.test_fraction, base.train_samples) {
            bail!(
                Config,
                "evaluate: {} was trained on other data, or another split, than {}; models are \
                 compared on the same test samples, so train them with the same data and seed",
                run.name,
                runs[0].name
            );
        }
    }
    Ok(())
}

/// The data sets besides the models' own.
fn further(also: &[DataSource], base: &Run) -> Result<Vec<Dataset>> {
    let load = |source: &DataSource| {
        if *source == base.config.data {
            bail!(
                Config,
                "evaluate: the models are trained and measured on that data already; name another set \
                 in --also"
            );
        }
        source.test_set()
    };
    also.iter().map(load).collect()
}

fn strangers(runs: Vec<Run>) -> Vec<Stranger> {
    runs.into_iter().map(|run| Stranger { name: run.name, network: run.network }).collect()
}

fn contenders(runs: Vec<Run>) -> Vec<Contender> {
    let entry = |(i, run): (usize, Run)| Contender {
        name: run.name,
        network: run.network,
        baseline: i == 0,
        training: run.metrics.training,
    };
    runs.into_iter().enumerate().map(entry).collect()
}

/// The exact configuration, for the report.
fn exact<'a>(
    runs: impl Iterator<Item = (&'a PathBuf, &'a Run)>,
    plan: &Plan,
    backend: &str,
    seed: u64,
) -> Result<serde_json::Value> {
    let json = |e: serde_json::Error| Error::new(ErrorKind::Config, format!("configuration: {e}"));
    let mut models = serde_json::Map::new();
    for (folder, run) in runs {
        let config = serde_json::to_value(&run.config).map_err(json)?;
        models.insert(folder.display().to_string(), config);
    }
    Ok(serde_json::json!({
        "plan": serde_json::to_value(plan).map_err(json)?,
        "runs": models,
        "backend": backend,
        "seed": seed,
    }))
}
