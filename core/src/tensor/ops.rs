//! One method per primitive.

use smallvec::SmallVec;

use super::Tensor;
use crate::op::{Axes, Binary, Compare, Conv, Fused, Op, Unary, Window};
use crate::{DType, Shape};

macro_rules! unary {
    ($($(#[$doc:meta])+ $method:ident = $variant:ident;)+) => {
        impl Tensor { $(
            $(#[$doc])+
            #[track_caller]
            #[must_use]
            pub fn $method(&self) -> Tensor {
                Tensor::apply(Op::Unary(Unary::$variant), [self.clone()])
            }
        )+ }
    };
}

unary! {
    /// `e^x`.
    exp = Exp;
    /// Natural logarithm.
    log = Log;
    /// Square root.
    sqrt = Sqrt;
    /// Hyperbolic tangent.
    tanh = Tanh;
    /// Error function.
    erf = Erf;
    /// Absolute value.
    abs = Abs;
    /// `-1`, `0` or `1`.
    sign = Sign;
    /// To the nearest integer, halves to the even one.
    round = Round;
}

macro_rules! binary {
    ($($(#[$doc:meta])+ $method:ident = $op:expr;)+) => {
        impl Tensor { $(
            $(#[$doc])+
            #[track_caller]
            #[must_use]
            pub fn $method(&self, other: &Tensor) -> Tensor {
                Tensor::apply($op, [self.clone(), other.clone()])
            }
        )+ }
    };
}

binary! {
    /// The larger of two, broadcasting; the derivative goes to `other` where they are equal.
    maximum = Op::Binary(Binary::Maximum);
    /// The smaller of two, broadcasting; the derivative goes to `other` where they are equal.
    minimum = Op::Binary(Binary::Minimum);
    /// `self` to the power of `other`, broadcasting.
    pow = Op::Binary(Binary::Pow);
    /// 1 where equal, else 0, in the operands' dtype.
    eq = Op::Compare(Compare::Eq);
    /// 1 where less, else 0, in the operands' dtype.
    lt = Op::Compare(Compare::Lt);
    /// 1 where less or equal, else 0, in the operands' dtype.
    le = Op::Compare(Compare::Le);
}

fn list(axes: &[usize]) -> Axes {
    SmallVec::from_slice(axes)
}

impl Tensor {
    /// `mul * x + add`.
    #[track_caller]
    #[must_use]
    pub fn affine(&self, mul: f64, add: f64) -> Tensor {
        Tensor::apply(Op::Affine { mul, add }, [self.clone()])
    }

    /// `self` where `cond` is not 0, else `other`; all broadcast, all of one dtype.
    #[track_caller]
    #[must_use]
    pub fn where_(&self, cond: &Tensor, other: &Tensor) -> Tensor {
        Tensor::apply(Op::Where, [cond.clone(), self.clone(), other.clone()])
    }

    /// The same values in another dtype.
    #[track_caller]
    #[must_use]
    pub fn cast(&self, to: DType) -> Tensor {
        if to == self.dtype() { self.clone() } else { Tensor::apply(Op::Cast(to), [self.clone()]) }
    }

    /// Sum over `axes`, which stay with extent 1.
    #[track_caller]
    #[must_use]
    pub fn sum(&self, axes: &[usize]) -> Tensor {
        Tensor::apply(Op::Sum { axes: list(axes) }, [self.clone()])
    }

    /// The largest along `axis`, which stays with extent 1.
    #[track_caller]
    #[must_use]
    pub fn max(&self, axis: usize) -> Tensor {
        Tensor::apply(Op::Max { axis }, [self.clone()])
    }

    /// Index (i64) of the first largest along `axis`, which stays with extent 1.
    #[track_caller]
    #[must_use]
    pub fn argmax(&self, axis: usize) -> Tensor {
        Tensor::apply(Op::ArgMax { axis }, [self.clone()])
    }

    /// Repeats axes of extent 1, and adds leading axes, to reach `shape`.
    #[track_caller]
    #[must_use]
    pub fn broadcast(&self, shape: Shape) -> Tensor {
        if shape == self.shape() {
            return self.clone();
        }
        Tensor::apply(Op::Broadcast { shape }, [self.clone()])
    }

    /// The same elements in row-major order with another shape.
    #[track_caller]
    #[must_use]
    pub fn reshape(&self, shape: &[usize]) -> Tensor {
        match Shape::new(shape) {
            Ok(shape) => self.reshape_to(shape),
            Err(err) => Tensor::failed(self.device(), err),
        }
    }

    #[track_caller]
    pub(crate) fn reshape_to(&self, shape: Shape) -> Tensor {
        if shape == self.shape() {
            return self.clone();
        }
        Tensor::apply(Op::Reshape { shape }, [self.clone()])
    }

    /// Axis `i` of the result is axis `axes[i]` of this.
    #[track_caller]
    #[must_use]
    pub fn permute(&self, axes: &[usize]) -> Tensor {
        Tensor::apply(Op::Permute { axes: list(axes) }, [self.clone()])
    }

    /// Reverses `axes`.
    #[track_caller]
    #[must_use]
    pub fn flip(&self, axes: &[usize]) -> Tensor {
        Tensor::apply(Op::Flip { axes: list(axes) }, [self.clone()])
    }

    /// The box `start[i] .. start[i] + len[i]`.
    #[track_caller]
    #[must_use]
    pub fn slice(&self, start: &[usize], len: &[usize]) -> Tensor {
        Tensor::apply(Op::Slice { start: list(start), len: list(len) }, [self.clone()])
    }

    /// Rows `start .. start + len` along `axis`.
    #[track_caller]
    #[must_use]
    pub fn narrow(&self, axis: usize, start: usize, len: usize) -> Tensor {
        let mut starts: Axes = SmallVec::from_elem(0, self.shape().rank());
        let mut lens = list(&self.shape());
        if let (Some(s), Some(l)) = (starts.get_mut(axis), lens.get_mut(axis)) {
            (*s, *l) = (start, len);
        }
        self.slice(&starts, &lens)
    }

    /// Zeros around: `before[i]` and `after[i]` of them along axis `i`.
    #[track_caller]
    #[must_use]
    pub fn pad(&self, before: &[usize], after: &[usize]) -> Tensor {
        Tensor::apply(Op::Pad { before: list(before), after: list(after) }, [self.clone()])
    }

    /// This and `others`, joined along `axis`.
    #[track_caller]
    #[must_use]
    pub fn concat(&self, others: &[Tensor], axis: usize) -> Tensor {
        let args = std::iter::once(self).chain(others).cloned();
        Tensor::apply(Op::Concat { axis }, args)
    }

    /// `out[.., i, ..] = self[.., idx[.., i, ..], ..]` along `axis`.
    #[track_caller]
    #[must_use]
    pub fn gather(&self, axis: usize, idx: &Tensor) -> Tensor {
        Tensor::apply(Op::Gather { axis }, [self.clone(), idx.clone()])
    }

    /// This with `out[.., idx[.., i, ..], ..] += src[.., i, ..]` along `axis`.
    #[track_caller]
    #[must_use]
    pub fn scatter_add(&self, axis: usize, idx: &Tensor, src: &Tensor) -> Tensor {
        Tensor::apply(Op::ScatterAdd { axis }, [self.clone(), idx.clone(), src.clone()])
    }

    /// Slices along `axis` in the order of `idx` (`[K]`, i64).
    #[track_caller]
    #[must_use]
    pub fn take(&self, axis: usize, idx: &Tensor) -> Tensor {
        Tensor::apply(Op::Take { axis }, [self.clone(), idx.clone()])
    }

    /// This with the slices of `src` along `axis` added at `idx` (`[K]`, i64).
    #[track_caller]
    #[must_use]
    pub fn put_add(&self, axis: usize, idx: &Tensor, src: &Tensor) -> Tensor {
        Tensor::apply(Op::PutAdd { axis }, [self.clone(), idx.clone(), src.clone()])
    }

    /// Windows of `[N, C, H, W]` as columns `[N, C * kh * kw, L]`.
    #[track_caller]
    #[must_use]
    pub fn unfold2d(&self, window: Window) -> Tensor {
        Tensor::apply(Op::Unfold2d(window), [self.clone()])
    }

    /// Columns `[N, C * kh * kw, L]` added back into images of `size`.
    #[track_caller]
    #[must_use]
    pub fn fold2d(&self, window: Window, size: [usize; 2]) -> Tensor {
        Tensor::apply(Op::Fold2d { window, size }, [self.clone()])
    }

    /// Matrix product of the last two axes.
    #[track_caller]
    #[must_use]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        self.matmul_t(other, false, false)
    }

    /// Matrix product of the last two axes, either operand transposed first.
    #[track_caller]
    #[must_use]
    pub fn matmul_t(&self, other: &Tensor, trans_a: bool, trans_b: bool) -> Tensor {
        Tensor::apply(Op::MatMul { trans_a, trans_b }, [self.clone(), other.clone()])
    }

    /// Cross-correlation of `[N, C, H, W]` with a weight `[O, C/groups, kh, kw]`.
    #[track_caller]
    #[must_use]
    pub fn conv2d(&self, weight: &Tensor, conv: Conv) -> Tensor {
        Tensor::apply(Op::Conv2d(conv), [self.clone(), weight.clone()])
    }

    /// For a gradient `self` of a convolution's output: the gradient of its input of `[H, W]`.
    #[track_caller]
    #[must_use]
    pub fn conv2d_dx(&self, weight: &Tensor, conv: Conv, input: [usize; 2]) -> Tensor {
        Tensor::apply(Op::Conv2dDx { conv, input }, [self.clone(), weight.clone()])
    }

    /// For an input `self` of a convolution and the gradient of its output: that of its weight.
    #[track_caller]
    #[must_use]
    pub fn conv2d_dw(&self, grad: &Tensor, conv: Conv, kernel: [usize; 2]) -> Tensor {
        Tensor::apply(Op::Conv2dDw { conv, kernel }, [self.clone(), grad.clone()])
    }

    /// As [`Tensor::conv2d_dw`] for each sample alone, `[N, O, C/groups, kh, kw]`.
    #[track_caller]
    #[must_use]
    pub fn conv_weight_grads(&self, grad: &Tensor, conv: Conv, kernel: [usize; 2]) -> Tensor {
        Tensor::fused(Fused::ConvWeightGrads { conv, kernel }, [self.clone(), grad.clone()])
    }

    /// Position `h * W + w` (i64) of the first largest value of each window.
    #[track_caller]
    #[must_use]
    pub fn max_pool2d_idx(&self, window: Window) -> Tensor {
        Tensor::apply(Op::MaxPool2dIdx(window), [self.clone()])
    }
}
