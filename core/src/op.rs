//! The operations: what they mean, as data.
//!
//! About forty primitives, in families closed under differentiation, and a few fused operations
//! that have a decomposition into them ([`crate::fused`]). The definitions here are normative for
//! every backend, including the rules for ties, so that backends agree to rounding.
//!
//! Shapes and dtypes are checked in [`Op::infer`] and nowhere else.

mod infer;

use std::fmt;

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
            let reach = self.dilation[i] * (self.kernel[i].checked_sub(1)?) + 1;
            Some((input[i] + 2 * self.padding[i]).checked_sub(reach)? / self.stride[i] + 1)
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

/// Declares [`OpCode`] with the name and operand count of each operation.
macro_rules! op_codes {
    ($($variant:ident = $code:literal $name:literal $arity:literal,)+) => {
        /// Which operation, without its attributes. Codes are append-only: they cross the C boundary.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum OpCode { $(
            #[doc = concat!("`", $name, "`")]
            $variant = $code,
        )+ }

        impl OpCode {
            /// Every operation.
            pub const ALL: &'static [OpCode] = &[$(OpCode::$variant),+];

            /// Name in messages, listings and test names.
            pub const fn name(self) -> &'static str {
                match self { $(OpCode::$variant => $name,)+ }
            }

            /// Number of operands; 0 for `Concat` means any number from one.
            pub const fn arity(self) -> usize {
                match self { $(OpCode::$variant => $arity,)+ }
            }
        }
    };
}

op_codes! {
    Neg = 1 "neg" 1,
    Exp = 2 "exp" 1,
    Log = 3 "log" 1,
    Sqrt = 4 "sqrt" 1,
    Tanh = 5 "tanh" 1,
    Erf = 6 "erf" 1,
    Abs = 7 "abs" 1,
    Sign = 8 "sign" 1,
    Round = 9 "round" 1,
    Affine = 10 "affine" 1,
    Add = 20 "add" 2,
    Sub = 21 "sub" 2,
    Mul = 22 "mul" 2,
    Div = 23 "div" 2,
    Maximum = 24 "maximum" 2,
    Minimum = 25 "minimum" 2,
    Pow = 26 "pow" 2,
    Eq = 30 "eq" 2,
    Lt = 31 "lt" 2,
    Le = 32 "le" 2,
    Where = 33 "where" 3,
    Cast = 34 "cast" 1,
    Full = 40 "full" 0,
    Iota = 41 "iota" 0,
    Sum = 50 "sum" 1,
    Max = 51 "max" 1,
    ArgMax = 52 "argmax" 1,
    Broadcast = 60 "broadcast" 1,
    Reshape = 61 "reshape" 1,
    Permute = 62 "permute" 1,
    Flip = 63 "flip" 1,
    Slice = 64 "slice" 1,
    Pad = 65 "pad" 1,
    Concat = 66 "concat" 0,
    Gather = 70 "gather" 2,
    ScatterAdd = 71 "scatter_add" 3,
    Take = 72 "take" 2,
    PutAdd = 73 "put_add" 3,
    Unfold2d = 80 "unfold2d" 1,
    Fold2d = 81 "fold2d" 1,
    MatMul = 90 "matmul" 2,
    Conv2d = 91 "conv2d" 2,
    Conv2dDx = 92 "conv2d_dx" 2,
    Conv2dDw = 93 "conv2d_dw" 2,
    MaxPool2dIdx = 94 "max_pool2d_idx" 1,
    Relu = 1000 "relu" 1,
    ReluGrad = 1001 "relu_grad" 2,
    Linear = 1002 "linear" 3,
    ConvBias = 1003 "conv_bias" 3,
    MaxPool2d = 1004 "max_pool2d" 1,
    MaxPool2dGrad = 1005 "max_pool2d_grad" 2,
    SoftmaxXent = 1006 "softmax_xent" 2,
    SoftmaxXentGrad = 1007 "softmax_xent_grad" 3,
    PgdStep = 1008 "pgd_step" 3,
    AdamStep = 1009 "adam_step" 4,
}

impl OpCode {
    /// Whether the operation has a decomposition.
    pub const fn is_fused(self) -> bool {
        self as u16 >= 1000
    }
}

impl fmt::Display for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Op {
    /// Which operation this is.
    pub fn code(&self) -> OpCode {
        match self {
            Op::Unary(u) => match u {
                Unary::Neg => OpCode::Neg,
                Unary::Exp => OpCode::Exp,
                Unary::Log => OpCode::Log,
                Unary::Sqrt => OpCode::Sqrt,
                Unary::Tanh => OpCode::Tanh,
                Unary::Erf => OpCode::Erf,
                Unary::Abs => OpCode::Abs,
                Unary::Sign => OpCode::Sign,
                Unary::Round => OpCode::Round,
            },
            Op::Affine { .. } => OpCode::Affine,
            Op::Binary(b) => match b {
                Binary::Add => OpCode::Add,
                Binary::Sub => OpCode::Sub,
                Binary::Mul => OpCode::Mul,
                Binary::Div => OpCode::Div,
                Binary::Maximum => OpCode::Maximum,
                Binary::Minimum => OpCode::Minimum,
                Binary::Pow => OpCode::Pow,
            },
            Op::Compare(c) => match c {
                Compare::Eq => OpCode::Eq,
                Compare::Lt => OpCode::Lt,
                Compare::Le => OpCode::Le,
            },
            Op::Where => OpCode::Where,
            Op::Cast(_) => OpCode::Cast,
            Op::Full { .. } => OpCode::Full,
            Op::Iota { .. } => OpCode::Iota,
            Op::Sum { .. } => OpCode::Sum,
            Op::Max { .. } => OpCode::Max,
            Op::ArgMax { .. } => OpCode::ArgMax,
            Op::Broadcast { .. } => OpCode::Broadcast,
            Op::Reshape { .. } => OpCode::Reshape,
            Op::Permute { .. } => OpCode::Permute,
            Op::Flip { .. } => OpCode::Flip,
            Op::Slice { .. } => OpCode::Slice,
            Op::Pad { .. } => OpCode::Pad,
            Op::Concat { .. } => OpCode::Concat,
            Op::Gather { .. } => OpCode::Gather,
            Op::ScatterAdd { .. } => OpCode::ScatterAdd,
            Op::Take { .. } => OpCode::Take,
            Op::PutAdd { .. } => OpCode::PutAdd,
            Op::Unfold2d(_) => OpCode::Unfold2d,
            Op::Fold2d { .. } => OpCode::Fold2d,
            Op::MatMul { .. } => OpCode::MatMul,
            Op::Conv2d(_) => OpCode::Conv2d,
            Op::Conv2dDx { .. } => OpCode::Conv2dDx,
            Op::Conv2dDw { .. } => OpCode::Conv2dDw,
            Op::MaxPool2dIdx(_) => OpCode::MaxPool2dIdx,
            Op::Fused(f) => f.code(),
        }
    }
}

impl Fused {
    /// Which operation this is.
    pub fn code(&self) -> OpCode {
        match self {
            Fused::Relu => OpCode::Relu,
            Fused::ReluGrad => OpCode::ReluGrad,
            Fused::Linear { .. } => OpCode::Linear,
            Fused::ConvBias { .. } => OpCode::ConvBias,
            Fused::MaxPool2d(_) => OpCode::MaxPool2d,
            Fused::MaxPool2dGrad(_) => OpCode::MaxPool2dGrad,
            Fused::SoftmaxXent => OpCode::SoftmaxXent,
            Fused::SoftmaxXentGrad => OpCode::SoftmaxXentGrad,
            Fused::PgdStep { .. } => OpCode::PgdStep,
            Fused::AdamStep { .. } => OpCode::AdamStep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_fused_ones_apart() {
        let mut codes: Vec<u16> = OpCode::ALL.iter().map(|c| *c as u16).collect();
        codes.dedup();
        assert_eq!(codes.len(), OpCode::ALL.len());
        assert!(OpCode::Relu.is_fused() && !OpCode::MaxPool2dIdx.is_fused());
    }

    #[test]
    fn windows_fit() {
        assert_eq!(Window::square(3, 1, 1).output([28, 28]), Some([28, 28]));
        assert_eq!(Window::square(2, 2, 0).output([5, 4]), Some([2, 2]));
        assert_eq!(Window::square(5, 1, 0).output([4, 4]), None);
    }
}
