//! Matrix products. Transposed operands are views; the product reads their strides.
//!
//! The product of one row with itself in each matrix of a batch, which is how norms of samples are written,
//! is made here: MKL takes a tenth of a millisecond for it, however short the rows are.

use inocula_core::{Arg, Aval};
use tch::Tensor;

use crate::buf::{Buf, operand, sizes};
use crate::failure::Made;
use crate::host::{elements, filled, for_rows, is_plain};

/// Matrix product of the last two axes.
pub(crate) fn matmul(trans: [bool; 2], args: &[Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    if let Some(norms) = squared_norms(trans, args, out)? {
        return Ok(norms);
    }
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

/// The product, if it is of rows `[N, 1, K]` with themselves and they lie on the CPU, one behind the other.
fn squared_norms(trans: [bool; 2], args: &[Arg<'_, Buf>], out: &Aval) -> Made<Option<Tensor>> {
    let (a, b) = (operand(args, 0), operand(args, 1));
    let of_rows = trans == [false, true] && out.shape.rank() == 3 && out.shape[1..] == [1, 1];
    if !of_rows || !is_plain(a)? || !is_plain(b)? || a.data_ptr() != b.data_ptr() {
        return Ok(None);
    }
    let rows = elements(a)?;
    let width = rows.len() / out.shape[0].max(1);
    let fill = |norms: &mut [f32]| {
        for_rows(norms, 1, |i, norm| norm[0] = squared_norm(&rows[i * width..][..width]))
    };
    filled(&sizes(&out.shape), fill).map(Some)
}

/// Added up in so many lanes as vector units take, and those in pairs, so that rounding stays small.
fn squared_norm(row: &[f32]) -> f32 {
    const LANES: usize = 64;
    let mut sums = [0.0; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        sums.iter_mut().zip(chunk).for_each(|(sum, v)| *sum += v * v);
    }
    sums.iter_mut().zip(rest).for_each(|(sum, v)| *sum += v * v);
    let mut left = LANES;
    while left > 1 {
        left /= 2;
        for i in 0..left {
            sums[i] += sums[i + left];
        }
    }
    sums[0]
}
