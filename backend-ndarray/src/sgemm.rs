//! Matrix products of f32 on tiles.
//!
//! The form decides which tile: rows of `a` against packed panels of `b`; inner products where `b`
//! is a transposed row-major matrix and there are too few rows to pay for packing it; outer products
//! where `a` is a transposed row-major matrix. The inner size is cut in pieces that depend on
//! nothing else, so within a form an element has the same bits however the result is split. The form
//! depends on the size of the part: a last part of few rows may round differently from the same rows of
//! a whole, so other numbers of threads may give other bits.

use std::cell::RefCell;

use ndarray::{ArrayViewMut2, Axis, s};
use smallvec::SmallVec;

use crate::buf::Ctx;
use crate::matmul::{Matrix, matrix_mut};
use crate::simd_combine::Terms;
use crate::simd_tiles::{Dot, DotShape, Finish, Kernels, Multiply, Outer};
use crate::simd_transpose::transpose;

/// Inner size of a panel, by measurement: with the widest tile a panel is 64 KiB, which stays in a
/// second-level cache beside the rows that pass it.
const DEEP: usize = 512;

/// Rows up to which inner products are taken instead of packing `b`.
const FEW_ROWS: usize = 8;

/// How much larger than `a` a transposed row-major `b` is, for `a` to be packed in its place.
const MUCH_WIDER: usize = 2;

/// Elements of a row-major `b` up to which a plain loop multiplies it with one row sooner than
/// [`combined_rows`] has begun.
const SMALL: usize = 1 << 12;

thread_local! {
    /// Packed panels of `b`.
    static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `c = a b`, or `c += a b`; false, with nothing done, for forms that have no tile, or where `a` is one row
/// and `b` small.
pub(crate) fn tiled(
    ctx: &Ctx,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    c: &mut ArrayViewMut2<'_, f32>,
    accumulate: bool,
) -> bool {
    let kernels = ctx.kernels;
    let only_rows = b.has_whole_rows() && !b.t().has_whole_rows();
    let is_small = a.rows == 1 && only_rows && b.rows * b.columns <= SMALL;
    if c.is_empty() || a.columns == 0 || is_small {
        return false;
    }
    if a.has_whole_rows() {
        if b.t().has_whole_rows() && a.rows <= FEW_ROWS {
            inner_products(kernels, a, b.t(), c, accumulate);
        } else if a.rows == 1
            && b.has_whole_rows()
            && Terms::reach(b.data.len())
            && let Some(c) = c.as_slice_mut()
        {
            combined_rows(kernels, a.row(0), b, c, accumulate);
        } else if b.t().has_whole_rows() && b.columns >= MUCH_WIDER * a.rows && !accumulate {
            turned(ctx, a, b, c);
        } else {
            panels(kernels, a, b, c, accumulate, Finish::default());
        }
        return true;
    }
    if a.t().has_whole_rows() {
        outer_products(kernels, a.t(), b, c, accumulate);
        return true;
    }
    false
}

/// `c = x w^T + b`, or its ReLU, in the tiles of the product; false, with nothing done, where the
/// product takes another form than panels.
pub(crate) fn linear(
    ctx: &Ctx,
    [x, w]: [Matrix<'_, f32>; 2],
    bias: &[f32],
    relu: bool,
    c: &mut ArrayViewMut2<'_, f32>,
) -> bool {
    let whole = x.has_whole_rows() && w.has_whole_rows() && x.columns > 0;
    if !whole || x.rows <= FEW_ROWS || w.rows >= MUCH_WIDER * x.rows {
        return false;
    }
    panels(ctx.kernels, x, w.t(), c, false, Finish { bias: Some(bias), relu });
    true
}

/// The rows of `b`, combined with the elements of a row of `a`: nothing would be used twice, so nothing
/// is packed.
fn combined_rows(
    kernels: &Kernels,
    a: &[f32],
    b: Matrix<'_, f32>,
    c: &mut [f32],
    accumulate: bool,
) {
    let mut terms = Terms::default();
    terms.all(a, b.steps[0]);
    terms.combine(kernels.isa, 0, b.data, 0, accumulate, c);
}

/// Panels of columns of `b`, each packed once and used by all rows of `a`.
fn panels(
    kernels: &Kernels,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    c: &mut ArrayViewMut2<'_, f32>,
    accumulate: bool,
    finish: Finish<'_>,
) {
    let inner = a.columns;
    let starts: SmallVec<[usize; 64]> = (0..a.rows).map(|r| r * a.steps[0]).collect();
    PANEL.with_borrow_mut(|panel| {
        for first in (0..a.columns).step_by(DEEP) {
            let depth = DEEP.min(a.columns - first);
            let b = b.some_rows(first..first + depth);
            let accumulate = accumulate || first > 0;
            for (j, mut c) in c.axis_chunks_iter_mut(Axis(1), kernels.columns).enumerate() {
                let columns = j * kernels.columns..j * kernels.columns + c.ncols();
                pack(kernels, b.some_columns(columns.clone()), panel);
                let is_last = first + depth == inner;
                let finish = if is_last { finish.of_columns(columns) } else { Finish::default() };
                let rows = starts.chunks(kernels.rows);
                for (rows, out) in rows.zip(c.axis_chunks_iter_mut(Axis(0), kernels.rows)) {
                    let (a, taps) = (a.data, &[first]);
                    kernels.multiply(Multiply {
                        a,
                        rows,
                        taps,
                        depth,
                        panel,
                        accumulate,
                        finish,
                        out,
                    });
                }
            }
        }
    });
}

/// The result as the transpose of `b^T a^T`: rows of `b^T` against panels of `a^T`, which are fewer to
/// pack. All panels of a piece stay in the second-level cache, and `b` is read once, where it lies.
fn turned(ctx: &Ctx, a: Matrix<'_, f32>, b: Matrix<'_, f32>, c: &mut ArrayViewMut2<'_, f32>) {
    let kernels = ctx.kernels;
    let width = kernels.columns;
    let (columns, weights) = (a.rows.next_multiple_of(width), b.t());
    let starts: Vec<usize> = (0..weights.rows).map(|r| r * weights.steps[0]).collect();
    let mut sums = ctx.store::<f32>(weights.rows * columns);
    let sums = &mut sums.data_mut()[..weights.rows * columns];
    let mut panels = vec![Vec::new(); columns / width];
    for first in (0..a.columns).step_by(DEEP) {
        let depth = DEEP.min(a.columns - first);
        for (j, panel) in panels.iter_mut().enumerate() {
            let rows = j * width..a.rows.min((j + 1) * width);
            pack(kernels, a.some_rows(rows).some_columns(first..first + depth).t(), panel);
        }
        let mut all = matrix_mut(sums, [weights.rows, columns]);
        let tiles = all.axis_chunks_iter_mut(Axis(0), kernels.rows);
        for (rows, mut tile) in starts.chunks(kernels.rows).zip(tiles) {
            for (panel, out) in panels.iter().zip(tile.axis_chunks_iter_mut(Axis(1), width)) {
                let (taps, accumulate, finish) = (&[first], first > 0, Finish::default());
                let a = weights.data;
                kernels.multiply(Multiply { a, rows, taps, depth, panel, accumulate, finish, out });
            }
        }
    }
    let sums = matrix_mut(sums, [weights.rows, columns]);
    c.assign(&sums.slice(s![.., ..a.rows]).t());
}

/// Copies `b`, at most a tile of columns, to rows of that width with zeros at the end.
fn pack(kernels: &Kernels, b: Matrix<'_, f32>, panel: &mut Vec<f32>) {
    let width = kernels.columns;
    panel.resize(b.rows * width, 0.0);
    if b.columns < width {
        panel.fill(0.0);
    }
    if b.has_whole_rows() {
        for (i, out) in panel.chunks_exact_mut(width).enumerate() {
            copy_row(b.row(i), out);
        }
        return;
    }
    transpose(kernels.isa, b.t(), width, panel);
}

/// `copy_from_slice` of a short row, which as a call would cost more than the copy.
fn copy_row(row: &[f32], out: &mut [f32]) {
    let (blocks, rest) = row.as_chunks::<8>();
    let (wide, narrow) = out.split_at_mut(row.len() - rest.len());
    for (out, block) in wide.as_chunks_mut::<8>().0.iter_mut().zip(blocks) {
        *out = *block;
    }
    narrow.iter_mut().zip(rest).for_each(|(o, &v)| *o = v);
}

/// Inner products of rows of `a` with rows of `b`.
fn inner_products(
    kernels: &Kernels,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    c: &mut ArrayViewMut2<'_, f32>,
    accumulate: bool,
) {
    let shape = match (a.rows, b.rows) {
        (1, 1) => DotShape::Single,
        (1, _) => DotShape::Row,
        (_, 1) => DotShape::Column,
        _ => DotShape::Block,
    };
    let [height, width] = kernels.dot_size(shape);
    for left in (0..b.rows).step_by(width) {
        let columns: [usize; 8] = std::array::from_fn(|i| (left + i) * b.steps[0]);
        let columns = &columns[..width.min(b.rows - left)];
        for top in (0..a.rows).step_by(height) {
            let rows: [usize; 8] = std::array::from_fn(|i| (top + i) * a.steps[0]);
            let rows = &rows[..height.min(a.rows - top)];
            let job =
                Dot { a: a.data, rows, b: b.data, columns, taps: &[(0, 0)], depth: a.columns };
            let part = s![top..top + rows.len(), left..left + columns.len()];
            let mut c = c.slice_mut(part);
            kernels.dot(shape, &job, |row, column, sum| {
                let c = &mut c[(row, column)];
                *c = if accumulate { *c + sum } else { sum };
            });
        }
    }
}

/// Sums of outer products of rows of `a` and rows of `b`.
fn outer_products(
    kernels: &Kernels,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    c: &mut ArrayViewMut2<'_, f32>,
    accumulate: bool,
) {
    let rows: Vec<usize> = (0..a.columns).collect();
    PANEL.with_borrow_mut(|panel| {
        for first in (0..a.rows).step_by(DEEP) {
            let last = a.rows.min(first + DEEP);
            let (a, b) = (a.some_rows(first..last), b.some_rows(first..last));
            let accumulate = accumulate || first > 0;
            for (j, mut c) in c.axis_chunks_iter_mut(Axis(1), kernels.columns).enumerate() {
                let left = j * kernels.columns;
                pack(kernels, b.some_columns(left..left + c.ncols()), panel);
                let tiles = c.axis_chunks_iter_mut(Axis(0), kernels.outer_rows);
                for (rows, out) in rows.chunks(kernels.outer_rows).zip(tiles) {
                    kernels.outer(Outer {
                        runs: [1, a.rows],
                        a: a.data,
                        rows,
                        a_steps: [0, a.steps[0]],
                        b: panel,
                        b_steps: [0, kernels.columns],
                        accumulate,
                        out,
                    });
                }
            }
        }
    });
}
