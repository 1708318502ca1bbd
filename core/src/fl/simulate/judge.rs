//! What the weights of the server are worth after a round: accuracy on the test part, clean and under
//! an attack, and how often a backdoor opens.
//!
//! Portions of samples are judged on all devices at once. An attack draws for each sample by itself and
//! portions are the same for any number of devices, so the figures are too.

use std::sync::atomic::AtomicBool;

use super::super::pool;
use super::super::update::unflatten;
use super::RoundRecord;
use crate::Result;
use crate::attack::{Aim, Attack, perturb_rows};
use crate::data::Dataset;
use crate::fl::Federation;
use crate::model::{Network, predict_rows};
use crate::place::Placement;
use crate::rng::Rng;
use crate::train::TrainConfig;

/// Samples of a portion.
const PORTION: usize = 256;
/// Samples of a portion that is attacked, which takes longer.
const ATTACKED: usize = 64;

/// What is measured.
pub(super) struct Judge<'a> {
    test: &'a Dataset,
    attack: Option<Box<dyn Attack>>,
    /// Test samples with the trigger of a backdoor, and its target.
    marked: Option<(Dataset, i64)>,
    portions: Vec<Portion>,
    rng: Rng,
}

struct Portion {
    kind: Kind,
    rows: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Kind {
    Clean = 0,
    Robust = 1,
    Backdoor = 2,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        config: &TrainConfig,
        federation: &Federation,
        test: &'a Dataset,
        rng: &Rng,
    ) -> Result<Self> {
        let attack = config.monitor.as_ref().map(|a| a.check()).transpose()?;
        let marked = federation
            .attackers
            .as_ref()
            .and_then(|a| a.attacker.backdoor())
            .map(|(trigger, target)| (marked(test, trigger, target), target as i64));
        let mut portions = Vec::new();
        let mut add = |kind: Kind, rows: Vec<usize>, size: usize| {
            portions.extend(rows.chunks(size).map(|rows| Portion { kind, rows: rows.to_vec() }));
        };
        add(Kind::Clean, (0..test.len()).collect(), PORTION);
        if attack.is_some() {
            let count = config.monitor_samples.min(test.len());
            add(Kind::Robust, rng.child("monitor").choose(test.len(), count), ATTACKED);
        }
        if let Some((marked, _)) = &marked {
            add(Kind::Backdoor, (0..marked.len()).collect(), PORTION);
        }
        Ok(Judge { test, attack, marked, portions, rng: rng.child("monitor-attack") })
    }

    /// Measures `weights` and puts the figures into `record`.
    pub(super) fn measure(
        &self,
        networks: &mut [Network],
        weights: &[f64],
        record: &mut RoundRecord,
        tick: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        for network in &mut *networks {
            unflatten(network, weights)?;
        }
        let (mut hits, mut totals) = ([0; 3], [0; 3]);
        let job = |network: &mut Network, i: usize, _: &AtomicBool| {
            Ok((self.portions[i].kind, self.hits(network, &self.portions[i])?))
        };
        let sink = |i: usize, (kind, count): (Kind, usize)| {
            hits[kind as usize] += count;
            totals[kind as usize] += self.portions[i].rows.len();
            Ok(())
        };
        pool::ordered(networks, self.portions.len(), job, sink, tick)?;
        let rate = |kind: Kind| {
            let total = totals[kind as usize];
            (total > 0).then(|| hits[kind as usize] as f64 / total as f64)
        };
        record.clean_accuracy = rate(Kind::Clean);
        record.robust_accuracy = rate(Kind::Robust);
        record.backdoor_rate = rate(Kind::Backdoor);
        Ok(())
    }

    fn hits(&self, network: &Network, portion: &Portion) -> Result<usize> {
        let place = Placement {
            dtype: network.dtype(),
            batch: PORTION,
            ..Placement::new(network.device())
        };
        let rows = &portion.rows;
        match (portion.kind, &self.attack, &self.marked) {
            (Kind::Robust, Some(attack), _) => {
                let (aim, rng) = (Aim::Untargeted, &self.rng);
                let quiet = &mut |_| Ok(());
                let outcome =
                    perturb_rows(&**attack, network, self.test, rows, aim, &place, rng, quiet)?;
                Ok(outcome.held())
            }
            (Kind::Backdoor, _, Some((data, target))) => {
                let predicted = predict_rows(network, data, rows, &place)?;
                Ok(predicted.iter().filter(|label| *label == target).count())
            }
            _ => {
                let predicted = predict_rows(network, self.test, rows, &place)?;
                let right = |(row, label): (&usize, &i64)| self.test.labels[*row] == *label;
                Ok(rows.iter().zip(&predicted).filter(|pair| right(*pair)).count())
            }
        }
    }
}

/// The samples of other classes than the target, with the trigger.
fn marked(test: &Dataset, trigger: &crate::fl::attacker::Trigger, target: usize) -> Dataset {
    let others: Vec<usize> = (0..test.len()).filter(|&i| test.labels[i] != target as i64).collect();
    let mut data = test.select(&others);
    let (shape, bright) = (data.shape.clone(), data.bounds.1);
    let each: usize = shape.iter().product();
    for sample in data.features.chunks_mut(each.max(1)) {
        trigger.put(sample, &shape, bright);
    }
    data
}
