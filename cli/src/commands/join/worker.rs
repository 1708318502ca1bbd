//! What a node does with the weights that it is sent: trains on its data as a client of a simulated
//! federation, and judges on its part of the test data.

use std::time::Instant;

use inocula_core::attack::{Aim, Attack, perturb_rows};
use inocula_core::data::Dataset;
use inocula_core::dp::accounting::{Accountant, Mechanism};
use inocula_core::fl::{Client, Federation};
use inocula_core::model::{Network, confusion};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::TrainConfig;
use inocula_core::{Result, Tensor, bail};
use inocula_flower::{Array, ArraySpec, Event, Reply, Scalar, Task, TaskKind, Worker};

use super::folder::{Entry, Folder, Moved, Settings, Update};
use crate::{interrupt, output};

/// Samples judged at once.
const BATCH: usize = 256;

/// A node's data, network and folder.
pub(super) struct Shard {
    /// From 0.
    number: usize,
    config: TrainConfig,
    federation: Federation,
    network: Network,
    data: Dataset,
    test: Dataset,
    attack: Option<Box<dyn Attack>>,
    /// Test samples that are attacked.
    attacked: Vec<usize>,
    specs: Vec<ArraySpec>,
    folder: Folder,
    rng: Rng,
    /// Whether the server is told the loss.
    loss: bool,
    quiet: bool,
}

impl Shard {
    pub(super) fn new(
        settings: &Settings,
        network: Network,
        data: Dataset,
        test: Dataset,
        folder: Folder,
    ) -> Result<Self> {
        let config = settings.run.train.clone();
        let rng = Rng::new(settings.run.seed).child("federation");
        let attack = config.monitor.as_ref().map(|a| a.check()).transpose()?;
        if attack.as_ref().is_some_and(|a| a.threat().budget().is_none()) {
            bail!(Config, "federate join: the monitor's attack has no budget; set eps");
        }
        let attacked =
            rng.child("monitor").choose(test.len(), config.monitor_samples.min(test.len()));
        let spec = |(name, value): (&str, &Tensor)| ArraySpec {
            name: name.to_owned(),
            shape: value.shape().to_vec(),
        };
        Ok(Shard {
            number: settings.shard - 1,
            federation: settings.run.federation.clone().unwrap_or_default(),
            specs: network.params().iter().map(spec).collect(),
            config,
            network,
            data,
            test,
            attack,
            attacked,
            folder,
            rng,
            loss: true,
            quiet: false,
        })
    }

    /// Whether it tells the server its loss, and the user nothing.
    pub(super) fn telling(self, loss: bool, quiet: bool) -> Self {
        Shard { loss, quiet, ..self }
    }

    /// Puts weights into the network.
    fn take(&mut self, arrays: &[Array]) -> Result<()> {
        let (device, dtype) = (self.network.device(), self.network.dtype());
        let tensor = |(array, spec): (&Array, &ArraySpec)| {
            Tensor::from_f64(device, dtype, &array.to_f64(), &spec.shape)
        };
        let values = arrays.iter().zip(&self.specs).map(tensor).collect::<Result<Vec<_>>>()?;
        let params = self.network.params().with_values(values)?;
        self.network.set_params(params);
        Ok(())
    }

    /// The weights of the network.
    fn weights(&self) -> Result<Vec<Vec<f32>>> {
        self.network.params().values().iter().map(|value| value.to_vec::<f32>()).collect()
    }

    fn train(&mut self, round: u64) -> Result<(Update, Option<f64>, Vec<Mechanism>)> {
        let before = self.weights()?;
        let rounds = self.federation.rounds as f64;
        let share = |round: u64| (round as f64 / rounds).min(1.0);
        let ledger = self.config.private.as_ref().map(|_| self.folder.ledger());
        let client = Client {
            data: &self.data,
            config: &self.config,
            proximal: self.federation.proximal,
            calibrate: self.federation.calibrate,
            span: [share(round - 1), share(round)],
            ledger: ledger.as_deref(),
        };
        let rng = Client::rng(&self.rng, self.number, round as usize);
        let (loss, spent) = client.train(&mut self.network, &rng, &interrupt::check);
        let loss = loss?;
        let after = self.weights()?;
        if after.iter().flatten().any(|value| !value.is_finite()) {
            bail!(Numeric, "training: weights became infinite; lower the learning rate");
        }
        let sides = before.into_iter().zip(after);
        let array = |(spec, (before, after)): (&ArraySpec, (Vec<f32>, Vec<f32>))| Moved {
            name: spec.name.clone(),
            shape: spec.shape.clone(),
            sides: [before, after],
        };
        let arrays = self.specs.iter().zip(sides).map(array).collect();
        Ok((Update { arrays }, loss, spent))
    }

    /// Accuracy on the node's test samples: clean, and under the monitor's attack.
    fn judge(&self) -> Result<(f64, Option<f64>)> {
        let network = &self.network;
        let place =
            Placement { dtype: network.dtype(), batch: BATCH, ..Placement::new(network.device()) };
        let clean = confusion(network, &self.test, &place)?.accuracy();
        let Some(attack) = &self.attack else { return Ok((clean, None)) };
        let rng = self.rng.child("monitor-attack");
        let (aim, rows) = (Aim::Untargeted, &self.attacked);
        let tick = &mut |_| interrupt::check();
        let outcome = perturb_rows(&**attack, network, &self.test, rows, aim, &place, &rng, tick)?;
        Ok((clean, Some(outcome.held() as f64 / rows.len() as f64)))
    }

    /// What the ledger comes to.
    fn epsilon(&self, spent: &[Mechanism]) -> Result<Option<f64>> {
        let Some(private) = self.config.private.as_ref().filter(|_| !spent.is_empty()) else {
            return Ok(None);
        };
        let accountant = Accountant::named("pld")?;
        Ok(Some(accountant.spent(spent, private.delta, private.sampling)?.epsilon))
    }

    fn say(&self, entry: &Entry) {
        if self.quiet {
            return;
        }
        let percent = |a: Option<f64>| a.map_or("-".into(), |a| format!("{:.1} %", 100.0 * a));
        output::note(format!(
            "round {}: {} {} samples, clean {}, adversarial {}",
            entry.round,
            if entry.kind == "train" { "trained on" } else { "judged" },
            entry.samples,
            percent(entry.clean_accuracy),
            percent(entry.adversarial_accuracy)
        ));
    }
}

impl Worker for Shard {
    fn specs(&self) -> &[ArraySpec] {
        &self.specs
    }

    fn work(&mut self, task: &Task) -> Result<Reply> {
        let started = Instant::now();
        let round = task.round.filter(|r| *r > 0).unwrap_or(self.folder.updates() as u64 + 1);
        self.take(&task.arrays)?;
        let (mut update, mut loss, mut epsilon) = (None, None, None);
        if task.kind == TaskKind::Train {
            let (made, last, spent) = self.train(round)?;
            (update, loss) = (Some(made), last);
            epsilon = self.epsilon(&spent)?;
        }
        let (clean, robust) = self.judge()?;
        let samples = if update.is_some() { self.data.len() } else { self.test.len() };
        let entry = Entry {
            kind: if update.is_some() { "train" } else { "evaluate" }.into(),
            message: task.message.clone(),
            run: task.run.to_string(),
            round,
            samples,
            loss,
            clean_accuracy: Some(clean),
            adversarial_accuracy: robust,
            epsilon,
            seconds: started.elapsed().as_secs_f64(),
            update: None,
        };
        self.say(&entry);
        self.folder.add(entry, update.as_ref())?;
        let mut metrics = vec![("num-examples".to_owned(), Scalar::Int(samples as i64))];
        let figures = [
            ("train_loss", loss.filter(|_| self.loss)),
            ("clean_accuracy", Some(clean)),
            ("adversarial_accuracy", robust),
        ];
        for (name, value) in figures {
            metrics.extend(value.map(|value| (name.to_owned(), Scalar::Float(value))));
        }
        let after = |Moved { sides: [_, after], .. }| Array::F32(after);
        let arrays = update.map(|update| update.arrays.into_iter().map(after).collect());
        Ok(Reply { arrays, metrics })
    }

    fn check(&self) -> Result<()> {
        interrupt::check()
    }

    fn hear(&mut self, event: &Event) {
        if !self.quiet || !matches!(event, Event::Joined(_)) {
            output::note(event.to_string());
        }
    }
}
