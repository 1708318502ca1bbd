//! Gather, scatter, take and put. Indices are data, so they are checked here and not in inference.
//!
//! Arrays are seen as `[outer, extent, inner]` around the indexed axis. Additions to one place are
//! made in the order of the indices.

use inocula_core::op::OpCode;
use inocula_core::{Arg, Result, Shape, bail};

use crate::buf::{Array, Buf, Ctx, exclusive, operand, own};
use crate::elem::Elem;

/// The indexed axis of an array: its extent, and how many elements lie between its neighbours.
pub(crate) fn around(shape: Shape, axis: usize) -> (usize, usize) {
    (shape[axis], shape[axis + 1..].iter().product())
}

/// Fails if an index is not below `extent`.
fn check(code: OpCode, idx: &[i64], extent: usize) -> Result<()> {
    let outside = |i: i64| usize::try_from(i).map_or(true, |i| i >= extent);
    match idx.iter().find(|&&i| outside(i)) {
        None => Ok(()),
        Some(i) => {
            bail!(Data, "{code}: index {i} is outside of an axis of {extent}; indices count from 0")
        }
    }
}

/// `out[.., i, ..] = x[.., idx[.., i, ..], ..]`.
pub(crate) fn gather<T: Elem>(
    ctx: &Ctx,
    axis: usize,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let x = operand::<T>(args, 0)?;
    let (extent, inner) = around(x.shape(), axis);
    let (x, idx) = (ctx.dense(x), ctx.dense(operand::<i64>(args, 1)?));
    check(OpCode::Gather, &idx, extent)?;
    let picked = ctx.make(shape, |out| {
        let from = extent * inner;
        let to = shape[axis] * inner;
        let items = out.chunks_mut(to).zip(idx.chunks(to)).zip(x.chunks(from));
        ctx.workers.each(idx.len(), items, |((out, idx), x)| {
            for (out, idx) in out.chunks_mut(inner).zip(idx.chunks(inner)) {
                for (column, (o, &i)) in out.iter_mut().zip(idx).enumerate() {
                    *o = x[i as usize * inner + column];
                }
            }
        });
    });
    Ok(T::into_buf(picked))
}

/// `base` with `src` added where `idx` points.
pub(crate) fn scatter_add<T: Elem>(
    ctx: &Ctx,
    axis: usize,
    args: &mut [Arg<'_, Buf>],
) -> Result<Buf> {
    let base = operand::<T>(args, 0)?.shape();
    let (extent, inner) = around(base, axis);
    check(OpCode::ScatterAdd, &ctx.dense(operand::<i64>(args, 1)?), extent)?;
    let mut base = own::<T>(ctx, args, 0)?;
    let (idx, src) = (ctx.dense(operand::<i64>(args, 1)?), ctx.dense(operand::<T>(args, 2)?));
    if src.is_empty() {
        return Ok(T::into_buf(base));
    }
    let from = operand::<T>(args, 2)?.shape()[axis] * inner;
    let out = exclusive(&mut base)?;
    let items = out.chunks_mut(extent * inner).zip(idx.chunks(from)).zip(src.chunks(from));
    ctx.workers.each(src.len(), items, |((out, idx), src)| {
        for (idx, src) in idx.chunks(inner).zip(src.chunks(inner)) {
            for (column, (&i, &v)) in idx.iter().zip(src).enumerate() {
                let place = &mut out[i as usize * inner + column];
                *place = place.plus(v);
            }
        }
    });
    drop((idx, src));
    Ok(T::into_buf(base))
}

/// Slices of `x` along `axis`, in the order of the indices.
pub(crate) fn take<T: Elem>(
    ctx: &Ctx,
    axis: usize,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let x: &Array<T> = operand(args, 0)?;
    let (extent, inner) = around(x.shape(), axis);
    let idx = ctx.dense(operand::<i64>(args, 1)?);
    check(OpCode::Take, &idx, extent)?;
    let x = ctx.dense(x);
    let taken = ctx.make(shape, |out| {
        let work = out.len();
        ctx.workers.each(work, out.chunks_mut(inner).enumerate(), |(row, out)| {
            let (outer, i) = (row / idx.len(), idx[row % idx.len()] as usize);
            out.copy_from_slice(&x[(outer * extent + i) * inner..][..inner]);
        });
    });
    Ok(T::into_buf(taken))
}

/// `base` with slices of `src` along `axis` added at the indices.
pub(crate) fn put_add<T: Elem>(ctx: &Ctx, axis: usize, args: &mut [Arg<'_, Buf>]) -> Result<Buf> {
    let (extent, inner) = around(operand::<T>(args, 0)?.shape(), axis);
    check(OpCode::PutAdd, &ctx.dense(operand::<i64>(args, 1)?), extent)?;
    let mut base = own::<T>(ctx, args, 0)?;
    let (idx, src) = (ctx.dense(operand::<i64>(args, 1)?), ctx.dense(operand::<T>(args, 2)?));
    if src.is_empty() {
        return Ok(T::into_buf(base));
    }
    let out = exclusive(&mut base)?;
    let items = out.chunks_mut(extent * inner).zip(src.chunks(idx.len() * inner));
    ctx.workers.each(src.len(), items, |(out, src)| {
        for (&i, src) in idx.iter().zip(src.chunks(inner)) {
            let place = &mut out[i as usize * inner..][..inner];
            place.iter_mut().zip(src).for_each(|(p, &v)| *p = p.plus(v));
        }
    });
    drop((idx, src));
    Ok(T::into_buf(base))
}
