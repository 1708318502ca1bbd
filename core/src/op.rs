//! The operations: what they mean, as data.
//!
//! About forty primitives, in families closed under differentiation, and a few fused operations
//! that have a decomposition into them ([`crate::fused`]). The definitions here are normative for
//! every backend, including the rules for ties, so that backends agree to rounding.
//!
//! Shapes and dtypes are checked in [`Op::infer`] and nowhere else.

mod code;
mod codec;
mod infer;

pub use code::OpCode;
pub use codec::Encoded;

use smallvec::SmallVec;

use crate::{Aval, DType, Shape};

/// Abstract values of the outputs of an operation.
pub type Avals = SmallVec<[Aval; 1]>;

/// A list of axes or of per-axis numbers.
pub type Axes = SmallVec<[usize; crate::aval::MAX_RANK]>;

/// Elementwise functions of one operand. Defined on floats; `Neg`, `Abs`, `Sign` on integers too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unary {
    /// `-x`
    Neg,
    /// `e^x`
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// Hyperbolic tangent.
    Tanh,
    /// Error function `2/sqrt(pi) * integral_0^x exp(-t^2) dt`.
    Erf,
    /// Absolute value.
    Abs,
    /// `-1`, `0` or `1`; `sign(0) = sign(-0) = 0`.
    Sign,
    /// To the nearest integer, halves to the even one.
    Round,
}

/// Elementwise functions of two operands, which broadcast. Defined on all dtypes, `Pow` on floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`; integers round towards zero.
    Div,
    /// The larger. Its derivative goes to `b` where they are equal, so `max(x, 0)` has slope 0 at 0.
    Maximum,
    /// The smaller. Its derivative goes to `b` where they are equal.
    Minimum,
    /// `a^b`, `a >= 0` unless `b` is an integer.
    Pow,
}

/// Elementwise comparisons, which broadcast. The result is 1 or 0 in the dtype of the operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compare {
    /// `a == b`
    Eq,
    /// `a < b`
    Lt,
    /// `a <= b`
    Le,
}

/// Geometry of a sliding window over the last two axes of `[N, C, H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Extent of the window, `[height, width]`.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Rows and columns added on both sides: zeros, or minus infinity for max-pooling.
    pub padding: [usize; 2],
    /// Distance between the taps of a window.
    pub dilation: [usize; 2],
}

impl Window {
    /// A square window with one stride and one padding, without dilation.
    pub const fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Window { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2], dilation: [1; 2] }
    }

    /// How many windows fit an input of `[height, width]`; `None` if not even one does.
    pub fn output(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let fit = |i: usize| {
            let reach = self.dilation[i].checked_mul(self.kernel[i].checked_sub(1)?)?;
            let padded = self.padding[i].checked_mul(2)?.checked_add(input[i])?;
            Some(padded.checked_sub(reach.checked_add(1)?)?.checked_div(self.stride[i])? + 1)
        };
        Some([fit(0)?, fit(1)?])
    }
}

/// Geometry of a convolution, without its kernel extent, which the weight carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Step between windows, `[height, width]`.
    pub stride: [usize; 2],
    /// Zeros added on both sides.
    pub padding: [usize; 2],
    /// Distance between taps.
    pub dilation: [usize; 2],
    /// Channel groups: input and output channels are split into this many independent parts.
    pub groups: usize,
}

impl Conv {
    /// One stride and one padding for both axes, one group, no dilation.
    pub const fn new(stride: usize, padding: usize) -> Self {
        Conv { stride: [stride; 2], padding: [padding; 2], dilation: [1; 2], groups: 1 }
    }

    /// The window that a kernel of this extent slides.
    pub const fn window(&self, kernel: [usize; 2]) -> Window {
        Window { kernel, stride: self.stride, padding: self.padding, dilation: self.dilation }
    }
}

/// Operations that stand for several primitives. Each has a decomposition ([`crate::fused`]);
/// a backend may run it as one kernel, and the conformance suite holds the two equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fused {
    /// `(x)`: `max(x, 0)`.
    Relu,
    /// `(y, g)`: `g` where `y > 0`, else 0, for `y` the output (or the input) of a ReLU.
    ReluGrad,
    /// `(x [N, I], w [O, I], b [O])`: `x w^T + b`, and its ReLU if `relu`.
    Linear {
        /// Whether a ReLU follows.
        relu: bool,
    },
    /// `(x [N, C, H, W], w [O, C/groups, kh, kw], b [O])`: convolution plus bias, and its ReLU.
    ConvBias {
        /// Geometry.
        conv: Conv,
        /// Whether a ReLU follows.
        relu: bool,
    },
    /// `(x [N, C, H, W], g [N, O, OH, OW])`: the derivative of a convolution in its weight for each
    /// sample alone, `[N, O, C/groups, kh, kw]`; their sum over samples is [`Op::Conv2dDw`].
    ConvWeightGrads {
        /// Geometry.
        conv: Conv,
        /// Extent of the weight, `[kh, kw]`.
        kernel: [usize; 2],
    },
    /// `(x [N, C, H, W])`: the largest value of each window. Padding never wins.
    MaxPool2d(Window),
    /// `(x [N, C, H, W], g [N, C, OH, OW])`: each `g` added where its window had its first maximum.
    MaxPool2dGrad(Window),
    /// `(z [N, C], y [N] i64)`: `logsumexp(z_n) - z_n[y_n]`, `[N]`.
    SoftmaxXent,
    /// `(z [N, C], y [N] i64, g [N])`: `g_n (softmax(z_n) - onehot(y_n))`.
    SoftmaxXentGrad,
    /// `(x, g, x0)`, one shape: `clip(clip(x + step sign(g), x0 - eps, x0 + eps), lo, hi)`.
    PgdStep {
        /// Signed step; negative descends.
        step: f64,
        /// Radius of the Linf ball around `x0`.
        eps: f64,
        /// Lower end of the box.
        lo: f64,
        /// Upper end of the box.
        hi: f64,
    },
    /// `(p, g, m, v)`, one shape, to `(p', m', v')`: Adam (Kingma and Ba 2015, algorithm 1) with
    /// `m' = b1 m + (1-b1) g`, `v' = b2 v + (1-b2) g^2`, `p' = p - step m' / (sqrt(v') scale + eps)`.
    /// The bias corrections are in `step` (= lr / (1 - b1^t)) and `scale` (= 1 / sqrt(1 - b2^t)).
    AdamStep {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Bias-corrected learning rate.
        step: f64,
        /// Bias correction of the square root of the second moment.
        scale: f64,
        /// Added to the denominator.
        eps: f64,
    },
}

/// An operation. Operands are positional; their order is in each description.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `(x)`: elementwise.
    Unary(Unary),
    /// `(x)`: `mul * x + add`, computed in the dtype of `x` after rounding the constants to it.
    Affine {
        /// Factor.
        mul: f64,
        /// Summand.
        add: f64,
    },
    /// `(a, b)`: elementwise, broadcasting.
    Binary(Binary),
    /// `(a, b)`: elementwise, broadcasting.
    Compare(Compare),
    /// `(c, a, b)`: `a` where `c != 0`, else `b`; all three broadcast and have one dtype.
    Where,
    /// `(x)`: to another dtype. Floats become integers by truncation towards zero.
    Cast(DType),
    /// `()`: a constant array.
    Full {
        /// Dtype and shape of the result.
        aval: Aval,
        /// The value, rounded to the dtype.
        value: f64,
    },
    /// `()`: `0, 1, ..., len - 1` in i64.
    Iota {
        /// Number of elements.
        len: usize,
    },
    /// `(x)`: sum over `axes` (strictly increasing), which stay with extent 1.
    Sum {
        /// Axes summed over.
        axes: Axes,
    },
    /// `(x)`: the largest along `axis`, which stays with extent 1.
    Max {
        /// Axis searched.
        axis: usize,
    },
    /// `(x)`: index (i64) of the first largest along `axis`, which stays with extent 1.
    ArgMax {
        /// Axis searched.
        axis: usize,
    },
    /// `(x)`: repeats axes of extent 1, and adds leading axes, to reach `shape`.
    Broadcast {
        /// The resulting shape.
        shape: Shape,
    },
    /// `(x)`: the same elements in row-major order with another shape.
    Reshape {
        /// The resulting shape.
        shape: Shape,
    },
    /// `(x)`: axis `i` of the result is axis `axes[i]` of `x`.
    Permute {
        /// A permutation of the axes.
        axes: Axes,
    },
    /// `(x)`: reverses `axes`.
    Flip {
        /// Axes reversed.
        axes: Axes,
    },
    /// `(x)`: the box `start[i] .. start[i] + len[i]`.
    Slice {
        /// First index per axis.
        start: Axes,
        /// Extent per axis.
        len: Axes,
    },
    /// `(x)`: zeros around.
    Pad {
        /// Zeros before, per axis.
        before: Axes,
        /// Zeros after, per axis.
        after: Axes,
    },
    /// `(x_1, ..., x_k)`, k >= 1: joined along `axis`.
    Concat {
        /// Axis joined.
        axis: usize,
    },
    /// `(x, idx i64)` of equal rank and equal extents except along `axis`:
    /// `out[.., i, ..] = x[.., idx[.., i, ..], ..]`. Indices must be within `x`.
    Gather {
        /// Axis indexed.
        axis: usize,
    },
    /// `(base, idx i64, src)`, `idx` and `src` of one shape: `base` with
    /// `out[.., idx[.., i, ..], ..] += src[.., i, ..]`; the adjoint of `Gather`.
    ScatterAdd {
        /// Axis indexed.
        axis: usize,
    },
    /// `(x, idx i64 [K])`: slices of `x` along `axis`, in the order of `idx`.
    Take {
        /// Axis indexed.
        axis: usize,
    },
    /// `(base, idx i64 [K], src)`: `base` with the slices of `src` along `axis` added at `idx`;
    /// the adjoint of `Take`.
    PutAdd {
        /// Axis indexed.
        axis: usize,
    },
    /// `(x [N, C, H, W])`: the zero-padded windows as columns, `[N, C * kh * kw, L]`, windows in
    /// row-major order.
    Unfold2d(Window),
    /// `(cols [N, C * kh * kw, L])`: columns added back into `[N, C, H, W]`; adjoint of `Unfold2d`.
    Fold2d {
        /// The windows.
        window: Window,
        /// `[H, W]` of the result.
        size: [usize; 2],
    },
    /// `(a, b)`: matrix product of the last two axes, each transposed first if its flag is set.
    /// Equal rank of at least 2; leading axes are a batch and must be equal.
    MatMul {
        /// Transpose the last two axes of `a`.
        trans_a: bool,
        /// Transpose the last two axes of `b`.
        trans_b: bool,
    },
    /// `(x [N, C, H, W], w [O, C/groups, kh, kw])`: cross-correlation, `[N, O, OH, OW]`.
    Conv2d(Conv),
    /// `(g [N, O, OH, OW], w [O, C/groups, kh, kw])`: its derivative in `x`, `[N, C, H, W]`.
    Conv2dDx {
        /// Geometry of the convolution.
        conv: Conv,
        /// `[H, W]` of its input.
        input: [usize; 2],
    },
    /// `(x [N, C, H, W], g [N, O, OH, OW])`: its derivative in `w`, `[O, C/groups, kh, kw]`.
    Conv2dDw {
        /// Geometry of the convolution.
        conv: Conv,
        /// `[kh, kw]` of its weight.
        kernel: [usize; 2],
    },
    /// `(x [N, C, H, W])`: position `h * W + w` (i64) of the first largest value of each window,
    /// `[N, C, OH, OW]`. Padding never wins.
    MaxPool2dIdx(Window),
    /// An operation with a decomposition.
    Fused(Fused),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_fit() {
        assert_eq!(Window::square(3, 1, 1).output([28, 28]), Some([28, 28]));
        assert_eq!(Window::square(2, 2, 0).output([5, 4]), Some([2, 2]));
        assert_eq!(Window::square(5, 1, 0).output([4, 4]), None);
    }
}
