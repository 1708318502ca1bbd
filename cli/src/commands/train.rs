//! `inocula train`: data and configuration in, run folder out.

use std::time::Instant;

use inocula_core::attack::AttackConfig;
use inocula_core::data::Dataset;
use inocula_core::error::nearest;
use inocula_core::model::Network;
use inocula_core::nn::init_params;
use inocula_core::optim::OptimizerConfig;
use inocula_core::report::TrainingReport;
use inocula_core::rng::Rng;
use inocula_core::train::{Rule, TrainConfig, fit};
use inocula_core::{DType, Result, bail};

use crate::args::Train;
use crate::config::RunConfig;
use crate::progress::{Bar, Training};
use crate::runs::{self, Metrics};
use crate::{backends, output};

pub(super) fn run(flags: &Train, quiet: bool) -> Result<()> {
    let config = configure(flags)?;
    config.train.check()?;
    let device = backends::open(&config.backend)?;
    runs::prepare(&flags.run.out, "metrics.json", flags.run.force)?;
    let (train, test) = config.datasets()?;
    let spec = config.model.spec(&train)?;
    let rng = Rng::new(config.seed);
    let params = init_params(&spec, &device, DType::F32, &rng.child("init"))?;
    let mut network = Network::new(spec, params, &device)?;

    let name = config.train.rule.describe();
    let training = train_one(&mut network, &train, &test, &config.train, &rng, &name, quiet)?;
    let metrics = Metrics::of(&config, &network, &train, &test, Some(training))?;
    runs::write(&flags.run.out, &config, &network, &metrics)?;
    summarize(&metrics);
    output::line(format!("Written: {}", flags.run.out.display()));
    Ok(())
}

/// Trains a network under a progress bar.
pub(super) fn train_one(
    network: &mut Network,
    train: &Dataset,
    test: &Dataset,
    config: &TrainConfig,
    rng: &Rng,
    name: &str,
    quiet: bool,
) -> Result<TrainingReport> {
    let started = Instant::now();
    let mut bar = Bar::new(quiet);
    let mut observer = Training { bar: &mut bar, name };
    let history = fit(network, train, Some(test), config, &rng.child("train"), &mut observer)?;
    bar.clear();
    Ok(TrainingReport {
        description: config.rule.describe(),
        seconds: started.elapsed().as_secs_f64(),
        history,
    })
}

fn summarize(metrics: &Metrics) {
    let percent = |a: f64| format!("{:.2} %", 100.0 * a);
    let test = &metrics.test;
    if let Some(training) = &metrics.training {
        output::line(format!(
            "{}: {} in {:.1} s on {}",
            metrics.dataset.name, training.description, training.seconds, metrics.backend.spec
        ));
    }
    output::line(format!(
        "test accuracy {}, precision {}, recall {}, F1 {}",
        percent(test.accuracy),
        percent(test.precision),
        percent(test.recall),
        percent(test.f1)
    ));
    let history = metrics.training.iter().flat_map(|t| &t.history);
    if let Some(robust) = history.last().and_then(|e| e.robust_accuracy) {
        output::line(format!("robust accuracy at the last epoch {}", percent(robust)));
    }
}

/// The file, with what the flags change.
fn configure(flags: &Train) -> Result<RunConfig> {
    let mut config = RunConfig::of(&flags.run)?;
    if let Some(name) = &flags.optimizer {
        let named = OptimizerConfig::named(name, flags.lr)?;
        // The constants of the file stay where the optimiser stays; `momentum` sets one of them.
        if named.name() != config.train.optimizer.name() || named.name() != name {
            config.train.optimizer = named;
        }
    }
    if let Some(lr) = flags.lr {
        config.train.optimizer.set_lr(lr);
    }
    config.train_samples = flags.train_samples.or(config.train_samples);
    config.train.epochs = flags.epochs.unwrap_or(config.train.epochs);
    config.train.batch_size = flags.batch_size.unwrap_or(config.train.batch_size);
    configure_rule(flags, &mut config.train)?;
    Ok(config)
}

/// The attack flags go to the attacks of the rule; with the standard rule, which has none, to the
/// monitor. A monitor that the file sets is otherwise left alone; without one it is the rule's attack.
fn configure_rule(flags: &Train, train: &mut TrainConfig) -> Result<()> {
    let attacks = train.rule.attacks().to_vec();
    let (old_name, old_ratio, old_beta) = match &train.rule {
        Rule::Standard {} => ("standard", None, None),
        Rule::Mixed { ratio, .. } => ("mixed", Some(*ratio), None),
        Rule::Madry { .. } => ("madry", None, None),
        Rule::Trades { beta, .. } => ("trades", None, Some(*beta)),
    };
    let name = flags.rule.as_deref().unwrap_or(old_name);
    if name != "mixed" && flags.ratio.is_some() {
        bail!(Config, "--ratio is for --rule mixed; the rule here is {name}");
    }
    if name != "trades" && flags.beta.is_some() {
        bail!(Config, "--beta is for --rule trades; the rule here is {name}");
    }
    train.rule = match name {
        "standard" => {
            if flags.attack.any() {
                let monitor = train.monitor.take();
                train.monitor = Some(changed(flags, monitor, "pgd")?);
            }
            Rule::Standard {}
        }
        "mixed" => Rule::Mixed {
            ratio: flags.ratio.or(old_ratio).unwrap_or(0.5),
            attacks: all_changed(flags, attacks, "fgsm")?,
        },
        "madry" => Rule::Madry { attack: only_one(name, all_changed(flags, attacks, "pgd")?)? },
        "trades" => Rule::Trades {
            beta: flags.beta.or(old_beta).unwrap_or(6.0),
            attack: only_one(name, all_changed(flags, attacks, "pgd")?)?,
        },
        _ => {
            let near = nearest(name, ["standard", "mixed", "madry", "trades"]);
            let hint = near.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            bail!(Config, "--rule {name:?} is not one of standard, mixed, madry, trades{hint}")
        }
    };
    if train.monitor.is_none() {
        train.monitor = train.rule.attacks().first().cloned();
    }
    Ok(())
}

/// The attack of a rule that has one.
fn only_one(rule: &str, mut attacks: Vec<AttackConfig>) -> Result<AttackConfig> {
    match attacks.pop() {
        Some(attack) if attacks.is_empty() => Ok(attack),
        _ => bail!(Config, "--rule {rule} has one attack, the file names {}", attacks.len() + 1),
    }
}

/// The attacks of a rule with what the flags change of each; at least one.
fn all_changed(
    flags: &Train,
    attacks: Vec<AttackConfig>,
    usual: &str,
) -> Result<Vec<AttackConfig>> {
    if attacks.is_empty() {
        return Ok(vec![changed(flags, None, usual)?]);
    }
    if attacks.len() > 1 && flags.attack.attack.is_some() {
        bail!(Config, "--attack names one attack, the file {}; change the file", attacks.len());
    }
    attacks.into_iter().map(|a| changed(flags, Some(a), usual)).collect()
}

/// An attack with what the flags change; `usual` names the one meant where neither does.
fn changed(flags: &Train, attack: Option<AttackConfig>, usual: &str) -> Result<AttackConfig> {
    let mut asked = flags.attack.clone();
    if attack.is_none() && asked.attack.is_none() {
        asked.attack = Some(usual.into());
    }
    asked.apply(attack)
}
