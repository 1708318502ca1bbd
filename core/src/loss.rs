//! Losses of logits `[N, C]` and labels `[N]`, per sample: `[N]`.
//!
//! Per sample, and summed where one number is needed: with a mean, the size of a step would depend
//! on how many other samples share the batch.

use crate::Tensor;

/// Cross-entropy `-log softmax(z)_y`, in nats.
#[track_caller]
#[must_use]
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    logits.softmax_xent(labels)
}

/// `KL(softmax(p) || softmax(q))`, in nats, for logits `p` and `q`.
#[track_caller]
#[must_use]
pub fn kl_divergence(p: &Tensor, q: &Tensor) -> Tensor {
    let log_p = p.log_softmax(1);
    let terms = log_p.exp() * (&log_p - q.log_softmax(1));
    terms.sum(&[1]).reshape(&[p.dim(0)])
}

/// `-log p_y - log(1.0001 - max_{i != y} p_i)` for `p = softmax(z)`, in nats: the cross-entropy, and a
/// penalty on the class that comes nearest (Wang et al. 2020, equation 6; the 1.0001, which keeps the
/// logarithm finite, is that of their code).
#[track_caller]
#[must_use]
pub fn boosted_cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    let runner_up = (runner_up(logits, labels) - logits.logsumexp(1)).exp();
    let penalty = -runner_up.affine(-1.0, 1.0001).log();
    cross_entropy(logits, labels) + penalty.reshape(&[labels.dim(0)])
}

/// `max_{i != y} z_i`, `[N, 1]`.
#[track_caller]
fn runner_up(logits: &Tensor, labels: &Tensor) -> Tensor {
    let onehot = labels.one_hot(logits.dim(1), logits.dtype());
    logits.scalar(f64::NEG_INFINITY).where_(&onehot, logits).max(1)
}

/// `max_{i != y} z_i - z_y`: positive exactly where the prediction is wrong (ties aside).
///
/// The loss of Carlini and Wagner (2017, f_6) with the opposite sign and no floor.
#[track_caller]
#[must_use]
pub fn margin(logits: &Tensor, labels: &Tensor) -> Tensor {
    let column = labels.reshape(&[labels.dim(0), 1]);
    (runner_up(logits, labels) - logits.gather(1, &column)).reshape(&[labels.dim(0)])
}
