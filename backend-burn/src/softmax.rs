//! Softmax cross-entropy and its gradient in the logits.

use burn_backend::tensor::{FloatTensor, IndexingUpdateOp, IntTensor};
use inocula_core::{Result, Shape};

use crate::buf::Array;
use crate::inner::Inner;
use crate::num::{Num, extents};
use crate::place::Place;
use crate::reduce;

/// `logsumexp(z_n) - z_n[y_n]`, `[N]`.
pub(crate) fn loss<B: Inner>(z: Array<B>, y: Array<B>, shape: &Shape) -> Result<Num<B>> {
    let dims = z.shape();
    let (shifted, y) = (shifted::<B>(z)?, column::<B>(y)?);
    let at_label = B::float_gather(1, shifted.clone(), y);
    let sum = row_sums::<B>(B::float_exp(shifted), &dims)?;
    let loss = B::float_sub(B::float_log(sum), at_label);
    Ok(Num::Float(B::float_reshape(loss, extents(shape))))
}

/// `g_n (softmax(z_n) - onehot(y_n))`.
pub(crate) fn grad<B: Inner>(place: &Place<B>, [z, y, g]: [Array<B>; 3]) -> Result<Num<B>> {
    let (dims, dtype) = (z.shape(), z.dtype());
    let powers = B::float_exp(shifted::<B>(z)?);
    let sums = row_sums::<B>(powers.clone(), &dims)?;
    let softmax = B::float_div(powers, sums);
    let minus_one = place.full(dtype, &[dims[0], 1], -1.0)?;
    let (y, add) = (column::<B>(y)?, IndexingUpdateOp::Add);
    let apart = B::float_scatter(1, softmax, y, minus_one.float()?, add);
    let g = g.num()?.reshape(&[dims[0], 1]).float()?;
    Ok(Num::Float(B::float_mul(apart, g)))
}

/// The logits less the largest of their row.
fn shifted<B: Inner>(z: Array<B>) -> Result<FloatTensor<B>> {
    let z = z.num()?.float()?;
    let largest = B::float_max_dim(z.clone(), 1);
    Ok(B::float_sub(z, largest))
}

fn row_sums<B: Inner>(x: FloatTensor<B>, dims: &Shape) -> Result<FloatTensor<B>> {
    reduce::sum(Num::<B>::Float(x), dims, &[1])?.float()
}

fn column<B: Inner>(y: Array<B>) -> Result<IntTensor<B>> {
    let n = y.shape()[0];
    y.num()?.reshape(&[n, 1]).int()
}
