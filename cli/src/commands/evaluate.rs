//! `inocula evaluate`: trained models against a baseline, one report.

use inocula_core::attack::ball::diameter;
use inocula_core::attack::{AttackConfig, Norm, Threat};
use inocula_core::evaluate::{Contender, Plan, evaluate};
use inocula_core::privacy::membership::Quick;
use inocula_core::rng::Rng;
use inocula_core::{Device, Error, ErrorKind, Result, bail};

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
    let runs = flags.runs.iter().map(|r| runs::read(r, &device)).collect::<Result<Vec<_>>>()?;
    same_data(&runs)?;
    runs::prepare(&flags.out, "report.json", flags.force)?;
    let base = &runs[0].config;
    let (train, test) = base.datasets()?;
    let bounds = [f64::from(test.bounds.0), f64::from(test.bounds.1)];
    let widest = diameter(plan.threat.norm, test.shape.iter().product(), bounds);
    plan.radii.retain(|radius| *radius > 0.0 && *radius <= widest);
    let seed = flags.seed.unwrap_or(base.seed);
    let config = exact(flags, &plan, &runs, &backend, seed)?;
    let contenders = contenders(runs);

    let mut bar = Bar::new(quiet);
    let rng = Rng::new(seed).child("evaluate");
    let mut findings =
        evaluate(&contenders, &train, &test, &plan, &rng, &mut |phase, done, total| {
            bar.show(phase, done, total)
        })?;
    bar.clear();
    for (model, folder) in findings.models.iter_mut().zip(&flags.runs) {
        match audits::found(folder)? {
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

/// The file, with what the flags change; without a file, FGSM and PGD-40 at `--eps`.
fn plan(flags: &Evaluate) -> Result<Plan> {
    let file: Option<Plan> = flags.config.as_deref().map(config::read).transpose()?;
    let threat = file.as_ref().map(|p| p.threat);
    let norm = flags.norm.or(threat.map(|t| t.norm)).unwrap_or(Norm::Linf);
    let Some(eps) = flags.eps.or(threat.map(|t| t.eps)) else {
        bail!(Config, "evaluate: pass --eps SIZE, the largest perturbation allowed, or a --config");
    };
    let threat = Threat::new(norm, eps);
    let mut plan = file.unwrap_or_else(|| Plan {
        threat,
        attacks: Vec::new(),
        radii: Vec::new(),
        samples: None,
        pictures: 8,
        membership: Quick::default(),
    });
    let rescaled = plan.threat != threat;
    plan.threat = threat;
    if let Some(names) = &flags.attacks {
        let attacks = names.iter().map(|n| AttackConfig::named(n, threat));
        plan.attacks = attacks.collect::<Result<_>>()?;
    } else if plan.attacks.is_empty() {
        let attacks = ["fgsm", "pgd"].iter().map(|n| AttackConfig::named(n, threat));
        plan.attacks = attacks.collect::<Result<_>>()?;
    } else if rescaled {
        plan.attacks = plan.attacks.iter().map(|a| a.with_threat(threat)).collect();
    }
    if plan.radii.is_empty() || rescaled {
        plan.radii = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0].iter().map(|f| f * eps).collect();
    }
    plan.samples = flags.samples.or(plan.samples);
    for attack in &plan.attacks {
        attack.check()?;
    }
    if plan.samples == Some(0) {
        bail!(Config, "evaluate: --samples 0 leaves nothing to attack");
    }
    Ok(plan)
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
fn exact(
    flags: &Evaluate,
    plan: &Plan,
    runs: &[Run],
    backend: &str,
    seed: u64,
) -> Result<serde_json::Value> {
    let json = |e: serde_json::Error| Error::new(ErrorKind::Config, format!("configuration: {e}"));
    let mut models = serde_json::Map::new();
    for (run, folder) in runs.iter().zip(&flags.runs) {
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
