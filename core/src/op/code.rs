//! The code of each operation: its name without its attributes.

use std::fmt;

use super::{Binary, Compare, Fused, Op, Unary};

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

            /// The code with this number, if there is one.
            pub(super) const fn of_number(number: u32) -> Option<OpCode> {
                match number {
                    $($code => Some(OpCode::$variant),)+
                    _ => None,
                }
            }

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
    ConvWeightGrads = 1010 "conv_weight_grads" 2,
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
            Fused::ConvWeightGrads { .. } => OpCode::ConvWeightGrads,
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
}
