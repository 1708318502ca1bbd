//! How much a release looks as if a canary had been in: higher is more.
//!
//! White-box scores are for an auditor who sees every update, as accountants assume; black-box ones
//! for one who sees the finished model only. Both are functions of plain values, so that any trainer
//! can be audited.

use crate::{Result, bail};

/// Adds to `scores` `[M]` the inner products of each canary's gradient with one `update` `[D]`: the
/// best score there is against Gaussian noise. `gradients` is `[M, D]`, row by row, and `update` a
/// noisy *sum or mean of gradients*: of a step of the weights, pass the negative.
///
/// # Errors
/// The sizes do not fit.
pub fn add_inner_products(scores: &mut [f64], gradients: &[f64], update: &[f64]) -> Result<()> {
    if gradients.len() != scores.len() * update.len() {
        bail!(
            Usage,
            "audit: {} values of gradients for {} canaries and an update of {}; pass a row each",
            gradients.len(),
            scores.len(),
            update.len()
        );
    }
    for (score, gradient) in scores.iter_mut().zip(gradients.chunks(update.len().max(1))) {
        *score += gradient.iter().zip(update).map(|(g, u)| g * u).sum::<f64>();
    }
    Ok(())
}

/// How much lower the loss of each canary is after the training than `before` it. Canaries differ in
/// how hard they are, which the loss of a model that saw none of them takes out; where there is no
/// such model, pass zeros.
///
/// # Errors
/// The slices differ in length.
pub fn loss_drops(before: &[f64], after: &[f64]) -> Result<Vec<f64>> {
    if before.len() != after.len() {
        bail!(Usage, "audit: {} losses before, {} after; pass one each", before.len(), after.len());
    }
    Ok(before.iter().zip(after).map(|(b, a)| b - a).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_what_their_names_say() {
        let mut scores = [1.0, 2.0];
        let gradients = [1.0, 0.0, 2.0, 0.0, 3.0, 0.0];
        add_inner_products(&mut scores, &gradients, &[10.0, 100.0, 1000.0]).unwrap();
        assert_eq!(scores, [2011.0, 302.0]);
        assert!(add_inner_products(&mut scores, &gradients, &[1.0]).is_err());
        assert_eq!(loss_drops(&[2.0, 1.0], &[0.5, 3.0]).unwrap(), [1.5, -2.0]);
        assert!(loss_drops(&[1.0], &[]).is_err());
    }
}
