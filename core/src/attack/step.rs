//! The direction of steepest ascent in each norm.

use serde::{Deserialize, Serialize};

use super::Norm;
use super::ball::{bisect, length2};
use crate::Tensor;

/// How an L1 step spreads its length over the values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum L1Step {
    /// In proportion to the gradient, `g / |g|_1`: what the older tools do.
    Dense,
    /// Equally over the share `0 < q <= 1` of values with the largest gradient that can still move
    /// (Tramer and Boneh 2019, SLIDE): stronger.
    Sparse(f64),
}

/// The step of length 1 in `norm` along which a linear function with gradient `g` grows most (for a
/// dense L1 step: a step of length 1 along the gradient). `x` and the box tell which values can
/// move.
pub(super) fn direction(
    norm: Norm,
    l1: L1Step,
    g: &Tensor,
    x: &Tensor,
    bounds: [f64; 2],
) -> Tensor {
    match (norm, l1) {
        (Norm::Linf, _) => g.sign(),
        (Norm::L2, _) => scaled(g, &length2(g)),
        (Norm::L1 | Norm::L0, L1Step::Dense) => scaled(g, &g.abs().sum_per_sample()),
        (Norm::L1 | Norm::L0, L1Step::Sparse(share)) => sparse(g, x, bounds, share),
    }
}

fn scaled(g: &Tensor, length: &Tensor) -> Tensor {
    g / &length.maximum(&length.scalar(1e-12)).per_sample(g)
}

/// Signs of the largest gradients that do not push against the box, divided by their number.
fn sparse(g: &Tensor, x: &Tensor, [lo, hi]: [f64; 2], share: f64) -> Tensor {
    let zero = g.scalar(0.0);
    let up = zero.lt(g) * x.lt(&x.scalar(hi));
    let down = g.lt(&zero) * x.scalar(lo).lt(x);
    let movable = g.abs() * (up + down);
    let features: usize = g.shape().iter().skip(1).product();
    let count = g.scalar((share * features as f64).floor().max(1.0));
    scaled_signs(g, &movable, &count)
}

/// Signs of `g` where `weight` is among the `count` largest of its sample (a scalar, or `[N]`), divided
/// by their number: a step of length 1 in L1.
pub(super) fn scaled_signs(g: &Tensor, weight: &Tensor, count: &Tensor) -> Tensor {
    let zero = g.scalar(0.0);
    let above = |t: &Tensor| t.per_sample(g).lt(weight);
    let threshold = bisect(weight, |t| above(t).sum_per_sample(), count);
    // With `count` values strictly above the threshold the set is exact; ties at the largest value
    // leave it empty, and then all of the ties are taken.
    let strict = above(&threshold);
    let some = zero.lt(&strict.sum_per_sample()).per_sample(g);
    let top = threshold.per_sample(g).le(weight) * zero.lt(weight);
    let chosen = strict.where_(&some, &top);
    scaled(&(g.sign() * &chosen), &chosen.sum_per_sample())
}
