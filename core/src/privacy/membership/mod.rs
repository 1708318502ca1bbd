//! Membership inference: was this sample in the training data?
//!
//! An attack is one file with an entry in [`MEMBERSHIP`]: a name, what it needs, and a function from a
//! [`Scene`] (the model, samples that it was trained on, samples that it was not) to a score of every
//! sample. What is made of scores (ROC curve, rates, intervals, refusals) is the same for all and
//! stands in [`Scored::report`], so that no attack has figures of its own kind. Adding one is its file,
//! its `mod` line and its line in the table.
//!
//! What the figures can and cannot say: members and non-members have to come from one distribution. A
//! model's own training and test part do, if they were split at random; where a data set brings a test
//! part of other origin (the writers of MNIST's differ), a difference between the parts looks like a
//! leak to every attack that has no shadow models to tell how hard a sample is.

mod answers;
mod audit;
mod augment;
mod class_thresholds;
mod design;
mod label_only;
pub mod lira;
pub mod rmia;
mod robust;
mod scored;
mod shadow;
mod shadows;
mod signals;
mod store;
mod thresholds;
mod views;

pub use answers::Answers;
pub use audit::{Quick, Sample, pooled, quick, reports};
pub use augment::Augmentation;
pub use scored::{FPRS, Scored, Sides};
pub use shadows::{Shadow, ShadowPlan, Shadows, train_shadows};
pub use signals::{Signal, cross_entropy, phi};
pub use thresholds::{LossThreshold, loss_threshold, losses};
pub use views::{Panel, Views};

use crate::attack::AttackConfig;
use crate::data::Dataset;
use crate::model::Classifier;
use crate::place::Placement;
use crate::rng::Rng;
use crate::{Result, bail};

/// Hears what is being done: the phase, and how much of it is done; may stop it with an error.
pub type Progress<'a> = &'a mut dyn FnMut(&str, usize, usize) -> Result<()>;

/// A model under attack, and what its attackers have.
pub struct Scene<'a> {
    /// The model.
    pub model: &'a dyn Classifier,
    /// Samples that it was trained on.
    pub members: &'a Dataset,
    /// Samples that it was not trained on.
    pub non_members: &'a Dataset,
    /// What the model says of both.
    pub answers: &'a Sides,
    /// Where samples are put.
    pub place: &'a Placement,
    /// The evasion attack of the robust signals.
    pub evasion: Option<&'a AttackConfig>,
    /// The most queries a sample of the search for the boundary.
    pub queries: usize,
    /// What shadow models say of the samples.
    pub views: Option<&'a Views>,
    /// Randomness.
    pub rng: &'a Rng,
}

/// What an attack needs, in rising order of cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// One answer of the model a sample.
    Answers,
    /// Further queries.
    Queries,
    /// Gradients.
    Gradients,
    /// Models trained like the target on data of its distribution.
    Shadows,
}

/// A membership attack that can be asked for by name.
#[derive(Debug)]
pub struct MembershipEntry {
    /// Name on the command line and in configurations.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// The scores that it gives, one entry a variant.
    pub run: fn(&Scene<'_>, Progress<'_>) -> Result<Vec<Scored>>,
}

/// Every membership attack, from the cheapest.
pub const MEMBERSHIP: &[MembershipEntry] = &[
    thresholds::ENTRY,
    class_thresholds::ENTRY,
    label_only::AUGMENTATION,
    label_only::BOUNDARY,
    robust::ENTRY,
    shadow::ENTRY,
    lira::ENTRY,
    rmia::ENTRY,
];

impl MembershipEntry {
    /// The attack of this name.
    ///
    /// # Errors
    /// There is none; the message lists them.
    pub fn named(name: &str) -> Result<&'static MembershipEntry> {
        if let Some(entry) = MEMBERSHIP.iter().find(|entry| entry.name == name) {
            return Ok(entry);
        }
        let names = || MEMBERSHIP.iter().map(|entry| entry.name);
        let hint = crate::error::nearest(name, names());
        let hint = hint.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
        let all = names().collect::<Vec<_>>().join(", ");
        bail!(NotFound, "membership: {name:?} is not one of {all}{hint}")
    }
}

/// The views of shadow models, for attacks that cannot do without.
fn views_of<'a>(scene: &Scene<'a>) -> Result<&'a Views> {
    match scene.views {
        Some(views) => Ok(views),
        None => bail!(Config, "membership: the attack needs shadow models; train some"),
    }
}
