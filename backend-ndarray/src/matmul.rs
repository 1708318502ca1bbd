//! Matrix products, on one thread and split over threads.
//!
//! Those of f32 are made on the tiles of `sgemm`. Those of f64, and of f32 in forms that have no tile,
//! reach `matrixmultiply` through `ndarray`, unless they have one row or column.
//!
//! Splits are over rows or columns of the result, never over the inner size, and begin at multiples of
//! the tiles, so that what a thread adds up depends on the shape and the number of threads alone. A product with one row or column
//! skips the packing of the general kernel, which would cost as much as the product itself.

use std::ops::Range;

use inocula_core::{Arg, Result, Shape};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, Axis, ShapeBuilder};

use crate::buf::{Array, Buf, Ctx, exclusive, operand};
use crate::elem::{Elem, Float};
use crate::layout::Layout;
use crate::movement;
use crate::workers::GRAIN;

/// Multiply-adds that take as long as one cheap elementwise operation.
const PER_ELEMENT: usize = 8;

/// A multiple of the rows and of the columns of every tile: parts of a result begin there.
const TILE: usize = 96;

/// A matrix within a slice, its elements any distance apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    /// From the first element on.
    pub(crate) data: &'a [T],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// From an element to the next below it, and to the next beside it.
    pub(crate) steps: [usize; 2],
}

impl<'a, T> Matrix<'a, T> {
    pub(crate) fn new(data: &'a [T], [rows, columns]: [usize; 2], steps: [usize; 2]) -> Self {
        Matrix { data, rows, columns, steps }
    }

    /// A row-major matrix.
    pub(crate) fn dense(data: &'a [T], size: [usize; 2]) -> Self {
        Matrix::new(data, size, [size[1], 1])
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        let Matrix { data, rows, columns, steps: [down, right] } = self;
        Matrix { data, rows: columns, columns: rows, steps: [right, down] }
    }

    /// Some of the rows.
    pub(crate) fn some_rows(self, range: Range<usize>) -> Self {
        let data = self.data.get(range.start * self.steps[0]..).unwrap_or(&[]);
        Matrix { data, rows: range.len(), ..self }
    }

    /// Some of the columns.
    pub(crate) fn some_columns(self, range: Range<usize>) -> Self {
        self.t().some_rows(range).t()
    }

    /// Whether the elements of a row lie side by side.
    pub(crate) fn has_whole_rows(&self) -> bool {
        self.steps[1] == 1 || self.columns == 1
    }

    /// A row that [lies side by side](Matrix::has_whole_rows).
    pub(crate) fn row(&self, i: usize) -> &'a [T] {
        &self.data[i * self.steps[0]..][..self.columns]
    }

    fn view(&self) -> ArrayView2<'a, T> {
        let shape = (self.rows, self.columns).strides((self.steps[0], self.steps[1]));
        #[allow(clippy::expect_used)] // steps come from layouts, which stay within their storage
        ArrayView2::from_shape(shape, self.data).expect("matrix outside of its storage")
    }
}

/// A dense row-major matrix to write.
pub(crate) fn matrix_mut<T>(data: &mut [T], size: [usize; 2]) -> ArrayViewMut2<'_, T> {
    #[allow(clippy::expect_used)] // callers pass a slice of exactly this many elements
    ArrayViewMut2::from_shape(size, data).expect("matrix of another size")
}

/// `c = a b`, or `c += a b`, on this thread. `c` has the elements of a row side by side.
pub(crate) fn gemm<T: Float>(
    ctx: &Ctx,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    c: &mut ArrayViewMut2<'_, T>,
    accumulate: bool,
) {
    let (rows, columns) = c.dim();
    if T::tiled(ctx, a, b, c, accumulate) {
        return;
    }
    if rows == 1
        && a.has_whole_rows()
        && let Some(y) = c.as_slice_mut()
    {
        ctx.workers.isa().run(
            #[inline(always)]
            || row_times_matrix(a.row(0), b, y, accumulate),
        );
    } else if columns == 1
        && b.t().has_whole_rows()
        && let Some(y) = c.as_slice_mut()
    {
        ctx.workers.isa().run(
            #[inline(always)]
            || row_times_matrix(b.t().row(0), a.t(), y, accumulate),
        );
    } else {
        let keep = if accumulate { T::ONE } else { T::ZERO };
        general_mat_mul(T::ONE, &a.view(), &b.view(), keep, c);
    }
}

/// `y = x b`, or `y += x b`.
#[inline(always)]
fn row_times_matrix<T: Float>(x: &[T], b: Matrix<'_, T>, y: &mut [T], accumulate: bool) {
    if !accumulate {
        y.fill(T::ZERO);
    }
    if x.is_empty() {
        return;
    }
    let across = b.t();
    if across.has_whole_rows() {
        for (i, y) in y.iter_mut().enumerate() {
            *y = *y + dot(x, across.row(i));
        }
    } else if b.has_whole_rows() {
        for (i, &x) in x.iter().enumerate() {
            for (y, &b) in y.iter_mut().zip(b.row(i)) {
                *y = *y + x * b;
            }
        }
    } else {
        for (&x, row) in x.iter().zip(b.view().rows()) {
            for (y, &b) in y.iter_mut().zip(row) {
                *y = *y + x * b;
            }
        }
    }
}

/// The inner product, in several vector registers of partial sums, since each waits for its last addition.
#[inline(always)]
fn dot<T: Float>(x: &[T], y: &[T]) -> T {
    const LANES: usize = 64;
    let mut lanes = [T::ZERO; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest = xs.remainder().iter().zip(ys.remainder());
    let rest = rest.fold(T::ZERO, |s, (&x, &y)| s + x * y);
    for (x, y) in xs.zip(ys) {
        for lane in 0..LANES {
            lanes[lane] = lanes[lane] + x[lane] * y[lane];
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = lanes[lane] + lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0] + rest
}

/// `c = a b`, or `c += a b`, on all threads.
pub(crate) fn parallel_gemm<T: Float>(
    ctx: &Ctx,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    accumulate: bool,
) {
    let (rows, columns) = c.dim();
    let work = work(rows, a.columns, columns);
    if !ctx.workers.worth(work) {
        return gemm(ctx, a, b, &mut c, accumulate);
    }
    let axis = Axis(usize::from(columns > rows));
    let part = rows.max(columns).div_ceil(ctx.workers.threads()).next_multiple_of(TILE);
    let parts = c.axis_chunks_iter_mut(axis, part).enumerate();
    ctx.workers.each(work, parts, |(i, mut c)| {
        let range = i * part..i * part + c.len_of(axis);
        if axis == Axis(0) {
            gemm(ctx, a.some_rows(range), b, &mut c, accumulate);
        } else {
            gemm(ctx, a, b.some_columns(range), &mut c, accumulate);
        }
    });
}

/// Time of a product, in cheap elementwise operations: that of its arithmetic, or that of reading its
/// operands where each element is used a few times only.
pub(crate) fn work(rows: usize, inner: usize, columns: usize) -> usize {
    let arithmetic = rows.saturating_mul(inner).saturating_mul(columns) / PER_ELEMENT;
    arithmetic.max(rows.saturating_mul(inner)).max(inner.saturating_mul(columns))
}

/// The matrices in the last two axes of an array, with as many axes of batch before them.
struct Stack<'a, T: Elem> {
    data: &'a [T],
    layout: Layout,
}

impl<'a, T: Elem> Stack<'a, T> {
    /// The matrices of `x`, transposed if asked.
    fn new(data: &'a [T], layout: &Layout, transpose: bool) -> Self {
        let rank = layout.shape.rank();
        let mut layout = *layout;
        if transpose {
            let (rows, columns) = (layout.shape[rank - 2], layout.shape[rank - 1]);
            layout.shape = layout.shape.with(rank - 2, columns).with(rank - 1, rows);
            layout.strides.swap(rank - 2, rank - 1);
        }
        Stack { data, layout }
    }

    fn get(&self, batch: usize) -> Matrix<'a, T> {
        let (shape, strides) = (self.layout.shape, &self.layout.strides);
        let rank = shape.rank();
        let mut at = self.layout.offset;
        let mut rest = batch;
        for axis in (0..rank - 2).rev() {
            at = at.wrapping_add_signed((rest % shape[axis]) as isize * strides[axis]);
            rest /= shape[axis];
        }
        let steps = [strides[rank - 2] as usize, strides[rank - 1] as usize];
        Matrix::new(&self.data[at..], [shape[rank - 2], shape[rank - 1]], steps)
    }
}

/// A dense copy, if the matrix kernel cannot walk the last two axes.
fn turned_forward<T: Elem>(ctx: &Ctx, x: &Array<T>) -> Option<Array<T>> {
    let rank = x.shape().rank();
    let backward = x.layout().strides[rank - 2..rank].iter().any(|&s| s < 0);
    backward.then(|| ctx.make(x.shape(), |out| movement::copy(ctx, x, out)))
}

/// Matrix product of the last two axes.
pub(crate) fn matmul<T: Float>(
    ctx: &Ctx,
    trans: [bool; 2],
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let product = product::<T>(ctx, trans, operand(args, 0)?, operand(args, 1)?, shape);
    Ok(T::into_buf(product))
}

fn product<T: Float>(
    ctx: &Ctx,
    [trans_a, trans_b]: [bool; 2],
    a: &Array<T>,
    b: &Array<T>,
    shape: Shape,
) -> Array<T> {
    let copies = [a, b].map(|x| turned_forward(ctx, x));
    let [a, b] = [copies[0].as_ref().unwrap_or(a), copies[1].as_ref().unwrap_or(b)];
    ctx.make(shape, |out| {
        let a = Stack::new(a.storage(), a.layout(), trans_a);
        let b = Stack::new(b.storage(), b.layout(), trans_b);
        let rank = shape.rank();
        let [rows, columns] = [shape[rank - 2], shape[rank - 1]];
        let inner = a.layout.shape[rank - 1];
        if inner == 0 {
            return out.fill(T::ZERO);
        }
        let batch = out.len() / (rows * columns);
        if rows * columns == 1 && a.get(0).has_whole_rows() && b.get(0).t().has_whole_rows() {
            return ctx.workers.each(
                work(batch, inner, 1),
                out.iter_mut().enumerate(),
                #[inline(always)]
                |(i, c)| *c = dot(a.get(i).row(0), b.get(i).t().row(0)),
            );
        }
        if batch < ctx.workers.threads().max(2) {
            for (i, c) in out.chunks_mut(rows * columns).enumerate() {
                parallel_gemm(ctx, a.get(i), b.get(i), matrix_mut(c, [rows, columns]), false);
            }
            return;
        }
        let total = work(rows * batch, inner, columns);
        ctx.workers.each(total, out.chunks_mut(rows * columns).enumerate(), |(i, c)| {
            gemm(ctx, a.get(i), b.get(i), &mut matrix_mut(c, [rows, columns]), false);
        });
    })
}

/// `x w^T + b`, and its ReLU if asked.
pub(crate) fn linear<T: Float>(
    ctx: &Ctx,
    relu: bool,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let bias = ctx.dense(operand::<T>(args, 2)?);
    let (x, w) = (operand::<T>(args, 0)?, operand::<T>(args, 1)?);
    let (rows, columns, inner) = (shape[0], shape[1], x.shape()[1]);
    if inner > 0
        && !ctx.workers.worth(work(rows, inner, columns))
        && let (Some(x), Some(w)) = (x.slice(), w.slice())
    {
        let [x, w] = [Matrix::dense(x, [rows, inner]), Matrix::dense(w, [columns, inner])];
        let made = ctx.make(shape, |out| {
            let c = &mut matrix_mut(out, [rows, columns]);
            if !T::tiled_linear(ctx, [x, w], &bias, relu, c) {
                gemm(ctx, x, w.t(), c, false);
                finish(ctx, &bias, relu, out);
            }
        });
        return Ok(T::into_buf(made));
    }
    let mut product = product(ctx, [false, true], x, w, shape);
    finish(ctx, &bias, relu, exclusive(&mut product)?);
    Ok(T::into_buf(product))
}

/// Adds a bias to each row, and takes the positive part if asked.
fn finish<T: Float>(ctx: &Ctx, bias: &[T], relu: bool, out: &mut [T]) {
    if out.is_empty() {
        return;
    }
    let rows = (GRAIN / bias.len()).max(1);
    ctx.workers.each(
        out.len(),
        out.chunks_mut(rows * bias.len()),
        #[inline(always)]
        |out| {
            for row in out.chunks_exact_mut(bias.len()) {
                for (o, &b) in row.iter_mut().zip(bias) {
                    *o = if relu { (*o + b).larger(T::ZERO) } else { *o + b };
                }
            }
        },
    );
}
