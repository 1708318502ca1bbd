//! What an iterated attack went through: the loss of each sample at each iterate, and whether the
//! iterate reached the goal.
//!
//! An attack tells a [`Watch`] of its iterates, because it alone knows which rows of the batch it still
//! works on and which of its runs they belong to. The alternative, a model that notes what it answers,
//! needs no change of the attacks, but cannot tell whose row it answered once samples are dropped.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::best::Best;
use super::{Access, Attack, Draws, Goal, Threat, rows};
use crate::model::Classifier;
use crate::{Result, Tensor};

/// Hears of the iterates of an attack.
pub trait Watch {
    /// Iterates of run number `run` at the places `rows` of the batch: the loss that is ascended, and
    /// 1 where the goal is reached, `[K]` each.
    ///
    /// # Errors
    /// The device failed.
    fn iterate(
        &mut self,
        run: usize,
        rows: &[usize],
        loss: &Tensor,
        reached: &Tensor,
    ) -> Result<()>;
}

/// One run of an attack that may be watched.
pub(super) struct Seen<'a> {
    pub(super) watch: Option<&'a mut dyn Watch>,
    pub(super) run: usize,
    /// Places in the batch of the samples that the run works on.
    pub(super) rows: Vec<usize>,
}

impl Seen<'_> {
    /// Tells of iterates of the samples `at` of the run.
    pub(super) fn tell(&mut self, at: &[usize], found: &Best) -> Result<()> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        watch.iterate(self.run, &rows::pick(&self.rows, at), &found.loss, &found.reached)
    }

    /// Tells of iterates of all samples of the run.
    pub(super) fn tell_all(&mut self, found: &Best) -> Result<()> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        watch.iterate(self.run, &self.rows, &found.loss, &found.reached)
    }
}

/// An iterate of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Iterate {
    /// The loss that is ascended, in f64 whatever the model computes in.
    pub loss: f64,
    /// Whether the goal is reached.
    pub reached: bool,
}

/// The iterates of each sample, run by run, by the sample's place in the data set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Traces {
    paths: BTreeMap<u64, Vec<Vec<Iterate>>>,
}

impl Traces {
    /// Whether the attack told of no iterate: it has none, or does not tell.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The runs on the sample `id`, each with its iterates in their order.
    pub fn runs(&self, id: u64) -> &[Vec<Iterate>] {
        self.paths.get(&id).map_or(&[], Vec::as_slice)
    }

    fn push(&mut self, id: u64, run: usize, iterate: Iterate) {
        let runs = self.paths.entry(id).or_default();
        if runs.len() <= run {
            runs.resize(run + 1, Vec::new());
        }
        runs[run].push(iterate);
    }
}

/// An attack whose iterates are kept; its results are those of the attack, bit for bit.
pub struct Traced<'a> {
    attack: &'a dyn Attack,
    traces: Mutex<Traces>,
}

impl<'a> Traced<'a> {
    /// Nothing kept yet.
    pub fn new(attack: &'a dyn Attack) -> Self {
        Traced { attack, traces: Mutex::default() }
    }

    /// What was kept.
    pub fn traces(self) -> Traces {
        self.traces.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attack for Traced<'_> {
    fn threat(&self) -> Threat {
        self.attack.threat()
    }

    fn access(&self) -> Access {
        self.attack.access()
    }

    fn coupling(&self) -> Option<&'static str> {
        self.attack.coupling()
    }

    fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Tensor> {
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        let mut recorder = Recorder { ids: &draws.ids, traces: &mut traces };
        self.attack.run_watched(model, x, goal, draws, &mut recorder)
    }
}

struct Recorder<'a> {
    ids: &'a [u64],
    traces: &'a mut Traces,
}

impl Watch for Recorder<'_> {
    fn iterate(
        &mut self,
        run: usize,
        rows: &[usize],
        loss: &Tensor,
        reached: &Tensor,
    ) -> Result<()> {
        let (loss, reached) = (loss.to_f64_vec()?, reached.to_f64_vec()?);
        for ((&row, loss), reached) in rows.iter().zip(loss).zip(reached) {
            self.traces.push(self.ids[row], run, Iterate { loss, reached: reached != 0.0 });
        }
        Ok(())
    }
}
