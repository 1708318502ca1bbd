//! The difference-of-logits-ratio loss (Croce and Hein 2020, section 4): a margin over the spread of
//! the largest logits. Unlike cross-entropy it changes neither under shift nor scale of the logits,
//! so that a model cannot hide its gradients behind large ones.

use crate::Tensor;
use crate::loss::margin;

/// Keeps a ratio finite where the largest logits are equal: that of the authors' code.
const TINY: f64 = 1e-12;

/// `-(z_y - max_{i != y} z_i) / (z_(1) - z_(3) + 1e-12)` for logits `[N, C]` and labels `[N]`, where
/// `z_(k)` is the k-th largest: `[N]`. With two classes, where it is not defined, the margin
/// `max_{i != y} z_i - z_y`.
#[must_use]
pub fn dlr(logits: &Tensor, labels: &Tensor) -> Tensor {
    let classes = logits.dim(1);
    if classes < 3 {
        return margin(logits, labels);
    }
    let order = ranking(logits, 3);
    let top = logits.gather(1, &order);
    let spread = column(&top, 0) - column(&top, 2) + TINY;
    margin(logits, labels) / spread
}

/// `-(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2 + 1e-12)` for targets `t` (`[N]`): `[N]`. With three
/// classes or fewer, where it is not defined, `z_t - z_y`.
#[must_use]
pub fn dlr_targeted(logits: &Tensor, labels: &Tensor, targets: &Tensor) -> Tensor {
    let at = |classes: &Tensor| column(&logits.gather(1, &as_column(classes)), 0);
    let gain = at(targets) - at(labels);
    if logits.dim(1) < 4 {
        return gain;
    }
    let top = logits.gather(1, &ranking(logits, 4));
    let tail = (column(&top, 2) + column(&top, 3)) * 0.5;
    gain / (column(&top, 0) - tail + TINY)
}

/// The classes of the `count` largest logits, the largest first: `[N, count]`, i64. Of equal ones the
/// first class comes first; `count` is at least 1.
#[must_use]
pub fn ranking(logits: &Tensor, count: usize) -> Tensor {
    let mut left = logits.detach();
    let first = left.argmax(1);
    let mut order = vec![first.clone()];
    let mut last = first;
    for _ in 1..count {
        left = without(&left, &last);
        last = left.argmax(1);
        order.push(last.clone());
    }
    order[0].concat(&order[1..], 1)
}

/// The `count` classes (fewer if there are not as many) that come next after the label: `[N, count]`.
#[must_use]
pub fn next_classes(logits: &Tensor, labels: &Tensor, count: usize) -> Tensor {
    let others = without(&logits.detach(), labels);
    ranking(&others, count.min(logits.dim(1).saturating_sub(1)))
}

/// The logits with -inf at one class of each sample: 0 could be larger than all the others.
fn without(logits: &Tensor, class: &Tensor) -> Tensor {
    let onehot = class.one_hot(logits.dim(1), logits.dtype());
    logits.scalar(f64::NEG_INFINITY).where_(&onehot, logits)
}

/// Column `i` of `[N, K]` as `[N]`.
pub(super) fn column(x: &Tensor, i: usize) -> Tensor {
    x.narrow(1, i, 1).reshape(&[x.dim(0)])
}

/// `[N]` as `[N, 1]`.
pub(super) fn as_column(x: &Tensor) -> Tensor {
    x.reshape(&[x.dim(0), 1])
}
