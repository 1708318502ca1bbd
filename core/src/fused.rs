//! What each fused operation means in primitives.
//!
//! These decompositions are the definitions. They run where a backend does not offer the fused
//! form, give the derivative of those fused operations that have no rule of their own, and are what
//! the conformance suite compares every backend's kernels with.

use smallvec::{SmallVec, smallvec};

use crate::op::{Conv, Fused, Window};
use crate::tensor::Tensor;

/// The outputs of `op` on `args`, by primitives. `args` have been checked by inference.
pub fn decompose(op: &Fused, args: &[Tensor]) -> SmallVec<[Tensor; 1]> {
    let one = match *op {
        Fused::Relu => args[0].maximum(&args[0].scalar(0.0)),
        Fused::ReluGrad => args[1].where_(&args[0].scalar(0.0).lt(&args[0]), &args[1].scalar(0.0)),
        Fused::Linear { relu } => relu_if(relu, args[0].matmul_t(&args[1], false, true) + &args[2]),
        Fused::ConvBias { conv, relu } => {
            let bias = args[2].reshape(&[args[2].dim(0), 1, 1]);
            relu_if(relu, args[0].conv2d(&args[1], conv) + bias)
        }
        Fused::ConvWeightGrads { conv, kernel } => weight_grads(&args[0], &args[1], conv, kernel),
        Fused::MaxPool2d(window) => at_maxima(&args[0], &args[0], window),
        Fused::MaxPool2dGrad(window) => max_pool2d_grad(&args[0], &args[1], window),
        Fused::SoftmaxXent => {
            let at_label = args[0].gather(1, &args[1].reshape(&[args[1].dim(0), 1]));
            (args[0].logsumexp(1) - at_label).reshape(&[args[1].dim(0)])
        }
        Fused::SoftmaxXentGrad => {
            let onehot = args[1].one_hot(args[0].dim(1), args[0].dtype());
            (args[0].softmax(1) - onehot) * args[2].reshape(&[args[2].dim(0), 1])
        }
        Fused::PgdStep { step, eps, lo, hi } => {
            let moved = &args[0] + &(args[1].sign() * step);
            let (low, high) = (&args[2] - eps, &args[2] + eps);
            moved.maximum(&low).minimum(&high).clamp(lo, hi)
        }
        Fused::AdamStep { beta1, beta2, step, scale, eps } => {
            let (p, g, m, v) = (&args[0], &args[1], &args[2], &args[3]);
            let m = m * beta1 + g * (1.0 - beta1);
            let v = v * beta2 + g.square() * (1.0 - beta2);
            let p = p - &((&m * step) / (v.sqrt().affine(scale, eps)));
            return smallvec![p, m, v];
        }
    };
    smallvec![one]
}

fn relu_if(relu: bool, x: Tensor) -> Tensor {
    if relu { x.maximum(&x.scalar(0.0)) } else { x }
}

/// A product of matrices for each sample: cotangents, and what the windows of their pixels saw. In groups,
/// one convolution in which every sample is groups of its own, so that nothing is added over them.
fn weight_grads(x: &Tensor, g: &Tensor, conv: Conv, kernel: [usize; 2]) -> Tensor {
    let [n, outputs, groups] = [x.dim(0), g.dim(1), conv.groups];
    let channels = x.dim(1) / groups;
    let shape = [n, outputs, channels, kernel[0], kernel[1]];
    if n == 0 {
        return Tensor::zeros(x.device(), x.dtype(), &shape);
    }
    if groups == 1 {
        let cotangents = g.reshape(&[n, outputs, g.dim(2) * g.dim(3)]);
        return cotangents.matmul_t(&x.unfold2d(conv.window(kernel)), false, true).reshape(&shape);
    }
    let one = |t: &Tensor| t.reshape(&[1, n * t.dim(1), t.dim(2), t.dim(3)]);
    let apart = Conv { groups: n * groups, ..conv };
    one(x).conv2d_dw(&one(g), apart, kernel).reshape(&shape)
}

/// `[N, C, H, W]` as `[N, C, H * W]`, which is what max-pool positions index.
fn planes(x: &Tensor) -> Tensor {
    x.reshape(&[x.dim(0), x.dim(1), x.dim(2) * x.dim(3)])
}

/// `values`, shaped like `x`, read where each window of `x` has its first maximum.
pub(crate) fn at_maxima(x: &Tensor, values: &Tensor, window: Window) -> Tensor {
    let idx = x.max_pool2d_idx(window);
    planes(values).gather(2, &planes(&idx)).reshape_to(idx.shape())
}

fn max_pool2d_grad(x: &Tensor, g: &Tensor, window: Window) -> Tensor {
    let idx = x.max_pool2d_idx(window);
    let zeros = planes(x).fill(0.0);
    zeros.scatter_add(2, &planes(&idx), &planes(g)).reshape_to(x.shape())
}
