//! `inocula train`: data and configuration in, run folder out.

use std::time::Instant;

use inocula_core::attack::AttackConfig;
use inocula_core::data::{DataSource, Dataset};
use inocula_core::metrics::Confusion;
use inocula_core::model::{Network, predict};
use inocula_core::nn::init_params;
use inocula_core::optim::OptimizerConfig;
use inocula_core::place::Placement;
use inocula_core::report::{BackendSection, ClassificationReport, HostSection, TrainingReport};
use inocula_core::rng::Rng;
use inocula_core::train::{Rule, TrainConfig, fit};
use inocula_core::{DType, Result, bail};

use crate::args::Train;
use crate::config::{self, RunConfig};
use crate::progress::{Bar, Training};
use crate::runs::{self, Metrics};
use crate::{backends, output, reporting};

pub(super) fn run(flags: &Train, quiet: bool) -> Result<()> {
    let config = configure(flags)?;
    config.train.check()?;
    runs::prepare(&flags.out, "metrics.json", flags.force)?;
    let device = backends::registry().open(&config.backend)?;
    let (train, test) = config.datasets()?;
    let spec = config.model.spec(&train)?;
    let rng = Rng::new(config.seed);
    let params = init_params(&spec, &device, DType::F32, &rng.child("init"))?;
    let mut network = Network::new(spec, params, &device)?;

    let name = config.train.rule.describe();
    let training = train_one(&mut network, &train, &test, &config.train, &rng, &name, quiet)?;
    let test_scores = score(&network, &test)?;
    let metrics = Metrics {
        created: reporting::now(),
        program: reporting::program(),
        backend: BackendSection::new(&config.backend, device.info()),
        host: HostSection::current(),
        seed: config.seed,
        dataset: reporting::dataset(&train, &test),
        training,
        test: test_scores,
    };
    runs::write(&flags.out, &config, &network, &metrics)?;
    summarize(&metrics);
    output::line(format!("Written: {}", flags.out.display()));
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

fn score(network: &Network, test: &Dataset) -> Result<ClassificationReport> {
    let place = Placement { dtype: network.dtype(), ..Placement::new(network.device()) };
    let rows: Vec<usize> = (0..test.len()).collect();
    let mut predictions = Vec::with_capacity(test.len());
    for rows in place.portions(&rows) {
        predictions.extend(predict(network, &place.tensors(test, rows)?.0)?);
    }
    let confusion = Confusion::from_labels(&test.labels, &predictions, test.classes)?;
    ClassificationReport::new(&confusion, &test.class_names)
}

fn summarize(metrics: &Metrics) {
    let percent = |a: f64| format!("{:.2} %", 100.0 * a);
    output::line(format!(
        "{}: {} in {:.1} s on {}",
        metrics.dataset.name,
        metrics.training.description,
        metrics.training.seconds,
        metrics.backend.spec
    ));
    output::line(format!(
        "test accuracy {}, precision {}, recall {}, F1 {}",
        percent(metrics.test.accuracy),
        percent(metrics.test.precision),
        percent(metrics.test.recall),
        percent(metrics.test.f1)
    ));
    let last = metrics.training.history.last().and_then(|e| e.robust_accuracy);
    if let Some(robust) = last {
        output::line(format!("robust accuracy at the last epoch {}", percent(robust)));
    }
}

/// The file, with what the flags change.
fn configure(flags: &Train) -> Result<RunConfig> {
    let mut config: RunConfig = match &flags.config {
        Some(path) => config::read(path)?,
        None => RunConfig::default(),
    };
    if let Some(data) = &flags.data {
        config.data = DataSource::parse(data)?;
    }
    if let Some(model) = &flags.model {
        config.model = config::ModelConfig { preset: Some(model.clone()), layers: None };
    }
    if let Some(name) = &flags.optimizer {
        config.train.optimizer = OptimizerConfig::named(name, flags.lr)?;
    } else if let Some(lr) = flags.lr {
        config.train.optimizer.set_lr(lr);
    }
    config.seed = flags.seed.unwrap_or(config.seed);
    config.backend = flags.backend.clone().unwrap_or(config.backend);
    config.train_samples = flags.train_samples.or(config.train_samples);
    config.train.epochs = flags.epochs.unwrap_or(config.train.epochs);
    config.train.batch_size = flags.batch_size.unwrap_or(config.train.batch_size);
    configure_rule(flags, &mut config.train)?;
    Ok(config)
}

/// The attack flags go to the rule, and to the monitor where the file sets none.
fn configure_rule(flags: &Train, train: &mut TrainConfig) -> Result<()> {
    let current = match &train.rule {
        Rule::Standard {} => None,
        Rule::Mixed { attacks, .. } => attacks.first().cloned(),
        Rule::Madry { attack } => Some(attack.clone()),
    };
    let asked = flags.attack.any();
    let attack = |usual: &str| -> Result<AttackConfig> {
        let mut with_name = flags.attack.clone();
        if current.is_none() && with_name.attack.is_none() {
            with_name.attack = Some(usual.into());
        }
        with_name.apply(current.clone())
    };
    let old_ratio = match &train.rule {
        Rule::Mixed { ratio, .. } => Some(*ratio),
        _ => None,
    };
    let named = match (flags.rule.as_deref(), &train.rule) {
        (Some(name), _) => name,
        (None, Rule::Standard {}) => "standard",
        (None, Rule::Mixed { .. }) => "mixed",
        (None, Rule::Madry { .. }) => "madry",
    };
    if named != "mixed" && flags.ratio.is_some() {
        bail!(Config, "--ratio is for --rule mixed; the rule here is {named}");
    }
    let unchanged = flags.rule.is_none() && flags.ratio.is_none() && !asked;
    match named {
        "standard" if asked => {
            // Nothing to train on, but something to watch.
            train.monitor = Some(attack("pgd")?);
            train.rule = Rule::Standard {};
        }
        "standard" => train.rule = Rule::Standard {},
        _ if unchanged => {}
        "mixed" => {
            let ratio = flags.ratio.or(old_ratio).unwrap_or(0.5);
            train.rule = Rule::Mixed { ratio, attacks: vec![attack("fgsm")?] };
        }
        "madry" => train.rule = Rule::Madry { attack: attack("pgd")? },
        _ => bail!(Config, "--rule {named:?} is not one of standard, mixed, madry"),
    }
    if train.monitor.is_none() {
        train.monitor = match &train.rule {
            Rule::Standard {} => None,
            Rule::Mixed { attacks, .. } => attacks.first().cloned(),
            Rule::Madry { attack } => Some(attack.clone()),
        };
    }
    Ok(())
}
