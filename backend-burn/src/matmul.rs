//! Matrix products, and the linear layer on one.

use burn_backend::tensor::FloatTensor;
use inocula_core::{Result, Shape};

use crate::buf::Array;
use crate::elementwise::relu;
use crate::inner::Inner;
use crate::num::{Num, extents};
use crate::place::Place;

/// Matrix product of the last two axes, each transposed first if its flag is set.
pub(crate) fn matmul<B: Inner>(
    [trans_a, trans_b]: [bool; 2],
    a: Array<B>,
    b: Array<B>,
    shape: &Shape,
) -> Result<Num<B>> {
    let (a, b) = (matrices(a, trans_a)?, matrices(b, trans_b)?);
    Ok(Num::Float(B::float_reshape(B::float_matmul(a, b), extents(shape))))
}

/// The operand as `[rows, columns]`, or `[batch, rows, columns]` with one batch axis.
fn matrices<B: Inner>(x: Array<B>, transposed: bool) -> Result<FloatTensor<B>> {
    let shape = x.shape();
    let rank = shape.rank().min(3);
    let mut x = x.num()?;
    if shape.rank() > 3 {
        let (batch, sides) = shape.split_at(shape.rank() - 2);
        x = x.reshape(&[batch.iter().product(), sides[0], sides[1]]);
    }
    let x = x.float()?;
    Ok(if transposed { B::float_swap_dims(x, rank - 2, rank - 1) } else { x })
}

/// `x w^T + b`, and its rectification.
pub(crate) fn linear<B: Inner>(
    place: &Place<B>,
    rectify: bool,
    [x, w, b]: [Array<B>; 3],
    shape: &Shape,
) -> Result<Num<B>> {
    let bias = b.aligned(2)?.float()?;
    let out = B::float_add(matmul([false, true], x, w, shape)?.float()?, bias);
    Ok(Num::Float(if rectify { relu(place, out) } else { out }))
}
