//! Gather, scatter, take and put. Indices are data, so they are checked here and not in inference.
//!
//! Arrays are seen as `[outer, extent, inner]` around the indexed axis, or as a matrix where one of
//! the two is 1, for which Burn's kernels are much faster.

use burn_backend::Backend;
use burn_backend::tensor::{IndexingUpdateOp, IntTensor};
use inocula_core::op::OpCode;
use inocula_core::{Result, Shape, bail};

use crate::buf::Array;
use crate::inner::Inner;
use crate::num::{Num, Pair, both};
use crate::place::Place;

/// Fails if an index is not below `extent`. Looks at the indices only if nothing is known of them.
pub(crate) fn check<B: Backend>(
    place: &Place<B>,
    code: OpCode,
    idx: &Array<B>,
    extent: usize,
) -> Result<()> {
    if let Some(i) = outside(place, idx, extent)? {
        bail!(Data, "{code}: index {i} is outside of an axis of {extent}; indices count from 0");
    }
    Ok(())
}

/// Fails if a label names no class.
pub(crate) fn check_labels<B: Backend>(
    place: &Place<B>,
    code: OpCode,
    labels: &Array<B>,
    classes: usize,
) -> Result<()> {
    if let Some(y) = outside(place, labels, classes)? {
        bail!(Data, "{code}: label {y} with logits for {classes} classes; labels count from 0");
    }
    Ok(())
}

/// The first index that is not below `extent`.
fn outside<B: Backend>(place: &Place<B>, idx: &Array<B>, extent: usize) -> Result<Option<i64>> {
    if idx.is_empty() || idx.fact().indexes(extent) {
        return Ok(None);
    }
    let values = place.values(idx.clone().num()?.int()?)?;
    Ok(values.into_iter().find(|&i| !usize::try_from(i).is_ok_and(|i| i < extent)))
}

/// The indexed axis and what lies around it.
struct Around {
    outer: usize,
    inner: usize,
}

impl Around {
    fn new(shape: &Shape, axis: usize) -> Self {
        let (outer, rest) = shape.split_at(axis);
        Around { outer: outer.iter().product(), inner: rest[1..].iter().product() }
    }

    /// The extents of an array with `extent` at the indexed axis.
    fn dims(&self, extent: usize) -> Vec<usize> {
        match (self.outer, self.inner) {
            (1, inner) => vec![extent, inner],
            (outer, 1) => vec![outer, extent],
            (outer, inner) => vec![outer, extent, inner],
        }
    }

    /// The indexed axis in them.
    fn axis(&self) -> usize {
        usize::from(self.outer != 1)
    }
}

/// `out[.., i, ..] = x[.., idx[.., i, ..], ..]`.
pub(crate) fn gather<B: Inner>(
    axis: usize,
    x: Array<B>,
    idx: Array<B>,
    shape: &Shape,
) -> Result<Num<B>> {
    let around = Around::new(&x.shape(), axis);
    let (from, to) = (around.dims(x.shape()[axis]), around.dims(shape[axis]));
    let idx = idx.num()?.reshape(&to).int()?;
    let at = around.axis();
    let found =
        both!(x.num()?.reshape(&from), t => B::float_gather(at, t, idx), B::int_gather(at, t, idx));
    Ok(found.reshape(shape))
}

/// `base` with `src` added where `idx` points.
pub(crate) fn scatter_add<B: Inner>(
    axis: usize,
    [base, idx, src]: [Array<B>; 3],
) -> Result<Num<B>> {
    let shape = base.shape();
    let around = Around::new(&shape, axis);
    let (to, from) = (around.dims(shape[axis]), around.dims(src.shape()[axis]));
    let idx = idx.num()?.reshape(&from).int()?;
    let (base, src) = (base.num()?.reshape(&to), src.num()?.reshape(&from));
    let (at, add) = (around.axis(), IndexingUpdateOp::Add);
    let sums = match base.with(src)? {
        Pair::Float(b, s) => Num::Float(B::float_scatter(at, b, idx, s, add)),
        Pair::Int(b, s) => Num::Int(B::int_scatter(at, b, idx, s, add)),
    };
    Ok(sums.reshape(&shape))
}

/// Slices of `x` along `axis`, in the order of the indices.
pub(crate) fn take<B: Inner>(
    axis: usize,
    x: Array<B>,
    idx: Array<B>,
    shape: &Shape,
) -> Result<Num<B>> {
    let around = Around::new(&x.shape(), axis);
    let from = around.dims(x.shape()[axis]);
    let (at, idx) = (around.axis(), list(idx)?);
    let taken =
        both!(x.num()?.reshape(&from), t => B::float_select(t, at, idx), B::int_select(t, at, idx));
    Ok(taken.reshape(shape))
}

/// `base` with slices of `src` along `axis` added at the indices.
pub(crate) fn put_add<B: Inner>(axis: usize, [base, idx, src]: [Array<B>; 3]) -> Result<Num<B>> {
    let shape = base.shape();
    let around = Around::new(&shape, axis);
    let (to, from) = (around.dims(shape[axis]), around.dims(src.shape()[axis]));
    let (base, src) = (base.num()?.reshape(&to), src.num()?.reshape(&from));
    let (at, idx, add) = (around.axis(), list(idx)?, IndexingUpdateOp::Add);
    let sums = match base.with(src)? {
        Pair::Float(b, s) => Num::Float(B::float_select_assign(b, at, idx, s, add)),
        Pair::Int(b, s) => Num::Int(B::int_select_assign(b, at, idx, s, add)),
    };
    Ok(sums.reshape(&shape))
}

fn list<B: Inner>(idx: Array<B>) -> Result<IntTensor<B>> {
    idx.num()?.int()
}
