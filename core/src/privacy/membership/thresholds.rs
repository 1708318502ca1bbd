//! One threshold for all samples: the attacks that need one query a sample and no other model.

use super::answers::Answers;
use super::scored::{Scored, Sides};
use super::signals::{Signal, cross_entropy};
use super::{MembershipEntry, Needs, Progress, Scene};
use crate::data::Dataset;
use crate::metrics::Roc;
use crate::model::Classifier;
use crate::place::Placement;
use crate::{Result, bail};

pub(super) const ENTRY: MembershipEntry = MembershipEntry {
    name: "thresholds",
    summary: "loss, confidence, entropy and modified entropy, one threshold for all classes",
    needs: Needs::Answers,
    run,
};

fn run(scene: &Scene<'_>, _: Progress<'_>) -> Result<Vec<Scored>> {
    Ok(each(scene.answers, ""))
}

/// The scores of every signal; `suffix` says what was asked, if not the samples themselves.
pub(super) fn each(answers: &Sides, suffix: &str) -> Vec<Scored> {
    let scored = |signal: Signal| {
        let name = format!("{} threshold{suffix}", signal.name());
        answers.scored(name, |side| side.signal(signal))
    };
    Signal::ALL.into_iter().map(scored).collect()
}

/// What the loss-threshold attack (Yeom et al. 2018) found.
#[derive(Debug, Clone)]
pub struct LossThreshold {
    /// All operating points, of minus the loss as membership score.
    pub roc: Roc,
    /// Advantage `TPR - FPR` of the attacker of the paper (adversary 1), who knows the mean training
    /// loss and calls every sample below it a member. In `[-1, 1]`, 0 is chance.
    pub yeom_advantage: f64,
}

/// Attacks `model` with members `members` (training data) and non-members `others`.
///
/// # Errors
/// One of the sets is empty, a loss is NaN, or the device failed.
pub fn loss_threshold(
    model: &dyn Classifier,
    members: &Dataset,
    others: &Dataset,
    place: &Placement,
) -> Result<LossThreshold> {
    if members.is_empty() || others.is_empty() {
        let (m, o) = (members.len(), others.len());
        bail!(Data, "membership: {m} members and {o} non-members; both sets need samples");
    }
    let (inside, outside) = (losses(model, members, place)?, losses(model, others, place)?);
    let threshold = inside.iter().sum::<f64>() / inside.len() as f64;
    let below = |losses: &[f64]| {
        losses.iter().filter(|l| **l <= threshold).count() as f64 / losses.len() as f64
    };
    let yeom_advantage = below(&inside) - below(&outside);
    let scores = |losses: Vec<f64>| losses.into_iter().map(|l| -l).collect::<Vec<_>>();
    Ok(LossThreshold { roc: Roc::new(&scores(inside), &scores(outside))?, yeom_advantage })
}

/// Cross-entropy of every sample, in nats.
///
/// # Errors
/// A sample does not fit the model, or the device failed.
pub fn losses(model: &dyn Classifier, data: &Dataset, place: &Placement) -> Result<Vec<f64>> {
    Ok(Answers::of(model, data, place)?.map(cross_entropy))
}
