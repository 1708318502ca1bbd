//! Sums and maxima.
//!
//! Burn adds up an axis in one go, in the element type, and long flat sums by as many threads as are
//! free, in an order that depends on them. Here a long axis is cut into blocks first, so that the
//! bits of a sum depend on its shape alone and an f32 sum of a million terms keeps its digits.

use inocula_core::Result;

use crate::inner::Inner;
use crate::num::Num;

/// Terms that are added in one go.
const BLOCK: usize = 1024;

/// Sum over `axes` of a tensor of extents `dims`; they stay with extent 1.
pub(crate) fn sum<B: Inner>(x: Num<B>, dims: &[usize], axes: &[usize]) -> Result<Num<B>> {
    let kept: Vec<usize> =
        dims.iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect();
    let mut merged = merge(dims, axes);
    let extents = |merged: &[(usize, bool)]| merged.iter().map(|m| m.0).collect::<Vec<_>>();
    let mut x = x.reshape(&extents(&merged));
    for axis in (0..merged.len()).rev().filter(|&i| merged[i].1).collect::<Vec<_>>() {
        x = sum_axis(x, extents(&merged), axis)?;
        merged[axis].0 = 1;
    }
    Ok(x.reshape(&kept))
}

/// Neighbouring axes that are both summed or both kept as one: extent, and whether it is summed.
fn merge(dims: &[usize], axes: &[usize]) -> Vec<(usize, bool)> {
    let mut merged: Vec<(usize, bool)> = Vec::with_capacity(dims.len());
    for (axis, &extent) in dims.iter().enumerate() {
        let summed = axes.contains(&axis);
        match merged.last_mut() {
            _ if extent == 1 => {}
            Some(last) if last.1 == summed => last.0 *= extent,
            _ => merged.push((extent, summed)),
        }
    }
    merged
}

/// Sum over one axis: of its blocks, then of what they came to, then of what no block holds.
fn sum_axis<B: Inner>(x: Num<B>, dims: Vec<usize>, axis: usize) -> Result<Num<B>> {
    let (blocks, rest) = (dims[axis] / BLOCK, dims[axis] % BLOCK);
    if blocks < 2 {
        return Ok(x.sum(axis));
    }
    let part = |start: usize, len: usize| {
        let (mut first, mut extents) = (vec![0; dims.len()], dims.clone());
        (first[axis], extents[axis]) = (start, len);
        x.clone().slice(&first, &extents)
    };
    let mut cut = dims.clone();
    cut[axis] = blocks;
    cut.insert(axis + 1, BLOCK);
    let sums = part(0, blocks * BLOCK).reshape(&cut).sum(axis + 1);
    cut.remove(axis + 1);
    let whole = sum_axis(sums.reshape(&cut), cut, axis)?;
    if rest == 0 { Ok(whole) } else { whole.plus(part(blocks * BLOCK, rest).sum(axis)) }
}

/// The largest along `axis`; NaN where there is one.
pub(crate) fn max<B: Inner>(x: Num<B>, axis: usize) -> Num<B> {
    crate::num::both!(x, t => B::float_max_dim(t, axis), B::int_max_dim(t, axis))
}

/// Index of the first largest along `axis`; the first NaN where there is one.
pub(crate) fn argmax<B: Inner>(place: &crate::place::Place<B>, x: Num<B>, axis: usize) -> Num<B> {
    Num::Int(match x {
        Num::Float(t) => B::float_argmax(t, axis, place.ints()),
        Num::Int(t) => B::int_argmax(t, axis),
    })
}
