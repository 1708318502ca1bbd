//! The same bits again: with other numbers of workers, and after a stop.

use std::path::{Path, PathBuf};

use inocula_core::attack::{AttackConfig, Norm, Pgd};
use inocula_core::fl::{
    Aggregate, Attacker, Attackers, ClientPrivacy, Federation, Late, Partition, Secure,
    ServerOptimizer, State, Stragglers, Watcher,
};
use inocula_core::train::{Private, Rule, TrainConfig};
use inocula_core::{DType, Device, Error, ErrorKind, Result};
use inocula_tests::harness::{Outcome, ensure};

use super::{How, network, sgd, timeless, weights};

fn madry() -> TrainConfig {
    let attack = AttackConfig::Pgd(Pgd { steps: 2, ..Pgd::new(Norm::Linf, 0.05) });
    let rule = Rule::Madry { attack: attack.clone() };
    TrainConfig { rule, monitor: Some(attack), monitor_samples: 40, ..sgd(2, 32) }
}

fn base() -> Federation {
    Federation {
        clients: 9,
        rounds: 3,
        per_round: Some(7),
        partition: Partition::Dirichlet { alpha: 0.5 },
        ..Federation::default()
    }
}

/// A name, how clients train, the federation, and whether privacy is recorded in a file or a folder.
type Config = (&'static str, TrainConfig, Federation);

/// Everything that a federation keeps from round to round, a configuration each.
fn configs() -> Result<Vec<Config>> {
    let attackers = Some(Attackers { count: 2, attacker: Attacker::named("gaussian")? });
    let faulty = Federation {
        dropout: 0.2,
        stragglers: Some(Stragglers { share: 0.5, late: Late::Partial }),
        ..base()
    };
    let adam = ServerOptimizer::Adam(Default::default());
    let privacy = |seeded| {
        let noise_multiplier = Some(0.5);
        Some(ClientPrivacy { noise_multiplier, seeded, ..ClientPrivacy::default() })
    };
    let seeded = Private { noise_multiplier: Some(1.0), seeded: true, ..Private::default() };
    let private = TrainConfig { private: Some(seeded), ..sgd(1, 16) };
    let krum = Aggregate::Krum { byzantine: 2 };
    Ok(vec![
        ("faults", madry(), faulty),
        ("krum", sgd(1, 32), Federation { aggregate: krum, attackers, ..base() }),
        ("fedadam", sgd(1, 32), Federation { server: adam, proximal: 0.1, ..base() }),
        ("fedavgm", sgd(1, 32), Federation { server: ServerOptimizer::momentum(), ..base() }),
        ("slack", sgd(1, 32), Federation { aggregate: Aggregate::slack(), ..base() }),
        ("clients", sgd(1, 32), Federation { privacy: privacy(true), ..base() }),
        ("samples", private, base()),
        ("secure", sgd(1, 32), Federation { secure: Some(Secure::default()), ..base() }),
    ])
}

fn ledger(folder: &Path, name: &str) -> PathBuf {
    folder.join(name)
}

pub(crate) fn workers(device: &Device) -> Outcome {
    let folder = tempfile::tempdir()?;
    for (name, config, federation) in configs()? {
        let run = |workers: usize| {
            let ledger = ledger(folder.path(), &format!("{name}-{workers}"));
            let how = How { device, workers, ledger: Some(&ledger) };
            how.whole(&config, &federation)
        };
        let (one, three) = (run(1)?, run(3)?);
        ensure(one.0 == three.0, || format!("{name}: other weights with three workers"))?;
        let (a, b) = (timeless(&one.1.history), timeless(&three.1.history));
        ensure(a == b, || format!("{name}: {a:?} with one worker, {b:?} with three"))?;
        ensure(one.1.clients == three.1.clients, || format!("{name}: other budgets"))?;
    }
    Ok(())
}

/// Writes the state after every round, and stops after so many.
struct StopAfter<'a> {
    path: &'a Path,
    rounds: usize,
}

impl Watcher for StopAfter<'_> {
    fn checkpoint(&mut self, state: &dyn Fn() -> State) -> Result<()> {
        state().save(self.path)?;
        if self.rounds == 0 {
            return Err(Error::new(ErrorKind::Cancelled, "stopped"));
        }
        self.rounds -= 1;
        Ok(())
    }
}

pub(crate) fn resumed(device: &Device) -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state");
    for (name, config, federation) in configs()? {
        let whole = ledger(folder.path(), &format!("{name}-whole"));
        let parts = ledger(folder.path(), &format!("{name}-parts"));
        let how = How { ledger: Some(&whole), ..How::on(device) };
        let (want, outcome) = how.whole(&config, &federation)?;
        let how = How { ledger: Some(&parts), workers: 1, ..How::on(device) };
        let mut network = network(device, DType::F32)?;
        let mut stop = StopAfter { path: &path, rounds: 1 };
        let stopped = how.run(&mut network, &config, &federation, None, &mut stop);
        ensure(stopped.is_err(), || format!("{name}: did not stop"))?;
        let state = State::load(&path)?;
        ensure(state.rounds() == 1, || format!("{name}: {} rounds are done", state.rounds()))?;
        let again = how.run(&mut network, &config, &federation, Some(&state), &mut ())?;
        ensure(weights(&network)? == want, || format!("{name}: other weights after a resume"))?;
        let (a, b) = (timeless(&outcome.history), timeless(&again.history));
        ensure(a == b, || format!("{name}: {a:?}, resumed {b:?}"))?;
        ensure(outcome.privacy == again.privacy, || format!("{name}: another budget"))?;
        ensure(outcome.clients == again.clients, || format!("{name}: other budgets"))?;
        refusals(&how, &state, &config, &federation)?;
    }
    Ok(())
}

/// A state is of one federation, and its ledgers must be there.
fn refusals(
    how: &How<'_>,
    state: &State,
    config: &TrainConfig,
    federation: &Federation,
) -> Outcome {
    let refused = |how: &How<'_>, federation: &Federation| -> Result<String> {
        let mut network = network(how.device, DType::F32)?;
        let ran = how.run(&mut network, config, federation, Some(state), &mut ());
        Ok(ran.err().map_or(String::new(), |e| e.to_string()))
    };
    let other = Federation { rounds: 4, ..federation.clone() };
    let text = refused(how, &other)?;
    ensure(text.contains("another federation"), || format!("taken up by another: {text}"))?;
    if federation.privacy.is_some() || config.private.is_some() {
        let lost = tempfile::tempdir()?;
        let ledger = lost.path().join("ledger");
        let text = refused(&How { ledger: Some(&ledger), ..How::on(how.device) }, federation)?;
        ensure(text.contains("restore"), || format!("steps were forgotten: {text}"))?;
    }
    Ok(())
}

/// A mean holds two updates for each worker, however many clients there are; a median holds all.
pub(crate) fn memory(device: &Device) -> Outcome {
    let base = Federation { clients: 60, rounds: 1, ..Federation::default() };
    for workers in [1, 3] {
        let how = How { workers, ..How::on(device) };
        let held = |aggregate: Aggregate| -> Result<usize> {
            let federation = Federation { aggregate, ..base.clone() };
            Ok(how.whole(&sgd(1, 32), &federation)?.1.history[0].held)
        };
        let (mean, median) = (held(Aggregate::default())?, held(Aggregate::Median {})?);
        ensure((1..=2 * workers).contains(&mean), || format!("{mean} held by {workers} workers"))?;
        ensure(median == 60, || format!("{median} of 60 were compared"))?;
    }
    Ok(())
}
