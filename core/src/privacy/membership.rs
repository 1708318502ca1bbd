//! Membership inference: was this sample in the training data?
//!
//! The loss-threshold attack (Yeom et al. 2018): a model tends to have a smaller loss on what it was
//! trained on, so samples below a threshold are called members. It needs one query a sample and no
//! other model.

use crate::data::Dataset;
use crate::loss::cross_entropy;
use crate::metrics::Roc;
use crate::model::Classifier;
use crate::place::Placement;
use crate::{Result, bail};

/// What the loss-threshold attack found.
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
    let rows: Vec<usize> = (0..data.len()).collect();
    let mut all = Vec::with_capacity(data.len());
    for rows in place.portions(&rows) {
        let (x, y) = place.tensors(data, rows)?;
        all.extend(cross_entropy(&model.logits(&x)?, &y).to_f64_vec()?);
    }
    Ok(all)
}
