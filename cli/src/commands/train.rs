//! `inocula train`: data and configuration in, run folder out.

use std::path::Path;
use std::time::Duration;

use inocula_core::model::Network;
use inocula_core::nn::init_params;
use inocula_core::optim::OptimizerConfig;
use inocula_core::report::TrainingReport;
use inocula_core::rng::Rng;
use inocula_core::train::{Ready, TrainConfig, Trained, warnings};
use inocula_core::{DType, Error, ErrorKind, Result, bail};

use super::{private, rule};
use crate::args::Train;
use crate::config::RunConfig;
use crate::progress::{Bar, Training};
use crate::runs::{self, Metrics};
use crate::unfinished::{self, Keeper};
use crate::{backends, output};

pub(super) fn run(flags: &Train, quiet: bool) -> Result<()> {
    let out = &flags.run.out;
    let config = if flags.resume { resumed(flags)? } else { configure(flags)? };
    refuse_federation(&config, flags)?;
    config.train.check()?;
    let every = every(flags)?;
    let device = backends::open(&config.backend)?;
    let (train, test) = config.datasets()?;
    let spec = config.model.spec(&train)?;
    let rng = Rng::new(config.seed);
    let params = init_params(&spec, &device, DType::F32, &rng.child("init"))?;
    let mut network = Network::new(spec, params, &device)?;
    // What depends on the shape and the number of the samples could not be known before: whether all
    // layers have gradients of samples, and the noise for an epsilon. It is known before anything is
    // written, or an unfinished run removed with its ledger.
    let own = rng.child("train");
    let ready = Ready::new(&network, train.len(), &config.train, &own)?;
    runs::prepare(out, "metrics.json", flags.run.force || flags.resume)?;
    if !flags.resume {
        begin_anew(out, flags.run.force)?;
    }

    let name = config.train.describe();
    let mut bar = Bar::new(quiet);
    let shown = Training { bar: &mut bar, name: &name };
    let mut keeper = Keeper::new(shown, out, &config, train.len(), every);
    let state = if flags.resume { keeper.take_up(&device)? } else { None };
    let mut trained = ready.fit(state.as_ref(), &mut network, &train, Some(&test), &mut keeper)?;
    if let Some(budget) = &mut trained.privacy {
        budget.warnings.extend(private::scaled_by_the_data(&config.data));
    }
    let training = report(trained, &config.train, test.len());
    let ledger = keeper.ledger();
    bar.clear();
    let metrics = Metrics::of(&config, &network, &train, &test, Some(training))?;
    runs::write(out, &config, &network, &metrics, ledger.as_deref())?;
    unfinished::remove(out)?;
    summarize(&metrics);
    output::line(format!("Written: {}", out.display()));
    Ok(())
}

/// What is told of a training that was judged on `held_out` samples after each epoch.
pub(super) fn report(trained: Trained, config: &TrainConfig, held_out: usize) -> TrainingReport {
    let Trained { history, privacy, seconds } = trained;
    let doubts = privacy.iter().flat_map(|budget| budget.warnings.iter().cloned());
    TrainingReport {
        description: config.describe(),
        seconds,
        warnings: warnings(config, held_out, &history).into_iter().chain(doubts).collect(),
        history,
        privacy,
    }
}

/// The configuration of the run to be resumed, which flags must not change.
fn resumed(flags: &Train) -> Result<RunConfig> {
    let out = &flags.run.out;
    if flags.run.force {
        bail!(
            Config,
            "train: --resume goes on with a run and --force starts anew; pass one of them"
        );
    }
    let config = unfinished::config(out)?;
    let asked = configure(flags)?;
    if asked != RunConfig::default() && asked != config {
        bail!(
            Config,
            "train: {} was started with another configuration; with --resume, pass nothing but --out",
            out.display()
        );
    }
    Ok(config)
}

/// A federation is another command's.
fn refuse_federation(config: &RunConfig, flags: &Train) -> Result<()> {
    if config.federation.is_none() {
        return Ok(());
    }
    let out = flags.run.out.display();
    let resume = if flags.resume { "--resume " } else { "" };
    bail!(
        Config,
        "train: the configuration has a federation section; use `inocula federate simulate {resume}--out \
         {out}`, or remove it"
    )
}

/// Sees to it that no other run is under way in the folder.
pub(super) fn begin_anew(out: &Path, force: bool) -> Result<()> {
    if unfinished::is_there(out) && !force {
        bail!(
            Io,
            "{} holds an unfinished run; pass --resume to go on with it, or --force to start anew",
            out.display()
        );
    }
    unfinished::remove(out)
}

/// Time between two writings of the state.
pub(super) fn every(flags: &Train) -> Result<Option<Duration>> {
    let Some(seconds) = flags.checkpoint_every else { return Ok(None) };
    Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| {
        let message = format!("--checkpoint-every {seconds} must be a number of seconds, say 60");
        Error::new(ErrorKind::Config, message)
    })
}

pub(super) fn summarize(metrics: &Metrics) {
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
    if let Some(budget) = metrics.training.as_ref().and_then(|t| t.privacy.as_ref()) {
        output::line(format!("claimed {}", budget.line()));
    }
    for warning in metrics.training.iter().flat_map(|t| &t.warnings) {
        output::line(format!("warning: {warning}"));
    }
}

/// The file, with what the flags change.
pub(super) fn configure(flags: &Train) -> Result<RunConfig> {
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
    rule::configure(flags, &mut config.train)?;
    private::configure(&flags.private, &mut config.train)?;
    Ok(config)
}
