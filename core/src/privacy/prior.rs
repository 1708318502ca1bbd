//! What is expected of a picture before anything is known of it: neighbouring pixels are alike, values
//! are near the middle of their range. Attacks add these to what they match, because many inputs have
//! nearly the gradient, or the outputs, that were seen.

use crate::Tensor;

/// Total variation of each sample of `[N, C, H, W]`, as `[N]`: the mean absolute difference of vertical
/// neighbours plus that of horizontal ones (Geiping et al. 2020, section 4; anisotropic). Zero for
/// samples that are no pictures.
#[track_caller]
#[must_use]
pub fn total_variation(x: &Tensor) -> Tensor {
    let n = x.dim(0);
    let &[_, c, h, w] = &x.shape()[..] else { return x.sum_per_sample() * 0.0 };
    let mean = |difference: Tensor, count: usize| {
        difference.abs().sum_per_sample() * (1.0 / count.max(1) as f64)
    };
    let mut total = Tensor::zeros(x.device(), x.dtype(), &[n]);
    if h > 1 {
        let down = x.narrow(2, 1, h - 1) - x.narrow(2, 0, h - 1);
        total = total + mean(down, c * (h - 1) * w);
    }
    if w > 1 {
        let right = x.narrow(3, 1, w - 1) - x.narrow(3, 0, w - 1);
        total = total + mean(right, c * h * (w - 1));
    }
    total
}

/// Mean squared distance of each sample of `[N, ...]` from the middle of its range, as `[N]`.
#[track_caller]
#[must_use]
pub fn l2(x: &Tensor, bounds: [f64; 2]) -> Tensor {
    let each: usize = x.shape().iter().skip(1).product();
    let middle = f64::midpoint(bounds[0], bounds[1]);
    x.affine(1.0, -middle).square().sum_per_sample() * (1.0 / each.max(1) as f64)
}
