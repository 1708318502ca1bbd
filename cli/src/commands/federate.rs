//! `inocula federate simulate`: a federation of simulated clients, run folder out.
//!
//! The folder is that of a training, so that the other commands take it: `config.toml` has a section
//! `federation`, `metrics.json` the rounds. Ledgers of clients that train privately are in `ledgers`.

use std::path::Path;
use std::time::Duration;

use inocula_core::fl::{
    Attacker, Attackers, ClientPrivacy, Federation, Late, Outcome, Partition, Secure, Simulation,
    State, Stragglers,
};
use inocula_core::model::Network;
use inocula_core::nn::init_params;
use inocula_core::optim::OptimizerConfig;
use inocula_core::report::{EpochRecord, TrainingReport};
use inocula_core::rng::Rng;
use inocula_core::{DType, Device, Error, ErrorKind, Result, bail};

use super::{private, train};
use crate::args::{ClientPrivacyFlags, Federate, FederateCommand, Simulate, Train};
use crate::config::RunConfig;
use crate::federation::Keeper;
use crate::progress::Bar;
use crate::runs::{self, FederationReport, Metrics};
use crate::unfinished::{self, LEDGER};
use crate::{backends, output};

/// The folder of the clients' ledgers within a run folder.
const LEDGERS: &str = "ledgers";

pub(super) fn run(flags: &Federate, quiet: bool) -> Result<()> {
    match &flags.command {
        FederateCommand::Simulate(flags) => simulate(flags, quiet),
        FederateCommand::Init(flags) => super::join::init(flags),
        FederateCommand::Join(flags) => super::join::run(flags, quiet),
    }
}

fn simulate(flags: &Simulate, quiet: bool) -> Result<()> {
    let (run, out) = (&flags.train.run, &flags.train.run.out);
    let config = if flags.train.resume { resumed(flags)? } else { configure(flags)? };
    let Some(federation) = &config.federation else {
        bail!(Config, "federate: the configuration has no federation section; add one");
    };
    federation.check(&config.train)?;
    let every = train::every(&flags.train)?.unwrap_or(Duration::ZERO);
    let device = backends::open(&config.backend)?;
    let devices = devices(&config.backend, flags.jobs)?;
    let (train, test) = config.datasets()?;
    federation.check_for(&train)?;
    let spec = config.model.spec(&train)?;
    let rng = Rng::new(config.seed);
    let params = init_params(&spec, &device, DType::F32, &rng.child("init"))?;
    let mut network = Network::new(spec, params, &device)?;
    let ledger = match (&federation.privacy, &config.train.private) {
        (Some(_), _) => Some(unfinished::folder(out).join(LEDGER)),
        (None, Some(_)) => Some(out.join(LEDGERS)),
        (None, None) => None,
    };
    let simulation = Simulation {
        train: &train,
        test: &test,
        config: &config.train,
        federation,
        devices: &devices,
        ledger: ledger.as_deref(),
        rng: &rng.child("federation"),
    };
    // Before anything is written, or an unfinished run removed with its ledgers.
    simulation.check(&network)?;
    runs::prepare(out, "metrics.json", run.force || flags.train.resume)?;
    if !flags.train.resume {
        train::begin_anew(out, run.force)?;
        remove_ledgers(out)?;
    }

    let mut bar = Bar::new(quiet);
    let mut keeper = Keeper::new(&mut bar, out, &config, every)?;
    let state = if flags.train.resume { keeper.take_up()? } else { None };
    known_steps(state.as_ref(), ledger.as_deref())?;
    let ran = simulation.run(&mut network, state.as_ref(), &mut keeper);
    let failed = ran.as_ref().is_err_and(|err| err.kind() != ErrorKind::Cancelled);
    if failed && !flags.train.resume && !keeper.has_rounds() {
        // Nothing of it was seen by anybody, so there is nothing to go on with or to account for.
        unfinished::remove(out)?;
        remove_ledgers(out)?;
    }
    let outcome = ran?;
    bar.clear();
    let description = format!("{}; clients: {}", federation.describe(), config.train.describe());
    let mut training = training(&outcome, description);
    if federation.privacy.is_some() || config.train.private.is_some() {
        training.warnings.extend(private::scaled_by_the_data(&config.data));
    }
    let mut metrics = Metrics::of(&config, &network, &train, &test, Some(training))?;
    let central = ledger.filter(|_| federation.privacy.is_some());
    metrics.federation =
        Some(FederationReport { rounds: outcome.history, clients: outcome.clients });
    runs::write(out, &config, &network, &metrics, central.as_deref())?;
    unfinished::remove(out)?;
    summarize(&metrics);
    output::line(format!("Written: {}", out.display()));
    Ok(())
}

/// Noisy steps without a state that knows of them cannot be gone on with, and neither can rounds without
/// what recorded them: it would be made anew, and epsilon with it. How many steps there are is held against
/// the state by the simulation itself.
fn known_steps(state: Option<&State>, ledger: Option<&Path>) -> Result<()> {
    let Some(path) = ledger else { return Ok(()) };
    if let Some(state) = state {
        return recorded_rounds(state.rounds(), path);
    }
    let steps = match path.is_file() {
        true => inocula_core::dp::ledger::read(path)?.steps(),
        false => 0,
    };
    if steps > 0 {
        bail!(
            Data,
            "{}: has noisy rounds, and the state beside it is missing; restore it from a copy, or pass \
             --force in place of --resume to start anew",
            path.display()
        );
    }
    Ok(())
}

/// Refuses rounds whose ledger, or folder of ledgers, is gone or emptied.
fn recorded_rounds(rounds: usize, path: &Path) -> Result<()> {
    let there = std::fs::metadata(path).is_ok_and(|found| found.is_dir() || found.len() > 0);
    if rounds > 0 && !there {
        bail!(
            Data,
            "{}: missing or empty, and the state of the federation knows of {rounds} rounds: epsilon would \
             be under-counted; restore it from a copy, or begin anew with --force in place of --resume",
            path.display()
        );
    }
    Ok(())
}

fn remove_ledgers(out: &Path) -> Result<()> {
    let folder = out.join(LEDGERS);
    match std::fs::remove_dir_all(&folder) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(&folder, "remove", &err))
        }
        _ => Ok(()),
    }
}

/// The devices that clients are trained on: one of one thread for each core where nothing else is
/// said, because clients are independent and operations on their small batches are not worth two threads.
fn devices(spec: &str, jobs: Option<usize>) -> Result<Vec<Device>> {
    if jobs == Some(0) {
        bail!(Config, "--jobs 0 trains nobody; pass at least 1, or leave it out for all cores");
    }
    let name = spec.split([':', '?']).next().unwrap_or(spec);
    let plain = name == "ndarray" && !spec.contains("threads=");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = jobs.unwrap_or(if plain { cores } else { 1 });
    let spec = match (plain, spec.contains('?')) {
        (true, true) => format!("{spec}&threads=1"),
        (true, false) => format!("{spec}?threads=1"),
        (false, _) => spec.to_owned(),
    };
    (0..jobs).map(|_| backends::open(&spec)).collect()
}

/// The rounds as a training whose epochs they are.
fn training(outcome: &Outcome, description: String) -> TrainingReport {
    let epoch = |r: &inocula_core::fl::RoundRecord| EpochRecord {
        epoch: r.round,
        loss: r.loss,
        clean_accuracy: r.clean_accuracy,
        robust_accuracy: r.robust_accuracy,
        one_step_accuracy: None,
        epsilon: r.epsilon,
    };
    let doubts = outcome.privacy.iter().flat_map(|budget| budget.warnings.iter().cloned());
    let lost = outcome.history.iter().filter(|r| r.lost).count();
    let lost =
        (lost > 0).then(|| format!("{lost} rounds changed nothing: too few clients answered"));
    TrainingReport {
        description,
        seconds: outcome.seconds,
        history: outcome.history.iter().map(epoch).collect(),
        warnings: doubts.chain(lost).collect(),
        privacy: outcome.privacy.clone(),
    }
}

fn summarize(metrics: &Metrics) {
    train::summarize(metrics);
    let Some(FederationReport { rounds, clients }) = &metrics.federation else { return };
    if let Some(rate) = rounds.last().and_then(|r| r.backdoor_rate) {
        output::line(format!("backdoor opens for {:.2} % of other classes", 100.0 * rate));
    }
    let most = clients.iter().max_by(|a, b| a.epsilon.total_cmp(&b.epsilon));
    if let Some(most) = most {
        output::line(format!(
            "claimed for the samples of each of {} clients: epsilon at most {:.4} at delta {} (client {}, \
             {} samples)",
            clients.len(),
            most.epsilon,
            most.delta,
            most.client,
            most.samples
        ));
    }
}

/// The configuration of the federation to be resumed, which flags must not change.
fn resumed(flags: &Simulate) -> Result<RunConfig> {
    let out = &flags.train.run.out;
    if flags.train.run.force {
        bail!(
            Config,
            "federate: --resume goes on with a run and --force starts anew; pass one of them"
        );
    }
    let config = unfinished::config(out)?;
    if config.federation.is_none() {
        bail!(
            Config,
            "federate: {} holds an unfinished training; go on with `inocula train --resume --out {}`",
            out.display(),
            out.display()
        );
    }
    let asked = configure(flags)?;
    if asked != usual() && asked != config {
        bail!(
            Config,
            "federate: {} was started with another configuration; with --resume, pass nothing but --out \
             and --jobs",
            out.display()
        );
    }
    Ok(config)
}

/// What a federation is without a file and flags: local steps of plain SGD, as in the literature.
pub(super) fn usual() -> RunConfig {
    let mut config = RunConfig { federation: Some(Federation::default()), ..RunConfig::default() };
    config.train.epochs = 1;
    config.train.batch_size = 32;
    config.train.optimizer = plain_sgd(None);
    config
}

fn plain_sgd(lr: Option<f64>) -> OptimizerConfig {
    OptimizerConfig::Sgd(inocula_core::optim::Sgd {
        lr: lr.unwrap_or(0.1),
        momentum: 0.0,
        weight_decay: 0.0,
    })
}

/// What a client trains: the file, with what the flags change.
pub(super) fn client(flags: &Train) -> Result<RunConfig> {
    let mut config = train::configure(flags)?;
    if flags.run.config.is_none() {
        let usual = usual().train;
        config.train.epochs = flags.epochs.unwrap_or(usual.epochs);
        config.train.batch_size = flags.batch_size.unwrap_or(usual.batch_size);
        if flags.optimizer.is_none() {
            config.train.optimizer = plain_sgd(flags.lr);
        }
    }
    Ok(config)
}

/// The file, with what the flags change.
fn configure(flags: &Simulate) -> Result<RunConfig> {
    let mut config = client(&flags.train)?;
    let mut federation = config.federation.take().unwrap_or_default();
    sizes(flags, &mut federation)?;
    faults(flags, &mut federation)?;
    attackers(flags, &mut federation)?;
    server(flags, &mut federation)?;
    privacy(&flags.privacy, &mut federation);
    if flags.secure || flags.secure_range.is_some() {
        let mut secure: Secure = federation.secure.take().unwrap_or_default();
        secure.range = flags.secure_range.unwrap_or(secure.range);
        federation.secure = Some(secure);
    }
    config.federation = Some(federation);
    Ok(config)
}

fn sizes(flags: &Simulate, federation: &mut Federation) -> Result<()> {
    federation.clients = flags.clients.unwrap_or(federation.clients);
    federation.rounds = flags.rounds.unwrap_or(federation.rounds);
    federation.per_round = flags.per_round.or(federation.per_round);
    federation.evaluate_every = flags.evaluate_every.unwrap_or(federation.evaluate_every);
    partition(flags.partition.as_deref(), flags.alpha, federation)
}

/// How data are divided among clients, with what flags change.
pub(super) fn partition(
    name: Option<&str>,
    alpha: Option<f64>,
    federation: &mut Federation,
) -> Result<()> {
    let given = federation.partition.alpha();
    let asked = alpha;
    let alpha = alpha.or(given).unwrap_or(0.5);
    match (name, asked, given) {
        (Some(name), _, _) => federation.partition = Partition::named(name, alpha)?,
        (None, Some(_), None) => bail!(
            Config,
            "--alpha is for --partition dirichlet or dirichlet_by_class; pass one of them"
        ),
        (None, Some(_), Some(_)) => match &mut federation.partition {
            Partition::Dirichlet { alpha: a } | Partition::DirichletByClass { alpha: a } => {
                *a = alpha
            }
            Partition::Iid {} => {}
        },
        (None, None, _) => {}
    }
    Ok(())
}

fn faults(flags: &Simulate, federation: &mut Federation) -> Result<()> {
    federation.dropout = flags.dropout.unwrap_or(federation.dropout);
    if flags.late.is_some() && flags.stragglers.is_none() && federation.stragglers.is_none() {
        bail!(Config, "--late is for slow clients; pass --stragglers SHARE, say 0.5");
    }
    if flags.stragglers.is_some() || flags.late.is_some() {
        let given = federation.stragglers.take();
        let late = match flags.late.as_deref() {
            Some("dropped") => Late::Dropped,
            Some(_) => Late::Partial,
            None => given.as_ref().map_or(Late::default(), |s| s.late),
        };
        let share = flags.stragglers.or(given.map(|s| s.share)).unwrap_or(0.0);
        federation.stragglers = Some(Stragglers { share, late });
    }
    Ok(())
}

fn attackers(flags: &Simulate, federation: &mut Federation) -> Result<()> {
    let silent =
        flags.attackers.is_none() && flags.attacker.is_none() && flags.attacker_strength.is_none();
    if silent {
        return Ok(());
    }
    let given = federation.attackers.take();
    let attacker = match (&flags.attacker, &given) {
        (Some(name), Some(given)) if given.attacker.name() == name => given.attacker.clone(),
        (Some(name), _) => Attacker::named(name)?,
        (None, Some(given)) => given.attacker.clone(),
        (None, None) => {
            bail!(Config, "--attackers: what do they do? pass --attacker NAME, say sign_flip")
        }
    };
    let Some(count) = flags.attackers.or(given.map(|a| a.count)) else {
        bail!(Config, "--attacker: how many are they? pass --attackers COUNT");
    };
    let mut attackers = Attackers { count, attacker };
    if let Some(strength) = flags.attacker_strength {
        attackers.attacker.set_strength(strength)?;
    }
    federation.attackers = Some(attackers);
    Ok(())
}

/// After the attackers, whose number the robust rules count on.
fn server(flags: &Simulate, federation: &mut Federation) -> Result<()> {
    for name in flags.server.iter().flatten() {
        federation.set_aggregator(name)?;
    }
    if let Some(count) = flags.byzantine {
        federation.aggregate.set_byzantine(count)?;
    }
    federation.proximal = flags.mu.unwrap_or(federation.proximal);
    if let Some(lr) = flags.server_lr {
        federation.server.set_lr(lr);
    }
    Ok(())
}

/// Any of the flags makes a federation private; each replaces what the file says.
fn privacy(flags: &ClientPrivacyFlags, federation: &mut Federation) {
    let ClientPrivacyFlags {
        client_dp_sigma: sigma,
        client_dp_epsilon: epsilon,
        client_dp_delta: delta,
        client_dp_clip: clip,
        client_dp_cap: cap,
        client_dp_seeded: seeded,
    } = flags;
    let silent = [sigma, epsilon, delta, clip].iter().all(|flag| flag.is_none());
    if silent && cap.is_none() && !seeded {
        return;
    }
    let mut privacy: ClientPrivacy = federation.privacy.take().unwrap_or_default();
    if sigma.is_some() || epsilon.is_some() {
        (privacy.noise_multiplier, privacy.epsilon) = (*sigma, *epsilon);
    }
    privacy.delta = delta.unwrap_or(privacy.delta);
    privacy.clip = clip.unwrap_or(privacy.clip);
    privacy.cap = cap.or(privacy.cap);
    privacy.seeded |= seeded;
    federation.privacy = Some(privacy);
}
