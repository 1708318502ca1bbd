//! One client in one round: its data, its training, and what it sends.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::update::{Update, flatten, unflatten};
use super::{Attacker, Federation};
use crate::data::Dataset;
use crate::dp::accounting::Mechanism;
use crate::dp::ledger::{Entry, Header, Ledger, Origin, Terms};
use crate::model::Network;
use crate::rng::Rng;
use crate::train::{Local, Observer, Ready, TrainConfig, Trained, fit_local};
use crate::{ErrorKind, Result, bail};

/// A round, as its clients see it.
pub(super) struct Round<'a> {
    pub(super) train: &'a Dataset,
    pub(super) config: &'a TrainConfig,
    pub(super) federation: &'a Federation,
    /// The rows of each client.
    pub(super) parts: &'a [Vec<usize>],
    /// Whether each attacks.
    pub(super) attacking: &'a [bool],
    /// The folder of the ledgers of private clients.
    pub(super) ledgers: Option<&'a Path>,
    pub(super) rng: &'a Rng,
    /// The weights that all are sent.
    pub(super) weights: &'a [f64],
    /// From 1.
    pub(super) number: usize,
    /// Clients of the round, and attackers among them.
    pub(super) sizes: [usize; 2],
}

/// How a client trains in a round, simulated or real.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// Its data.
    pub data: &'a Dataset,
    /// Its training; there is no monitor, and a batch larger than the data is all of them.
    pub config: &'a TrainConfig,
    /// mu of FedProx (Li et al. 2020, equation 2); 0 for none.
    pub proximal: f64,
    /// Whether the logarithms of its class shares are added to the logits (Chen et al. 2022, CalFAT).
    pub calibrate: bool,
    /// Shares of the whole training between which the round lies; schedules go by it.
    pub span: [f64; 2],
    /// Where it writes down what it spends, if it trains privately.
    pub ledger: Option<&'a Path>,
}

impl Client<'_> {
    /// The randomness of client number `client`, from 0, in a round, from 1; `rng` is the federation's.
    pub fn rng(rng: &Rng, client: usize, round: usize) -> Rng {
        rng.child("client").index(client as u64).index(round as u64)
    }

    /// Trains `network` from its weights: the mean loss of the last epoch, none from private training,
    /// and all that the ledger has after it. `tick` is called at every step, and stops it with an error.
    ///
    /// # Errors
    /// A constant is out of range, the loss became NaN, the device or the ledger failed, or `tick`
    /// stopped. What was spent by then is told all the same.
    pub fn train(
        &self,
        network: &mut Network,
        rng: &Rng,
        tick: &dyn Fn() -> Result<()>,
    ) -> (Result<Option<f64>>, Vec<Mechanism>) {
        let delta = self.config.private.as_ref().map_or(0.5, |p| p.delta);
        let terms = Terms { samples: self.data.len() as u64, delta };
        let header = match &self.config.private {
            Some(p) => terms.drawn(Origin { sampling: p.sampling, seeded: p.seeded }),
            None => terms.into(),
        };
        let mut watch = Watch::new(tick, self.ledger.map(Path::to_owned), header);
        let trained = self.fit(network, rng, &mut watch);
        let loss = trained.map(|t| t.history.last().and_then(|record| record.loss));
        (loss, watch.spent())
    }

    /// Checks what can be known of its training before the first step.
    ///
    /// # Errors
    /// A constant is out of range, or the rule does not go with the network or with privacy.
    pub(super) fn check(&self, network: &Network, rng: &Rng) -> Result<()> {
        let (config, local) = self.training();
        Ready::local(network, self.data.len(), &config, &local, rng).map(drop)
    }

    fn fit(&self, network: &mut Network, rng: &Rng, watch: &mut Watch<'_>) -> Result<Trained> {
        let (config, local) = self.training();
        watch.steps = self.data.len().div_ceil(config.batch_size.max(1)) as u64;
        fit_local(network, self.data, &config, &local, rng, watch)
    }

    fn training(&self) -> (TrainConfig, Local) {
        let config = TrainConfig {
            batch_size: self.config.batch_size.min(self.data.len()),
            monitor: None,
            ..self.config.clone()
        };
        let local = Local {
            proximal: self.proximal,
            priors: self.calibrate.then(|| shares(self.data)),
            span: self.span,
        };
        (config, local)
    }
}

/// What came of a client.
pub(super) struct Answer {
    /// Its update; none if its loss was no number, so that it has nothing to send.
    pub(super) update: Option<Update>,
    /// All that its ledger has, if it trains privately.
    pub(super) spent: Vec<Mechanism>,
}

impl Round<'_> {
    /// Trains `client` for `epochs` epochs on the device of `network`, whose weights do not matter.
    pub(super) fn answer(
        &self,
        network: &mut Network,
        client: usize,
        epochs: usize,
        stop: &AtomicBool,
    ) -> Result<Answer> {
        let rng = Client::rng(self.rng, client, self.number);
        let attacker = self.attacker(client);
        let mut delta = vec![0.0; self.weights.len()];
        // Who does not train says what serves it.
        let (mut loss, mut spent) = (Some(0.0), Vec::new());
        if attacker.is_none_or(Attacker::trains) {
            unflatten(network, self.weights)?;
            let data = self.data(client, attacker, &rng);
            let trained;
            (trained, spent) = self.train(network, client, &data, epochs, &rng, stop);
            match trained {
                Ok(last) => loss = last,
                // One client's divergence is that client's.
                Err(err) if err.kind() == ErrorKind::Numeric => {
                    return Ok(Answer { update: None, spent });
                }
                Err(err) => return Err(err.context(format!("client {client}"))),
            }
            let sent = self.weights;
            delta = flatten(network.params())?.iter().zip(sent).map(|(w, from)| w - from).collect();
            if delta.iter().any(|v| !v.is_finite()) {
                return Ok(Answer { update: None, spent });
            }
        }
        if let Some(attacker) = attacker {
            attacker.send(&mut delta, self.sizes, &rng);
        }
        let samples = self.parts[client].len();
        Ok(Answer { update: Some(Update { client, samples, loss, delta }), spent })
    }

    /// An update that changes nothing.
    pub(super) fn nothing(&self, client: usize) -> Update {
        let samples = self.parts[client].len();
        Update { client, samples, loss: None, delta: vec![0.0; self.weights.len()] }
    }

    fn attacker(&self, client: usize) -> Option<&Attacker> {
        self.federation.attackers.as_ref().filter(|_| self.attacking[client]).map(|a| &a.attacker)
    }

    fn data(&self, client: usize, attacker: Option<&Attacker>, rng: &Rng) -> Dataset {
        let own = self.train.select(&self.parts[client]);
        match attacker {
            Some(attacker) => attacker.poison(own, rng),
            None => own,
        }
    }

    fn train(
        &self,
        network: &mut Network,
        client: usize,
        data: &Dataset,
        epochs: usize,
        rng: &Rng,
        stop: &AtomicBool,
    ) -> (Result<Option<f64>>, Vec<Mechanism>) {
        let rounds = self.federation.rounds as f64;
        let config = TrainConfig { epochs, ..self.config.clone() };
        let ledger = self.ledgers.map(|folder| ledger_path(folder, client));
        let client = Client {
            data,
            config: &config,
            proximal: self.federation.proximal,
            calibrate: self.federation.calibrate,
            span: [(self.number - 1) as f64 / rounds, self.number as f64 / rounds],
            ledger: ledger.as_deref(),
        };
        client.train(network, rng, &|| match stop.load(Ordering::Relaxed) {
            true => bail!(Cancelled, "federation: stopped"),
            false => Ok(()),
        })
    }
}

/// The ledger of a client.
pub(super) fn ledger_path(folder: &Path, client: usize) -> PathBuf {
    folder.join(format!("client-{client:05}"))
}

/// The share of each class, with a little of every one, because the logarithm of 0 is no number.
fn shares(data: &Dataset) -> Vec<f64> {
    /// Samples of each class in addition to those there are: too few to be learnt from.
    const UNSEEN: f64 = 1e-6;
    let mut counts = vec![UNSEEN; data.classes];
    data.labels.iter().for_each(|&label| counts[label as usize] += 1.0);
    let total: f64 = counts.iter().sum();
    counts.iter().map(|count| count / total).collect()
}

/// Stops a training when it is asked to, and keeps the ledger of a private one.
struct Watch<'a> {
    tick: &'a dyn Fn() -> Result<()>,
    path: Option<PathBuf>,
    header: Header,
    ledger: Option<Ledger>,
    /// Steps of an epoch.
    steps: u64,
    /// The mechanism of the last record, and how many of its steps are still to come.
    covered: Option<(Mechanism, u64)>,
}

impl<'a> Watch<'a> {
    fn new(tick: &'a dyn Fn() -> Result<()>, path: Option<PathBuf>, header: Header) -> Self {
        Watch { tick, path, header, ledger: None, steps: 1, covered: None }
    }

    fn spent(&self) -> Vec<Mechanism> {
        self.ledger.as_ref().map_or(Vec::new(), |ledger| ledger.contents().composition())
    }
}

impl Observer for Watch<'_> {
    fn step(&mut self, _: usize, _: usize, _: f64) -> Result<()> {
        (self.tick)()
    }

    /// Records an epoch at a time, before the first of its steps: a client that is killed in the middle
    /// has told of steps that it did not take, never the other way round.
    fn mechanism(&mut self, _: usize, mechanism: &Mechanism) -> Result<()> {
        if let Some((of, left)) = &mut self.covered
            && *left > 0
            && of == mechanism
        {
            *left -= 1;
            return Ok(());
        }
        let Some(path) = &self.path else {
            bail!(Usage, "federation: private clients need a folder for their ledgers");
        };
        if self.ledger.is_none() {
            self.ledger = Some(Ledger::open_or_create(path, self.header)?);
        }
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        let steps =
            Mechanism::new(mechanism.sampling_rate(), mechanism.noise_multiplier(), self.steps)?;
        let step = ledger.contents().steps();
        ledger.append(Entry { step, mechanism: steps })?;
        self.covered = Some((*mechanism, self.steps - 1));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::digits;

    #[test]
    fn class_shares_are_positive_and_sum_to_one() {
        let data = digits().unwrap();
        let some =
            data.select(&(0..data.len()).filter(|&i| data.labels[i] < 2).collect::<Vec<_>>());
        let shares = shares(&some);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(shares[..2].iter().all(|s| *s > 0.4) && shares[2..].iter().all(|s| *s < 1e-8));
        assert!(shares.iter().all(|s| s.ln().is_finite()));
    }

    #[test]
    fn a_ledger_gets_an_epoch_at_a_time_and_before_its_steps() {
        let folder = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let tick = || match stop.load(Ordering::Relaxed) {
            true => bail!(Cancelled, "stopped"),
            false => Ok(()),
        };
        let path = ledger_path(folder.path(), 3);
        let header = Header::from(Terms { samples: 10, delta: 1e-5 });
        let mut watch = Watch::new(&tick, Some(path.clone()), header);
        watch.steps = 4;
        let step = Mechanism::new(0.25, 1.5, 1).unwrap();
        for taken in 1..=9 {
            watch.mechanism(taken, &step).unwrap();
            let recorded = crate::dp::ledger::read(&path).unwrap().steps();
            assert_eq!(recorded, (taken as u64).div_ceil(4) * 4, "step {taken}");
        }
        assert_eq!(watch.spent(), [Mechanism::new(0.25, 1.5, 12).unwrap()]);
        let mut none = Watch::new(&tick, None, header);
        assert!(none.mechanism(0, &step).is_err());
        stop.store(true, Ordering::Relaxed);
        assert!(watch.step(1, 2, 0.0).is_err());
    }
}
