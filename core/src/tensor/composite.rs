//! Methods made of primitives, and the fused operations under their everyday names.

use super::Tensor;
use crate::op::{Axes, Conv, Fused, Window};
use crate::{Aval, DType, Shape};

impl Tensor {
    /// A tensor of this device and dtype with `value` everywhere.
    #[track_caller]
    #[must_use]
    pub fn fill(&self, value: f64) -> Tensor {
        Tensor::full_like(self.device(), self.aval(), value)
    }

    /// A scalar of this device and dtype.
    #[track_caller]
    #[must_use]
    pub fn scalar(&self, value: f64) -> Tensor {
        Tensor::full_like(self.device(), Aval::new(self.dtype(), Shape::SCALAR), value)
    }

    /// The sum of all elements, as a scalar.
    #[track_caller]
    #[must_use]
    pub fn sum_all(&self) -> Tensor {
        self.sum(&(0..self.shape().rank()).collect::<Axes>()).reshape_to(Shape::SCALAR)
    }

    /// The mean of all elements, as a scalar.
    #[track_caller]
    #[must_use]
    pub fn mean_all(&self) -> Tensor {
        self.sum_all().affine(1.0 / self.shape().numel().max(1) as f64, 0.0)
    }

    /// Sums what broadcasting had repeated, so that the result has `shape`.
    #[track_caller]
    #[must_use]
    pub fn sum_to(&self, shape: Shape) -> Tensor {
        if shape == self.shape() {
            return self.clone();
        }
        let lead = self.shape().rank() - shape.rank();
        let axes: Axes = (0..self.shape().rank())
            .filter(|&i| i < lead || (shape[i - lead] == 1 && self.shape()[i] != 1))
            .collect();
        self.sum(&axes).reshape_to(shape)
    }

    /// Removes `axis`, which has extent 1.
    #[track_caller]
    #[must_use]
    pub fn squeeze(&self, axis: usize) -> Tensor {
        let dims: Axes =
            self.shape().iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, &d)| d).collect();
        self.reshape(&dims)
    }

    /// Per-sample sum over everything but the first axis: `[N, ...]` to `[N]`.
    #[track_caller]
    #[must_use]
    pub fn sum_per_sample(&self) -> Tensor {
        let axes: Axes = (1..self.shape().rank()).collect();
        self.sum(&axes).reshape(&[self.dim(0)])
    }

    /// A per-sample factor or flag `[N]` shaped to broadcast against `like`: `[N, 1, ..., 1]`.
    #[track_caller]
    #[must_use]
    pub fn per_sample(&self, like: &Tensor) -> Tensor {
        let mut dims: Axes = smallvec::SmallVec::from_elem(1, like.shape().rank());
        if let Some(first) = dims.first_mut() {
            *first = self.shape().numel();
        }
        self.reshape(&dims)
    }

    /// `self * self`.
    #[track_caller]
    #[must_use]
    pub fn square(&self) -> Tensor {
        self * self
    }

    /// Values limited to `[lo, hi]`.
    #[track_caller]
    #[must_use]
    pub fn clamp(&self, lo: f64, hi: f64) -> Tensor {
        self.maximum(&self.scalar(lo)).minimum(&self.scalar(hi))
    }

    /// Logistic function `1 / (1 + e^-x)`, by way of tanh, which does not overflow.
    #[track_caller]
    #[must_use]
    pub fn sigmoid(&self) -> Tensor {
        self.affine(0.5, 0.0).tanh().affine(0.5, 0.5)
    }

    /// `log(sum(exp(x)))` along `axis`, which stays with extent 1. Shifted by the maximum first.
    #[track_caller]
    #[must_use]
    pub fn logsumexp(&self, axis: usize) -> Tensor {
        let shift = self.detach().max(axis);
        (self - &shift).exp().sum(&[axis]).log() + shift
    }

    /// `x - logsumexp(x)` along `axis`.
    #[track_caller]
    #[must_use]
    pub fn log_softmax(&self, axis: usize) -> Tensor {
        self - &self.logsumexp(axis)
    }

    /// `e^x` scaled to sum to 1 along `axis`.
    #[track_caller]
    #[must_use]
    pub fn softmax(&self, axis: usize) -> Tensor {
        self.log_softmax(axis).exp()
    }

    /// For labels `[N]` (i64): `[N, classes]` with a 1 at each label.
    #[track_caller]
    #[must_use]
    pub fn one_hot(&self, classes: usize, dtype: DType) -> Tensor {
        let ids = Tensor::iota(self.device(), classes).reshape(&[1, classes]);
        self.reshape(&[self.shape().numel(), 1]).eq(&ids).cast(dtype)
    }

    /// `max(x, 0)`, with slope 0 at 0.
    #[track_caller]
    #[must_use]
    pub fn relu(&self) -> Tensor {
        Tensor::fused(Fused::Relu, [self.clone()])
    }

    /// `x w^T + b` for `x [N, I]`, `w [O, I]`, `b [O]`; then its ReLU if asked.
    #[track_caller]
    #[must_use]
    pub fn linear(&self, weight: &Tensor, bias: &Tensor, relu: bool) -> Tensor {
        Tensor::fused(Fused::Linear { relu }, [self.clone(), weight.clone(), bias.clone()])
    }

    /// Convolution plus bias `[O]`, then its ReLU if asked.
    #[track_caller]
    #[must_use]
    pub fn conv_bias(&self, weight: &Tensor, bias: &Tensor, conv: Conv, relu: bool) -> Tensor {
        let args = [self.clone(), weight.clone(), bias.clone()];
        Tensor::fused(Fused::ConvBias { conv, relu }, args)
    }

    /// The largest value of each window.
    #[track_caller]
    #[must_use]
    pub fn max_pool2d(&self, window: Window) -> Tensor {
        Tensor::fused(Fused::MaxPool2d(window), [self.clone()])
    }

    /// For logits `[N, C]` and labels `[N]`: the cross-entropy of each sample, `[N]`, in nats.
    #[track_caller]
    #[must_use]
    pub fn softmax_xent(&self, labels: &Tensor) -> Tensor {
        Tensor::fused(Fused::SoftmaxXent, [self.clone(), labels.clone()])
    }
}
