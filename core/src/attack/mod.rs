//! Evasion attacks: small changes of an input that change what a model says of it.
//!
//! An attack is one file with a configuration (serde), and a `run` that sees a model, a batch and a
//! [`Goal`]. Everything that must hold for every attack is in [`perturb`], which is not overridable:
//! it checks the request, runs the attack, puts the result back into ball and box, and measures what
//! came out in f64. [`ATTACKS`] lists them; adding one is one file and one line there.

pub mod ball;
mod fgsm;
mod goal;
mod minimal;
mod perturb;
mod pgd;
mod step;

use serde::{Deserialize, Serialize};

pub use ball::Threat;
pub use fgsm::Fgsm;
pub use goal::{Aim, Goal};
pub use minimal::{Minimal, minimal_perturbations};
pub use perturb::{Outcome, craft, perturb, perturb_rows};
pub use pgd::{Keep, Pgd};
pub use step::L1Step;

pub use crate::metrics::Norm;
use crate::model::Classifier;
use crate::rng::Rng;
use crate::{Result, Tensor};

/// What an attack needs of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Gradients: white-box.
    Gradient,
    /// Logits: score-based black-box.
    Score,
    /// The predicted class: decision-based black-box.
    Decision,
}

/// Randomness of a batch: a stream of its own for every sample, named by the sample's place in the
/// data set, so that results depend on batch size and order only by rounding.
#[derive(Clone)]
pub struct Draws {
    rng: Rng,
    ids: Vec<u64>,
}

impl Draws {
    /// Streams of `rng` for the samples `ids`.
    pub fn new(rng: Rng, ids: Vec<u64>) -> Self {
        Draws { rng, ids }
    }

    /// The streams of a part of the batch.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Draws { rng: self.rng.clone(), ids: rows.iter().map(|&r| self.ids[r]).collect() }
    }

    /// The same samples with other randomness, say for restart `i`.
    #[must_use]
    pub fn index(&self, i: u64) -> Self {
        Draws { rng: self.rng.index(i), ids: self.ids.clone() }
    }

    /// A tensor shaped and typed like `x` (`[N, ...]`), each sample filled from its own stream.
    ///
    /// # Errors
    /// The device failed, or `x` has another number of samples.
    pub fn tensor(&self, x: &Tensor, mut fill: impl FnMut(&mut Rng, &mut [f32])) -> Result<Tensor> {
        if x.dim(0) != self.ids.len() {
            let (rows, ids) = (x.dim(0), self.ids.len());
            crate::bail!(Usage, "draws: a batch of {rows} samples with streams for {ids}");
        }
        let mut values = vec![0f32; x.shape().numel()];
        let each = values.len() / self.ids.len().max(1);
        if each > 0 {
            for (part, &id) in values.chunks_mut(each).zip(&self.ids) {
                fill(&mut self.rng.index(id), part);
            }
        }
        Ok(Tensor::from_slice(x.device(), &values, &x.shape())?.cast(x.dtype()))
    }
}

/// An evasion attack.
pub trait Attack: Send + Sync {
    /// The norm and budget it keeps to.
    fn threat(&self) -> Threat;

    /// What it needs of the model.
    fn access(&self) -> Access;

    /// Adversarial versions of `x` (`[N, ...]`). Called by [`perturb`], which checks before and
    /// projects and measures after.
    ///
    /// # Errors
    /// The model or the device failed, or the attack is not defined for the goal.
    fn run(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, draws: &Draws)
    -> Result<Tensor>;
}

/// An attack that can be asked for by name.
pub struct AttackEntry {
    /// Name on the command line and in configurations.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// Makes the attack at a budget, with its other constants at their usual values.
    pub at: fn(Threat) -> AttackConfig,
}

/// Every attack. Adding one is its file, its variant in [`AttackConfig`], and a line here.
pub const ATTACKS: &[AttackEntry] = &[fgsm::ENTRY, pgd::ENTRY];

/// The configuration of an attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AttackConfig {
    /// One step.
    Fgsm(Fgsm),
    /// Projected gradient descent.
    Pgd(Pgd),
}

impl AttackConfig {
    /// The attack of this name at a budget.
    ///
    /// # Errors
    /// No attack has the name; the message lists them.
    pub fn named(name: &str, threat: Threat) -> Result<Self> {
        if let Some(entry) = ATTACKS.iter().find(|a| a.name == name) {
            return Ok((entry.at)(threat));
        }
        let names = || ATTACKS.iter().map(|a| a.name);
        let hint = crate::error::nearest(name, names());
        let hint = hint.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
        let all = names().collect::<Vec<_>>().join(", ");
        crate::bail!(NotFound, "attack: {name:?} is not one of {all}{hint}")
    }

    /// The attack itself, its constants checked.
    ///
    /// # Errors
    /// A constant is out of range; the message names it.
    pub fn check(&self) -> Result<Box<dyn Attack>> {
        Ok(match self {
            AttackConfig::Fgsm(c) => Box::new(c.check()?),
            AttackConfig::Pgd(c) => Box::new(c.check()?),
        })
    }

    /// Name, as in [`ATTACKS`].
    pub fn name(&self) -> &'static str {
        match self {
            AttackConfig::Fgsm(_) => fgsm::ENTRY.name,
            AttackConfig::Pgd(_) => pgd::ENTRY.name,
        }
    }

    /// Name for people, with what tells one run from another: `FGSM`, `PGD-40`, `PGD-40 x 5`.
    pub fn label(&self) -> String {
        match self {
            AttackConfig::Fgsm(c) if c.norm == Norm::Linf => "FGSM".into(),
            AttackConfig::Fgsm(_) => "FGM".into(),
            AttackConfig::Pgd(c) if c.restarts > 1 => format!("PGD-{} x {}", c.steps, c.restarts),
            AttackConfig::Pgd(c) => format!("PGD-{}", c.steps),
        }
    }

    /// The same attack with another budget. A step length that was given keeps its ratio to the
    /// radius; in another norm it would mean something else, and the usual one is taken.
    #[must_use]
    pub fn with_threat(&self, threat: Threat) -> Self {
        let Threat { norm, eps } = threat;
        match self {
            AttackConfig::Fgsm(c) => AttackConfig::Fgsm(Fgsm { norm, eps, ..c.clone() }),
            AttackConfig::Pgd(c) => {
                let same = c.norm == norm && c.eps > 0.0;
                let step = c.step.filter(|_| same).map(|s| s * eps / c.eps);
                AttackConfig::Pgd(Pgd { norm, eps, step, ..c.clone() })
            }
        }
    }
}
