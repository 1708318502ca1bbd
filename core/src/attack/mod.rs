//! Evasion attacks: small changes of an input that change what a model says of it.
//!
//! An attack is one file with a configuration (serde), and a `run` that sees a model, a batch and a
//! [`Goal`]. Everything that must hold for every attack is in [`perturb`], which is not overridable:
//! it checks the request, runs the attack, puts the result back into ball and box, and measures what
//! came out in f64. [`ATTACKS`] lists them; adding one is its file, its `mod` line, and its line in
//! the table.

mod apgd;
mod autoattack;
pub mod ball;
mod best;
mod boundary;
mod boundary_attack;
mod bumps;
mod climb;
mod cw;
mod ddn;
mod decision;
mod deepfool;
mod diverge;
pub mod dlr;
mod ead;
mod eight_bits;
mod estimate;
mod fab;
mod fgsm;
mod fmn;
mod goal;
mod hop_skip_jump;
mod jsma;
mod limits;
mod mi_fgsm;
mod minimal;
mod motion;
mod nes;
mod patch;
mod perturb;
mod pgd;
mod query;
mod resize;
mod rows;
mod samples;
mod simba;
mod spatial;
mod spsa;
mod square;
mod stages;
mod step;
mod substitute;
mod table;
mod trace;
mod universal;
mod universal_patch;
mod window;
mod zoo;

use serde::{Deserialize, Serialize};

pub use apgd::ApgdLoss;
pub use autoattack::Version;
pub use ball::Threat;
pub use diverge::diverge;
pub use eight_bits::in_eight_bits;
pub use goal::{Aim, Goal};
pub use limits::Limits;
pub use minimal::{Minimal, minimal_perturbations};
pub use motion::Motions;
pub use perturb::{Outcome, craft, perturb, perturb_rows};
pub use pgd::Keep;
pub use samples::Samples;
pub use simba::Basis;
pub use stages::{Stage, autoattack_rows};
pub use step::L1Step;
use table::attacks;
pub use table::{AttackEntry, AttackSpec};
pub use trace::{Iterate, Traced, Traces, Watch};

pub use crate::metrics::Norm;
use crate::model::Classifier;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

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

    /// The stream of this name of each sample.
    pub(super) fn streams<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = Rng> + 'a {
        let rng = self.rng.child(tag);
        self.ids.iter().map(move |&id| rng.index(id))
    }

    /// A tensor shaped and typed like `x` (`[N, ...]`), each sample filled from its own stream.
    ///
    /// # Errors
    /// The device failed, or `x` has another number of samples.
    pub fn tensor(&self, x: &Tensor, mut fill: impl FnMut(&mut Rng, &mut [f32])) -> Result<Tensor> {
        if x.dim(0) != self.ids.len() {
            let (rows, ids) = (x.dim(0), self.ids.len());
            bail!(Usage, "draws: a batch of {rows} samples with streams for {ids}");
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

    /// What it keeps to besides: for most attacks nothing but that ball.
    fn limits(&self) -> Limits {
        Limits::Ball
    }

    /// Checks what it keeps to against the box `bounds` of inputs with this many features.
    ///
    /// # Errors
    /// As [`Threat::check_within`], where a ball bounds it.
    fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        match self.limits() {
            Limits::Motions(_) => Ok(()),
            Limits::Ball | Limits::Square => self.threat().check_within(features, bounds),
        }
    }

    /// What it needs of the model.
    fn access(&self) -> Access;

    /// Why the version of a sample depends on the other samples of its batch; `None` where it does
    /// not, as for every attack that is run on each sample by itself.
    fn coupling(&self) -> Option<&'static str> {
        None
    }

    /// The attack made ready for all the samples that it will meet, if it makes one thing for all of them:
    /// what is returned then attacks each by itself, so that batches do not matter. [`perturb_rows`] asks
    /// for it; an attack that is run on a batch without it does with that batch.
    ///
    /// # Errors
    /// The model or the device failed.
    fn fitted(
        &self,
        _model: &dyn Classifier,
        _samples: &Samples<'_>,
    ) -> Result<Option<Box<dyn Attack>>> {
        Ok(None)
    }

    /// Whether what [`Attack::run`] returns is in ball and box and free of NaN by construction, so that
    /// [`craft`] need not see to it, which takes two passes over the batch: much for an attack of one step.
    fn is_projected(&self) -> bool {
        false
    }

    /// Adversarial versions of `x` (`[N, ...]`). Called by [`perturb`], which checks before and
    /// projects and measures after.
    ///
    /// # Errors
    /// The model or the device failed, or the attack is not defined for the goal.
    fn run(&self, model: &dyn Classifier, x: &Tensor, goal: &Goal, draws: &Draws)
    -> Result<Tensor>;

    /// As [`Attack::run`], to the same result, and tells `watch` of each iterate, if the attack has any
    /// to tell of. See [`Traced`].
    ///
    /// # Errors
    /// As [`Attack::run`].
    fn run_watched(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
        watch: &mut dyn Watch,
    ) -> Result<Tensor> {
        let _ = watch;
        self.run(model, x, goal, draws)
    }
}

// Adding an attack is its file, its `mod` line above, and its line here.
attacks! {
    fgsm::Fgsm,
    pgd::Pgd,
    apgd::Apgd,
    cw::Cw,
    deepfool::DeepFool,
    fab::Fab,
    ddn::Ddn,
    fmn::Fmn,
    mi_fgsm::MiFgsm,
    ead::Ead,
    jsma::Jsma,
    square::Square,
    nes::Nes,
    spsa::Spsa,
    simba::Simba,
    zoo::Zoo,
    hop_skip_jump::HopSkipJump,
    boundary_attack::Boundary,
    substitute::Substitute,
    universal::Universal,
    patch::Patch,
    universal_patch::UniversalPatch,
    spatial::Spatial,
    autoattack::Autoattack,
}

impl AttackConfig {
    /// The attack of this name at a budget.
    ///
    /// # Errors
    /// No attack has the name; the message lists them. Or no norm bounds the attack, and a budget is given.
    pub fn named(name: &str, threat: Threat) -> Result<Self> {
        if let Some(entry) = ATTACKS.iter().find(|a| a.name == name) {
            if let ([], Some(eps)) = (entry.norms, threat.budget()) {
                bail!(
                    Config,
                    "attack: no norm bounds {name}, so that eps = {eps} means nothing; leave it out"
                );
            }
            return Ok((entry.at)(threat));
        }
        let names = || ATTACKS.iter().map(|a| a.name);
        let hint = crate::error::nearest(name, names());
        let hint = hint.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
        let all = names().collect::<Vec<_>>().join(", ");
        bail!(NotFound, "attack: {name:?} is not one of {all}{hint}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_has_one_name_everywhere() {
        for entry in ATTACKS {
            let config = (entry.at)(Threat::new(Norm::Linf, 0.1));
            assert_eq!(config.name(), entry.name);
            let text = toml::to_string(&config).unwrap();
            assert!(text.contains(&format!("type = \"{}\"", entry.name)), "{text}");
            let budget = if entry.minimal { "" } else { "eps = 0.1\n" };
            let least = format!("type = \"{}\"\n{budget}", entry.name);
            assert!(toml::from_str::<AttackConfig>(&least).is_ok(), "needs more than a budget");
        }
    }
}
