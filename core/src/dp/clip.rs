//! Clipping of per-sample gradients in the L2 norm over all parameters ("flat" clipping; Abadi et
//! al. 2016, algorithm 1), and scaling that needs no good bound ([`automatic_factors`]).
//!
//! The guarantee rests on one inequality: whatever a sample is, it moves the clipped sum by at most
//! the bound. It is tested on every backend.

use crate::{Error, ErrorKind, Result, Tensor, bail};

/// Squared L2 norms `[N]` of the gradients of each of `N` samples, over all parameters.
///
/// `grads` has one tensor `[N, ...]` a parameter.
///
/// # Errors
/// There is no parameter, or the tensors differ in their first axis or device.
pub fn squared_norms(grads: &[Tensor]) -> Result<Tensor> {
    let mut total: Option<Tensor> = None;
    for grad in grads {
        let n = grad.dim(0);
        let width = grad.shape().iter().skip(1).product();
        let row = grad.reshape(&[n, 1, width]);
        let of_one = row.matmul_t(&row, false, true).reshape(&[n]);
        let sum = match total {
            Some(total) => total + of_one,
            None => of_one,
        };
        total = Some(sum.check()?.clone());
    }
    total.ok_or_else(|| Error::new(ErrorKind::Usage, "clip: there are no gradients"))
}

/// What each sample's gradient is multiplied with, `[N]`: `min(1, bound / norm)`, so 1 where the norm
/// is 0.
///
/// # Errors
/// `bound` is not positive and finite, or the norms could not be computed.
pub fn factors(squared_norms: &Tensor, bound: f64) -> Result<Tensor> {
    check_bound(bound)?;
    // max(norm / bound, 1) first: no division by a norm that may be 0, and exactly 1 within.
    let excess = (norms(squared_norms) * (1.0 / bound)).maximum(&squared_norms.scalar(1.0));
    let factors = squared_norms.fill(1.0) / excess;
    Ok(factors.check()?.clone())
}

/// What each sample's gradient is multiplied with, `[N]`, by automatic clipping (Bu et al. 2023, arXiv
/// 2206.07136, AUTO-S): `bound / (norm + gamma)`. Every gradient comes out shorter than `bound`, short
/// ones made longer, so that the bound only scales the learning rate.
///
/// # Errors
/// `bound` or `gamma` is not positive and finite, or the norms could not be computed.
pub fn automatic_factors(squared_norms: &Tensor, bound: f64, gamma: f64) -> Result<Tensor> {
    check_bound(bound)?;
    if !(gamma > 0.0 && gamma.is_finite()) {
        bail!(Config, "clip: gamma = {gamma} must be positive and finite");
    }
    let factors = squared_norms.fill(bound) / norms(squared_norms).affine(1.0, gamma);
    Ok(factors.check()?.clone())
}

/// The roots of squared norms. Where these come from Gram matrices (`dp::ghost`) they are sums of terms
/// that cancel, and rounding can leave one a little below 0, whose root would be NaN and end the training:
/// it counts as 0.
pub(crate) fn norms(squared_norms: &Tensor) -> Tensor {
    squared_norms.maximum(&squared_norms.scalar(0.0)).sqrt()
}

fn check_bound(bound: f64) -> Result<()> {
    if !(bound > 0.0 && bound.is_finite()) {
        bail!(Config, "clip: the bound {bound} must be positive and finite");
    }
    Ok(())
}

/// The sum over samples of their clipped gradients, a tensor a parameter without the first axis.
///
/// # Errors
/// As [`squared_norms`] and [`factors`].
pub fn clipped_sum(grads: &[Tensor], bound: f64) -> Result<Vec<Tensor>> {
    let factors = factors(&squared_norms(grads)?, bound)?;
    let n = factors.dim(0);
    let row = factors.reshape(&[1, n]);
    let each = grads.iter().map(|grad| {
        let shape = grad.shape();
        let width = shape[1..].iter().product();
        let sum = row.matmul(&grad.reshape(&[n, width])).reshape(&shape[1..]);
        Ok(sum.check()?.clone())
    });
    each.collect()
}
