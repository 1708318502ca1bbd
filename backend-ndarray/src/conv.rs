//! The convolution triple: an image at a time, as a product with the columns of its windows.
//!
//! The columns of one image fit the second-level cache; those of a batch would not fit memory.
//! Threads take images, and each keeps one matrix of columns. A derivative in the weight adds up
//! images, so there each thread has a fixed share of them, and the shares are added in order.

use inocula_core::op::Conv;
use inocula_core::{Arg, Result, Shape};

use crate::buf::{Buf, Ctx, operand};
use crate::columns::{Columns, geometry};
use crate::direct::four;
use crate::elem::Float;
use crate::matmul::{Matrix, gemm, matrix_mut, parallel_gemm, work};

/// Sizes of a convolution, per channel group where not said otherwise.
struct Sizes {
    /// The windows over the input channels of a group.
    columns: Columns,
    /// Output channels of a group.
    outputs: usize,
    groups: usize,
    batch: usize,
}

impl Sizes {
    /// From the shapes of the input and the weight.
    fn new(conv: &Conv, x: Shape, w: [usize; 4]) -> Self {
        let window = conv.window([w[2], w[3]]);
        Sizes {
            columns: geometry(window, w[1], [x[2], x[3]]),
            outputs: w[0] / conv.groups,
            groups: conv.groups,
            batch: x[0],
        }
    }

    /// Elements of the weight of a group.
    fn weight(&self) -> usize {
        self.outputs * self.columns.rows()
    }

    /// Elements of the result of a group for one image.
    fn result(&self) -> usize {
        self.outputs * self.columns.count()
    }

    /// Time of the whole, in cheap elementwise operations.
    fn work(&self) -> usize {
        let per_image = work(self.outputs, self.columns.rows(), self.columns.count());
        per_image.saturating_mul(self.groups * self.batch)
    }

    /// The weight of a group as a matrix, `[outputs, rows]`.
    fn weight_of<'a, T>(&self, w: &'a [T], group: usize) -> Matrix<'a, T> {
        let rows = self.columns.rows();
        Matrix::dense(&w[group * self.weight()..], [self.outputs, rows])
    }

    /// The result of a group for one image as a matrix, `[outputs, windows]`.
    fn result_of<'a, T>(&self, g: &'a [T], image: usize, group: usize) -> Matrix<'a, T> {
        let count = self.columns.count();
        let at = (image * self.groups + group) * self.result();
        Matrix::dense(&g[at..], [self.outputs, count])
    }

    /// The columns of a group of one image, `[rows, windows]`, made in `scratch` if need be.
    fn columns_of<'a, T: Float>(
        &self,
        x: &'a [T],
        image: usize,
        group: usize,
        scratch: &'a mut [T],
    ) -> Matrix<'a, T> {
        let (rows, count) = (self.columns.rows(), self.columns.count());
        let image = &x[(image * self.groups + group) * self.columns.image()..];
        if self.columns.is_image() {
            return Matrix::dense(image, [rows, count]);
        }
        self.columns.unfold(image, scratch);
        Matrix::dense(scratch, [rows, count])
    }

    /// Room for the columns of a group of one image.
    fn scratch(&self) -> usize {
        if self.columns.is_image() { 0 } else { self.columns.rows() * self.columns.count() }
    }
}

/// `(x, w)` or `(x, w, bias)`: the convolution, plus the bias if there is one, and the ReLU if asked.
pub(crate) fn forward<T: Float>(
    ctx: &Ctx,
    conv: &Conv,
    relu: bool,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let (x, w) = (operand::<T>(args, 0)?, operand::<T>(args, 1)?);
    let sizes = Sizes::new(conv, x.shape(), four(w.shape()));
    let bias = if args.len() > 2 { Some(ctx.dense(operand::<T>(args, 2)?)) } else { None };
    let (x, w) = (ctx.dense(x), ctx.dense(w));
    let finish = |group: usize, out: &mut [T]| {
        if let Some(bias) = &bias {
            let bias = &bias[group * sizes.outputs..][..sizes.outputs];
            add_bias(bias, sizes.columns.count(), relu, out);
        }
    };
    let made = ctx.make(shape, |out| {
        let size = [sizes.outputs, sizes.columns.count()];
        if sizes.columns.rows() == 0 {
            out.fill(T::ZERO);
            for (i, out) in out.chunks_mut(sizes.result()).enumerate() {
                finish(i % sizes.groups, out);
            }
            return;
        }
        let images = out.chunks_mut(sizes.result()).enumerate();
        let scratch = || ctx.store::<T>(sizes.scratch());
        if sizes.batch * sizes.groups < ctx.workers.threads() {
            let mut scratch = scratch();
            for (i, out) in images {
                let (image, group) = (i / sizes.groups, i % sizes.groups);
                let scratch = &mut scratch.data_mut()[..sizes.scratch()];
                let columns = sizes.columns_of(&x, image, group, scratch);
                let weight = sizes.weight_of(&w, group);
                parallel_gemm(ctx, weight, columns, matrix_mut(out, size), false);
                finish(group, out);
            }
            return;
        }
        ctx.workers.each_with(sizes.work(), images, scratch, |scratch, (i, out)| {
            let (image, group) = (i / sizes.groups, i % sizes.groups);
            let scratch = &mut scratch.data_mut()[..sizes.scratch()];
            let columns = sizes.columns_of(&x, image, group, scratch);
            gemm(ctx, sizes.weight_of(&w, group), columns, &mut matrix_mut(out, size), false);
            finish(group, out);
        });
    });
    Ok(T::into_buf(made))
}

/// Adds a bias per channel, and applies the ReLU if asked, while the channels are in the cache.
fn add_bias<T: Float>(bias: &[T], count: usize, relu: bool, out: &mut [T]) {
    for (&b, out) in bias.iter().zip(out.chunks_exact_mut(count)) {
        if relu {
            out.iter_mut().for_each(|o| *o = (*o + b).larger(T::ZERO));
        } else {
            out.iter_mut().for_each(|o| *o = *o + b);
        }
    }
}

/// `(g, w)`: the derivative in the input.
pub(crate) fn input_grad<T: Float>(
    ctx: &Ctx,
    conv: &Conv,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let (g, w) = (operand::<T>(args, 0)?, operand::<T>(args, 1)?);
    let sizes = Sizes::new(conv, shape, four(w.shape()));
    let (g, w) = (ctx.dense(g), ctx.dense(w));
    let made = ctx.make(shape, |out| {
        if sizes.outputs == 0 {
            return out.fill(T::ZERO);
        }
        let size = [sizes.columns.rows(), sizes.columns.count()];
        let images = out.chunks_mut(sizes.columns.image()).enumerate();
        let scratch = || ctx.store::<T>(sizes.scratch());
        ctx.workers.each_with(sizes.work(), images, scratch, |scratch, (i, out)| {
            let (image, group) = (i / sizes.groups, i % sizes.groups);
            let weight = sizes.weight_of(&w, group);
            let gradient = sizes.result_of(&g, image, group);
            if sizes.columns.is_image() {
                return gemm(ctx, weight.t(), gradient, &mut matrix_mut(out, size), false);
            }
            let columns = &mut scratch.data_mut()[..sizes.scratch()];
            gemm(ctx, weight.t(), gradient, &mut matrix_mut(columns, size), false);
            out.fill(T::ZERO);
            sizes.columns.fold(columns, out);
        });
    });
    Ok(T::into_buf(made))
}

/// `(x, g)`: the derivative in the weight.
pub(crate) fn weight_grad<T: Float>(
    ctx: &Ctx,
    conv: &Conv,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let (x, g) = (operand::<T>(args, 0)?, operand::<T>(args, 1)?);
    let sizes = Sizes::new(conv, x.shape(), four(shape));
    let (x, g) = (ctx.dense(x), ctx.dense(g));
    let made = ctx.make(shape, |out| {
        if sizes.batch == 0 {
            return out.fill(T::ZERO);
        }
        let share = sizes.batch.div_ceil(ctx.workers.threads());
        let shares = sizes.batch.div_ceil(share);
        let mut others = ctx.store::<T>((shares - 1) * out.len());
        let others = &mut others.data_mut()[..(shares - 1) * out.len()];
        let scratch = || ctx.store::<T>(sizes.scratch());
        let items = [&mut *out].into_iter().chain(others.chunks_mut(shape.numel())).enumerate();
        ctx.workers.each_with(sizes.work(), items, scratch, |scratch, (i, out)| {
            let images = i * share..sizes.batch.min((i + 1) * share);
            let scratch = &mut scratch.data_mut()[..sizes.scratch()];
            add_images(ctx, &sizes, &x, &g, images, scratch, out);
        });
        for other in others.chunks(out.len()) {
            out.iter_mut().zip(other).for_each(|(o, &v)| *o = *o + v);
        }
    });
    Ok(T::into_buf(made))
}

/// `(x, g)`: the derivative in the weight from each image alone.
pub(crate) fn weight_grads<T: Float>(
    ctx: &Ctx,
    conv: &Conv,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let (x, g) = (operand::<T>(args, 0)?, operand::<T>(args, 1)?);
    let sizes = Sizes::new(conv, x.shape(), [shape[1], shape[2], shape[3], shape[4]]);
    let (x, g) = (ctx.dense(x), ctx.dense(g));
    let made = ctx.make(shape, |out| {
        let each = (sizes.weight() * sizes.groups).max(1);
        let images = out.chunks_mut(each).enumerate();
        let scratch = || ctx.store::<T>(sizes.scratch());
        ctx.workers.each_with(sizes.work(), images, scratch, |scratch, (i, out)| {
            let scratch = &mut scratch.data_mut()[..sizes.scratch()];
            add_images(ctx, &sizes, &x, &g, i..i + 1, scratch, out);
        });
    });
    Ok(T::into_buf(made))
}

/// The derivative in the weight from some of the images.
fn add_images<T: Float>(
    ctx: &Ctx,
    sizes: &Sizes,
    x: &[T],
    g: &[T],
    images: std::ops::Range<usize>,
    scratch: &mut [T],
    out: &mut [T],
) {
    let size = [sizes.outputs, sizes.columns.rows()];
    let first = images.start;
    for image in images {
        for (group, out) in out.chunks_exact_mut(sizes.weight()).enumerate() {
            let columns = sizes.columns_of(x, image, group, scratch);
            let gradient = sizes.result_of(g, image, group);
            gemm(ctx, gradient, columns.t(), &mut matrix_mut(out, size), image != first);
        }
    }
}
