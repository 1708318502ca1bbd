//! Operations that move elements: copies into dense order, padding and concatenation.
//!
//! Reshape, permute, slice, flip and broadcast are layouts and need no kernel here, except that a
//! reshape which strides cannot express copies first.

use inocula_core::{Arg, Result, Shape};

use crate::buf::{Array, Buf, Ctx, operand};
use crate::elem::Elem;
use crate::layout::Layout;
use crate::nest::{Nest, moved};

/// Edge of the tiles in which a transposed array is copied: one cache line of f32.
const TILE: usize = 16;

/// Writes the elements of `x` to `out` in row-major order.
pub(crate) fn copy<T: Elem>(ctx: &Ctx, x: &Array<T>, out: &mut [T]) {
    if out.is_empty() {
        return;
    }
    let nest = Nest::new(x.shape(), [x.layout()]);
    let data = x.storage();
    let [step] = nest.steps();
    if nest.is_transposed() {
        return transpose(ctx, &nest, data, out);
    }
    nest.drive(&ctx.workers, 1, out, |out, [at]| match step {
        1 => out.copy_from_slice(&data[at..][..out.len()]),
        0 => out.fill(data[at]),
        _ => {
            for (i, o) in out.iter_mut().enumerate() {
                *o = data[moved(at, i as isize * step)];
            }
        }
    });
}

/// Copies planes whose rows, not columns, have their elements side by side in `data`, by tiles, so
/// that each cache line read is used up before it leaves the cache.
fn transpose<T: Elem>(ctx: &Ctx, nest: &Nest<1>, data: &[T], out: &mut [T]) {
    let [rows, columns] = nest.plane();
    let [step] = nest.steps();
    let work = 2 * out.len();
    let strips = out.chunks_mut(rows * columns).enumerate().flat_map(|(plane, out)| {
        let strips = out.chunks_mut(TILE * columns).enumerate();
        strips.map(move |(i, strip)| (plane * rows + i * TILE, strip))
    });
    ctx.workers.each(work, strips, |(row, strip)| {
        let height = strip.len() / columns;
        nest.each_row(row, 1, |[at]| {
            for left in (0..columns).step_by(TILE) {
                for column in left..columns.min(left + TILE) {
                    let line = &data[moved(at, column as isize * step)..][..height];
                    for (r, &value) in line.iter().enumerate() {
                        strip[r * columns + column] = value;
                    }
                }
            }
        });
    });
}

/// `x` with another shape of as many elements.
pub(crate) fn reshape<T: Elem>(ctx: &Ctx, x: &Array<T>, shape: Shape) -> Array<T> {
    match x.layout().reshape(shape) {
        Some(layout) => x.view(layout),
        None => ctx.make(shape, |out| copy(ctx, x, out)),
    }
}

/// Zeros around `x`.
pub(crate) fn pad<T: Elem>(ctx: &Ctx, x: &Array<T>, before: &[usize], shape: Shape) -> Array<T> {
    ctx.make(shape, |out| {
        out.fill(T::ZERO);
        let inside = Layout::dense(shape).slice(before, x.shape());
        paste(x, out, &inside);
    })
}

/// The operands one after the other along `axis`.
pub(crate) fn concat<T: Elem>(
    ctx: &Ctx,
    axis: usize,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let parts: Vec<&Array<T>> = (0..args.len()).map(|i| operand(args, i)).collect::<Result<_>>()?;
    let joined = ctx.make(shape, |out| {
        let mut start = [0; inocula_core::aval::MAX_RANK];
        for part in parts {
            let place = Layout::dense(shape).slice(&start[..shape.rank()], part.shape());
            paste(part, out, &place);
            start[axis] += part.shape()[axis];
        }
    });
    Ok(T::into_buf(joined))
}

/// Writes `x` into the part of `out` that `place` describes.
fn paste<T: Elem>(x: &Array<T>, out: &mut [T], place: &Layout) {
    if x.shape().numel() == 0 {
        return;
    }
    let nest = Nest::new(x.shape(), [place, x.layout()]);
    let (data, run, steps) = (x.storage(), nest.run(), nest.steps());
    nest.each_row(0, nest.rows(), |[to, from]| {
        if steps == [1, 1] {
            out[to..][..run].copy_from_slice(&data[from..][..run]);
            return;
        }
        for i in 0..run as isize {
            out[moved(to, i * steps[0])] = data[moved(from, i * steps[1])];
        }
    });
}
