//! Matrix products of f32 on tiles.
//!
//! The form decides which tile: rows of `a` against packed panels of `b`; inner products where `b`
//! is a transposed row-major matrix and there are too few rows to pay for packing it; outer products
//! where `a` is a transposed row-major matrix. The inner size is cut in pieces that depend on
//! nothing else, so an element has the same bits however the result is split.

use std::cell::RefCell;

use ndarray::{ArrayViewMut2, Axis, s};

use crate::buf::Ctx;
use crate::matmul::Matrix;
use crate::simd_tiles::{Dot, DotShape, Finish, Kernels, Multiply, Outer};

/// Inner size of a panel, by measurement: with the widest tile a panel is 64 KiB, which stays in a
/// second-level cache beside the rows that pass it.
const DEEP: usize = 512;

/// Rows up to which inner products are taken instead of packing `b`.
const FEW_ROWS: usize = 8;

thread_local! {
    /// Packed panels of `b`.
    static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `c = a b`, or `c += a b`; false, with nothing done, for forms that have no tile.
pub(crate) fn tiled(
    ctx: &Ctx,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    c: &mut ArrayViewMut2<'_, f32>,
    accumulate: bool,
) -> bool {
    let kernels = ctx.kernels;
    if c.is_empty() || a.columns == 0 {
        return false;
    }
    if a.has_whole_rows() {
        if b.t().has_whole_rows() && a.rows <= FEW_ROWS {
            inner_products(kernels, a, b.t(), c, accumulate);
        } else {
            panels(kernels, a, b, c, accumulate);
        }
        return true;
    }
    if a.t().has_whole_rows() {
        outer_products(kernels, a.t(), b, c, accumulate);
        return true;
    }
    false
}

/// Panels of columns of `b`, each packed once and used by all rows of `a`.
fn panels(
    kernels: &Kernels,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    c: &mut ArrayViewMut2<'_, f32>,
    accumulate: bool,
) {
    let starts: Vec<usize> = (0..a.rows).map(|r| r * a.steps[0]).collect();
    PANEL.with_borrow_mut(|panel| {
        for first in (0..a.columns).step_by(DEEP) {
            let depth = DEEP.min(a.columns - first);
            let b = b.some_rows(first..first + depth);
            let accumulate = accumulate || first > 0;
            for (j, mut c) in c.axis_chunks_iter_mut(Axis(1), kernels.columns).enumerate() {
                let left = j * kernels.columns;
                pack(b.some_columns(left..left + c.ncols()), kernels.columns, panel);
                let rows = starts.chunks(kernels.rows);
                for (rows, out) in rows.zip(c.axis_chunks_iter_mut(Axis(0), kernels.rows)) {
                    let taps = &[first];
                    let a = a.data;
                    kernels.multiply(Multiply {
                        a,
                        rows,
                        taps,
                        depth,
                        panel,
                        accumulate,
                        finish: Finish::default(),
                        out,
                    });
                }
            }
        }
    });
}

/// Copies `b`, at most `width` columns, to rows of `width` with zeros at the end.
fn pack(b: Matrix<'_, f32>, width: usize, panel: &mut Vec<f32>) {
    panel.resize(b.rows * width, 0.0);
    if b.columns < width {
        panel.fill(0.0);
    }
    if b.has_whole_rows() {
        for (i, out) in panel.chunks_exact_mut(width).enumerate() {
            out[..b.columns].copy_from_slice(b.row(i));
        }
        return;
    }
    transpose(b.t(), width, panel);
}

/// Writes row `i` of `x` to column `i` of `out`, which is `width` wide.
pub(crate) fn transpose(x: Matrix<'_, f32>, width: usize, out: &mut [f32]) {
    const EDGE: usize = 8;
    let whole = x.has_whole_rows();
    for top in (0..x.rows).step_by(EDGE) {
        let height = EDGE.min(x.rows - top);
        let mut left = 0;
        if whole && height == EDGE {
            let rows: [&[f32]; EDGE] = std::array::from_fn(|r| x.row(top + r));
            while left + EDGE <= x.columns {
                let tile: [[f32; EDGE]; EDGE] = std::array::from_fn(|r| {
                    let row = &rows[r][left..][..EDGE];
                    std::array::from_fn(|c| row[c])
                });
                for c in 0..EDGE {
                    let column: [f32; EDGE] = std::array::from_fn(|r| tile[r][c]);
                    out[(left + c) * width + top..][..EDGE].copy_from_slice(&column);
                }
                left += EDGE;
            }
        }
        for c in left..x.columns {
            for r in top..top + height {
                out[c * width + r] = x.data[r * x.steps[0] + c * x.steps[1]];
            }
        }
    }
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
    if !accumulate {
        c.fill(0.0);
    }
    let rows: Vec<usize> = (0..a.columns).collect();
    PANEL.with_borrow_mut(|panel| {
        for first in (0..a.rows).step_by(DEEP) {
            let last = a.rows.min(first + DEEP);
            let (a, b) = (a.some_rows(first..last), b.some_rows(first..last));
            for (j, mut c) in c.axis_chunks_iter_mut(Axis(1), kernels.columns).enumerate() {
                let left = j * kernels.columns;
                pack(b.some_columns(left..left + c.ncols()), kernels.columns, panel);
                let tiles = c.axis_chunks_iter_mut(Axis(0), kernels.outer_rows);
                for (rows, out) in rows.chunks(kernels.outer_rows).zip(tiles) {
                    kernels.outer(Outer {
                        runs: [1, a.rows],
                        a: a.data,
                        rows,
                        a_steps: [0, a.steps[0]],
                        b: panel,
                        b_steps: [0, kernels.columns],
                        out,
                    });
                }
            }
        }
    });
}
