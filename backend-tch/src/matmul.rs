//! Matrix products. Transposed operands are views; the product reads their strides.

use inocula_core::Arg;
use tch::Tensor;

use crate::buf::{Buf, operand};
use crate::failure::Made;

/// Matrix product of the last two axes.
pub(crate) fn matmul(trans: [bool; 2], args: &[Arg<'_, Buf>]) -> Made<Tensor> {
    let side = |i: usize| match trans[i] {
        true => operand(args, i).f_transpose(-1, -2),
        false => Ok(operand(args, i).shallow_clone()),
    };
    Ok(side(0)?.f_matmul(&side(1)?)?)
}

/// `(x, w, b)`: `x w^T + b`, and its ReLU if asked.
pub(crate) fn linear(relu: bool, args: &[Arg<'_, Buf>]) -> Made<Tensor> {
    let mut made = operand(args, 0).f_linear(operand(args, 1), Some(operand(args, 2)))?;
    Ok(if relu { made.f_relu_()? } else { made })
}
