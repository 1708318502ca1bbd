//! Membership inference: was this sample in the training data?
//!
//! The loss-threshold attack (Yeom et al. 2018): a model tends to have a smaller loss on what it was
//! trained on, so samples below a threshold are called members. It needs one query a sample and no
//! other model.

use crate::data::Dataset;
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
        let (x, _) = place.tensors(data, rows)?;
        let logits = model.logits(&x)?.to_f64_vec()?;
        let samples = logits.chunks(logits.len() / rows.len()).zip(rows);
        all.extend(samples.map(|(z, &row)| cross_entropy(z, data.labels[row] as usize)));
    }
    Ok(all)
}

/// `log(sum_i exp(z_i - z_y))` in f64. In f32 the loss of every sample that the model is sure of
/// would round to the same 0, and those are the samples that tell members from others.
fn cross_entropy(logits: &[f64], label: usize) -> f64 {
    let own = logits[label];
    let others = || logits.iter().enumerate().filter(|(i, _)| *i != label).map(|(_, z)| z - own);
    let shift = others().fold(0.0, f64::max);
    if shift == 0.0 {
        return others().map(f64::exp).sum::<f64>().ln_1p();
    }
    let rest: f64 = others().map(|d| (d - shift).exp()).sum();
    shift + (rest + (-shift).exp()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_of_sure_samples_keeps_its_size() {
        // log(1 + 2 e^-40)
        let sure = cross_entropy(&[0.0, 40.0, 0.0], 1);
        assert!((sure / (2.0 * (-40f64).exp()) - 1.0).abs() < 1e-12, "{sure}");
        assert!((cross_entropy(&[0.0, 0.0], 0) - 2f64.ln()).abs() < 1e-15);
        assert!((cross_entropy(&[900.0, 0.0], 1) - 900.0).abs() < 1e-9);
    }
}
