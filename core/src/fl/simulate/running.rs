//! A simulation while it runs: who is in a round, what becomes of them, and the step of the server.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::account::Accounts;
use super::collect::{Collector, Masks, Sent, Step};
use super::judge::Judge;
use super::state::{Notes, State, identity};
use super::{Outcome, RoundRecord, Simulation, Watcher};
use crate::fl::client::Round;
use crate::fl::pool;
use crate::fl::privacy::PrivateRounds;
use crate::fl::update::{flatten, round_to, unflatten};
use crate::fl::{Late, Stragglers};
use crate::model::Network;
use crate::rng::Rng;
use crate::{Result, bail};

/// A simulation between or in rounds.
pub(super) struct Running<'a> {
    simulation: &'a Simulation<'a>,
    /// The rows of each client.
    parts: Vec<Vec<usize>>,
    /// Whether each attacks.
    attacking: Vec<bool>,
    /// One on each device, its weights whatever it was used for last.
    networks: Vec<Network>,
    judge: Judge<'a>,
    weights: Vec<f64>,
    /// What the server's optimiser remembers.
    memory: Vec<Vec<f64>>,
    notes: Notes,
    private: Option<PrivateRounds>,
    accounts: Option<Accounts>,
    /// When this part of it began.
    started: Instant,
}

/// What becomes of a client in a round.
enum Fate {
    Dropped,
    Late,
    Trains(usize),
}

/// A client that trains in a round: its place among those of the round, its number, its epochs.
type Task = (usize, usize, usize);

impl<'a> Running<'a> {
    pub(super) fn new(
        simulation: &'a Simulation<'a>,
        network: &Network,
        state: Option<&State>,
    ) -> Result<Self> {
        let Simulation { train, test, config, federation, devices, rng, .. } = *simulation;
        let parts =
            federation.partition.split(&train.labels, train.classes, federation.clients, rng)?;
        let mut attacking = vec![false; federation.clients];
        if let Some(attackers) = &federation.attackers {
            let chosen = rng.child("attackers").choose(federation.clients, attackers.count);
            chosen.into_iter().for_each(|client| attacking[client] = true);
        }
        let networks = devices
            .iter()
            .map(|d| Network::new(network.spec().clone(), network.params().to_device(d)?, d));
        let networks = networks.collect::<Result<_>>()?;
        let weights = flatten(network.params())?;
        let mut running = Running {
            parts,
            attacking,
            networks,
            judge: Judge::new(config, federation, test, rng)?,
            memory: federation.server.start(weights.len()),
            weights,
            notes: Notes::new(identity(simulation, network)?),
            private: None,
            accounts: None,
            started: Instant::now(),
            simulation,
        };
        if let Some(state) = state {
            state.check(&running.notes.identity, running.weights.len(), running.memory.len())?;
            running.weights.clone_from(&state.weights);
            running.memory.clone_from(&state.memory);
            running.notes = state.notes.clone();
        }
        running.open_ledgers()?;
        Ok(running)
    }

    /// Opens what privacy is recorded in, and holds it against the state.
    fn open_ledgers(&mut self) -> Result<()> {
        let Simulation { config, federation, ledger, rng, .. } = *self.simulation;
        let Some(ledger) = ledger else { return Ok(()) };
        if let Some(privacy) = &federation.privacy {
            let (clients, rounds) = (federation.clients, federation.rounds);
            let rate = federation.sampled() as f64 / clients as f64;
            let private = PrivateRounds::new(privacy, clients, rate, rounds, ledger, rng)?;
            let known = self.notes.recorded.first().copied().unwrap_or(0);
            if private.recorded() < known {
                bail!(
                    Data,
                    "{}: {} noisy rounds where {known} were taken; restore the ledger from a copy, or \
                     start anew",
                    ledger.display(),
                    private.recorded()
                );
            }
            self.private = Some(private);
        } else if let Some(private) = &config.private {
            crate::fs::create_dir(ledger)?;
            let mut accounts = Accounts::new(federation.clients, private.delta, private.sampling);
            accounts.restore(ledger, &self.notes.recorded)?;
            self.accounts = Some(accounts);
        }
        Ok(())
    }

    pub(super) fn rounds_done(&self) -> usize {
        self.notes.history.len()
    }

    fn seconds(&self) -> f64 {
        self.notes.seconds + self.started.elapsed().as_secs_f64()
    }

    pub(super) fn state(&self) -> State {
        let recorded = match (&self.private, &self.accounts) {
            (Some(private), _) => vec![private.recorded()],
            (None, Some(accounts)) => accounts.recorded(),
            (None, None) => Vec::new(),
        };
        let notes = Notes { recorded, seconds: self.seconds(), ..self.notes.clone() };
        State { notes, weights: self.weights.clone(), memory: self.memory.clone() }
    }

    /// The next round.
    pub(super) fn round(&mut self, watcher: &mut dyn Watcher) -> Result<RoundRecord> {
        let (began, federation) = (Instant::now(), self.simulation.federation);
        let number = self.rounds_done() + 1;
        let selected = self.selected(number);
        let mut record = RoundRecord { round: number, ..RoundRecord::default() };
        let tasks = self.tasks(number, &selected, &mut record);
        let step = self.train(number, &selected, &tasks, &mut record, watcher)?;
        self.descend(number, step, &mut record)?;
        if number.is_multiple_of(federation.evaluate_every) || number == federation.rounds {
            let tick = &mut || watcher.tick();
            self.judge.measure(&mut self.networks, &self.weights, &mut record, tick)?;
        }
        record.epsilon = match (&self.private, &mut self.accounts) {
            (Some(private), _) => Some(private.epsilon()?),
            (None, Some(accounts)) => Some(accounts.epsilon()?),
            (None, None) => None,
        };
        if self.private.is_none() {
            record.selected = Some(selected.len());
        } else {
            // What depends on who came is not covered by the noise.
            (record.answered, record.loss) = (None, None);
            (record.dropped, record.late, record.failed, record.cut_off) = (0, 0, 0, 0);
            record.held = 0;
        }
        record.seconds = began.elapsed().as_secs_f64();
        self.notes.history.push(record.clone());
        Ok(record)
    }

    /// The clients of a round, ascending.
    fn selected(&self, round: usize) -> Vec<usize> {
        let Simulation { federation, rng, .. } = *self.simulation;
        if let Some(private) = &self.private {
            return private.clients(round);
        }
        let mut rng = rng.child("clients").index(round as u64);
        let mut selected = rng.choose(federation.clients, federation.sampled());
        selected.sort_unstable();
        selected
    }

    /// Who of them trains, and for how many epochs.
    fn tasks(&self, round: usize, selected: &[usize], record: &mut RoundRecord) -> Vec<Task> {
        let mut tasks = Vec::new();
        for (place, &client) in selected.iter().enumerate() {
            match self.fate(round, client) {
                Fate::Dropped => record.dropped += 1,
                Fate::Late => record.late += 1,
                Fate::Trains(epochs) => {
                    record.late += usize::from(epochs < self.simulation.config.epochs);
                    tasks.push((place, client, epochs));
                }
            }
        }
        tasks
    }

    fn fate(&self, round: usize, client: usize) -> Fate {
        let Simulation { config, federation, rng, .. } = *self.simulation;
        let draws =
            |what: &str| -> Rng { rng.child(what).index(client as u64).index(round as u64) };
        if draws("dropout").bernoulli(federation.dropout) {
            return Fate::Dropped;
        }
        match &federation.stragglers {
            Some(Stragglers { share, late }) => {
                let mut rng = draws("stragglers");
                match (rng.bernoulli(*share), late) {
                    (false, _) => Fate::Trains(config.epochs),
                    (true, Late::Dropped) => Fate::Late,
                    (true, Late::Partial) => Fate::Trains(1 + rng.below(config.epochs)),
                }
            }
            None => Fate::Trains(config.epochs),
        }
    }

    /// Trains the clients of a round and takes in what they send.
    fn train(
        &mut self,
        number: usize,
        selected: &[usize],
        tasks: &[Task],
        record: &mut RoundRecord,
        watcher: &mut dyn Watcher,
    ) -> Result<Step> {
        let Simulation { train, config, federation, ledger, rng, .. } = *self.simulation;
        let largest = self.parts.iter().map(Vec::len).max().unwrap_or(1);
        let masks = Masks::new(federation, selected.len(), largest)?;
        let mut collector = Collector::new(federation, masks.as_ref(), self.weights.len());
        let attackers = selected.iter().filter(|&&client| self.attacking[client]).count();
        let round = Round {
            train,
            config,
            federation,
            parts: &self.parts,
            attacking: &self.attacking,
            ledgers: ledger.filter(|_| config.private.is_some()),
            rng,
            weights: &self.weights,
            number,
            sizes: [selected.len(), attackers],
        };
        let job = |network: &mut Network, i: usize, stop: &AtomicBool| {
            let (place, client, epochs) = tasks[i];
            let answer = round.answer(network, client, epochs, stop)?;
            let mut update = match (answer.update, &federation.privacy) {
                (Some(update), _) => update,
                (None, None) => return Ok((None, answer.spent)),
                // That one had nothing to send must not show.
                (None, Some(_)) => round.nothing(client),
            };
            if let Some(privacy) = &federation.privacy {
                privacy.clipped(&mut update.delta);
            }
            let sent = match &masks {
                Some(masks) => masks.mask(federation, place, &update)?,
                None => Sent::Plain(update),
            };
            Ok((Some(sent), answer.spent))
        };
        let accounts = &mut self.accounts;
        let shared = std::cell::RefCell::new(watcher);
        let sink = |i: usize, (sent, spent)| {
            let (place, client, _) = tasks[i];
            if let Some(accounts) = accounts {
                accounts.set(client, spent);
            }
            match sent {
                Some(sent) => collector.add(place, sent)?,
                None => record.failed += 1,
            }
            shared.borrow_mut().client(number, i + 1, tasks.len())
        };
        let tick = || shared.borrow_mut().tick();
        let peak = pool::ordered(&mut self.networks, tasks.len(), job, sink, tick)?;
        record.held = peak.max(collector.kept());
        record.answered = Some(collector.answered);
        (record.loss, record.cut_off) = (collector.loss(), collector.cut_off);
        collector.finish(masks, self.weights.len())
    }

    /// Moves the weights of the server.
    fn descend(&mut self, round: usize, step: Step, record: &mut RoundRecord) -> Result<()> {
        let step = match (step, &mut self.private) {
            (Step::PrivateSum(sum), Some(private)) => private.release(round, sum)?,
            (Step::Mean(step) | Step::PrivateSum(step), _) => step,
            (Step::Lost, _) => {
                record.lost = true;
                return Ok(());
            }
        };
        let server = &self.simulation.federation.server;
        server.step(&mut self.weights, &mut self.memory, &step);
        if let Some(network) = self.networks.first() {
            round_to(network.dtype(), &mut self.weights);
        }
        if self.weights.iter().any(|w| !w.is_finite()) {
            bail!(
                Numeric,
                "federation: weights became infinite in round {round}; lower the learning rates, or \
                 choose a rule that attackers do not break"
            );
        }
        Ok(())
    }

    /// Puts the weights into `network`.
    pub(super) fn finish(self, network: &mut Network) -> Result<Outcome> {
        unflatten(network, &self.weights)?;
        let seconds = self.seconds();
        let privacy = self.private.as_ref().map(|p| p.budget(self.rounds_done())).transpose()?;
        let clients = self.accounts.as_ref().map(|a| a.budgets(&self.parts)).transpose()?;
        Ok(Outcome {
            privacy,
            clients: clients.unwrap_or_default(),
            history: self.notes.history,
            seconds,
        })
    }
}
