//! The derivative of a convolution of f32 in its weight, on tiles.
//!
//! Outer products of the gradient's pixels and what their windows saw, added up over all pixels. A
//! batch is divided in shares that depend on the shapes alone and are added in order, so the bits do
//! not depend on the number of threads.

use inocula_core::op::Conv;
use inocula_core::{Arg, Result, Shape};
use ndarray::{ArrayViewMut2, Axis, s};

use crate::buf::{Array, Buf, Ctx, operand};
use crate::channels_last;
use crate::direct::{four, joined};
use crate::elem::Elem;
use crate::matmul::{Matrix, matrix_mut, work};
use crate::order::permuted;
use crate::padded::Padded;
use crate::simd::Isa;
use crate::simd_combine::Terms;
use crate::simd_tiles::{Kernels, Outer};
use crate::simd_transpose::transpose;
use crate::sparse::Geometry;

/// Shares of a batch whose weight gradients are added up one after the other.
const SHARES: usize = 8;

/// Elements of all partial weight gradients together, about.
const PARTIAL_LIMIT: usize = 1 << 22;

/// A derivative in the weight as sums of outer products over all pixels of the result.
///
/// The channels of the gradient are rows of the sums and stretches of the window columns, or the
/// other way round, whichever fills the registers better: a window of one channel is short.
struct WeightGrad<'a> {
    conv: &'a Conv,
    padded: Padded,
    /// Channels of the gradient.
    outputs: usize,
    /// `[OH, OW]`.
    windows: [usize; 2],
    /// Where the stretches of a window begin.
    taps: Vec<usize>,
    /// Elements of a stretch.
    depth: usize,
    /// Pixels of a window.
    taps_of_weight: usize,
    /// Whether the window's elements are the rows.
    turned: bool,
    /// For gradients that are mostly zeros.
    sparse: Option<Geometry>,
}

impl<'a> WeightGrad<'a> {
    /// For `[x, g]` and a weight `[O, C, kh, kw]`.
    fn new(ctx: &Ctx, conv: &'a Conv, [x, g]: [&Array<f32>; 2], weight: [usize; 4]) -> Self {
        let [outputs, channels, height, width] = weight;
        let padded = Padded::around(x.shape(), conv.padding, conv.padding);
        let taps = (0..height * width).map(|tap| {
            padded.position([tap / width * conv.dilation[0], tap % width * conv.dilation[1]])
        });
        let (taps, depth) = joined(taps.collect(), channels);
        let windows = [g.shape()[2], g.shape()[3]];
        let taps_of_weight = height * width;
        let mut job = WeightGrad {
            conv,
            padded,
            outputs,
            windows,
            taps,
            depth,
            taps_of_weight,
            turned: false,
            sparse: None,
        };
        job.turned = job.is_better_turned(ctx.kernels);
        if !job.turned {
            let geometry = Geometry::new(conv, x.shape(), [height, width], g.shape());
            job.sparse = geometry.sparse(ctx, g).map(|_| geometry);
        }
        job
    }

    /// Time of a batch, in cheap elementwise operations.
    fn work(&self, batch: usize) -> usize {
        let [rows, columns] = self.size();
        work(batch * self.windows[0] * self.windows[1], rows, columns)
    }

    /// Writes the sums in the order of the weight, `[O, C, kh, kw]`.
    fn write(&self, isa: Isa, sum: &[f32], out: &mut [f32]) {
        let (taps, inner) = (self.taps_of_weight, self.inner());
        let channels = inner / taps;
        if self.turned {
            for c in 0..channels {
                let steps = [channels * self.outputs, 1];
                let of_channel = Matrix::new(&sum[c * self.outputs..], [taps, self.outputs], steps);
                transpose(isa, of_channel, inner, &mut out[c * taps..]);
            }
            return;
        }
        for (sum, out) in sum.chunks_exact(inner).zip(out.chunks_exact_mut(inner)) {
            transpose(isa, Matrix::dense(sum, [taps, channels]), taps, out);
        }
    }

    /// Elements of a window.
    fn inner(&self) -> usize {
        self.taps.len() * self.depth
    }

    /// Rows and columns of the sums.
    fn size(&self) -> [usize; 2] {
        if self.turned { [self.inner(), self.outputs] } else { [self.outputs, self.inner()] }
    }

    /// Whether the window's elements should be the rows, by the registers that are filled.
    fn is_better_turned(&self, kernels: &Kernels) -> bool {
        let whole = |n: usize| n.div_ceil(kernels.columns) * kernels.columns;
        let straight = self.outputs * self.taps.len() * whole(self.depth);
        self.inner() * whole(self.outputs) < straight
    }

    /// The sums' rows from `first` on, from some of the images, of which there is one at least.
    fn of_images(
        &self,
        ctx: &Ctx,
        terms: &mut Terms,
        [x, g]: [&Array<f32>; 2],
        images: std::ops::Range<usize>,
        first: usize,
        sum: &mut [f32],
    ) {
        let slack = ctx.kernels.columns;
        let [size, result] = [self.padded.size(), self.windows[0] * self.windows[1] * self.outputs];
        let gradients = Padded::around(g.shape(), [0, 0], [0, 0]);
        let mut scratch = ctx.store::<f32>(size + result + 2 * slack);
        let (image, gradient) = scratch.data_mut().split_at_mut(size + slack);
        image[size..].fill(0.0);
        gradient[result..].fill(0.0);
        let begin = images.start;
        // Gradients that lie as the kernels read them are read where they lie, unless a register
        // would reach behind the last of them.
        let lying = channels_last::slice(g);
        for n in images {
            self.padded.fill(ctx.kernels.isa, x, n, &mut image[..size]);
            let gradient = match lying.and_then(|all| all.get(n * result..)) {
                Some(rest) if rest.len() >= result + slack => &rest[..result + slack],
                _ => {
                    gradients.fill(ctx.kernels.isa, g, n, &mut gradient[..result]);
                    &*gradient
                }
            };
            let accumulate = n > begin;
            match &self.sparse {
                Some(sparse) => {
                    let pair = [&*image, &gradient[..result]];
                    sparse.weight_grad(ctx, terms, pair, first, accumulate, sum);
                }
                None => self.of_image(ctx.kernels, [image, gradient], first, accumulate, sum),
            }
        }
    }

    /// The same from one padded image and its gradient, or that added to `sum`.
    fn of_image(
        &self,
        kernels: &Kernels,
        [image, gradient]: [&[f32]; 2],
        first: usize,
        accumulate: bool,
        sum: &mut [f32],
    ) {
        let line = self.padded.position([self.conv.stride[0], 0]);
        let step = self.padded.position([0, self.conv.stride[1]]);
        let of_image = [line, step];
        let of_gradient = [self.windows[1] * self.outputs, self.outputs];
        let columns = self.size()[1];
        let rows = sum.len() / columns;
        let sum = matrix_mut(sum, [rows, columns]);
        let tile = |rows: &[usize], at: usize, out: ArrayViewMut2<'_, f32>| {
            let (a, b, a_steps, b_steps) = if self.turned {
                (image, &gradient[at..], of_image, of_gradient)
            } else {
                (gradient, &image[at..], of_gradient, of_image)
            };
            let runs = self.windows;
            kernels.outer(Outer { runs, a, rows, a_steps, b, b_steps, accumulate, out });
        };
        if self.turned {
            let element = |i: usize| self.taps[i / self.depth] + i % self.depth;
            let rows: Vec<usize> = (first..first + rows).map(element).collect();
            return tiles(kernels, sum, &rows, |left| left, tile);
        }
        let rows: Vec<usize> = (first..first + rows).collect();
        let mut sum = sum;
        for (i, &tap) in self.taps.iter().enumerate() {
            let part = sum.slice_mut(s![.., i * self.depth..(i + 1) * self.depth]);
            tiles(kernels, part, &rows, |left| tap + left, tile);
        }
    }
}

/// Calls `tile` for each tile of `sum` with the places of its rows and of its columns.
fn tiles(
    kernels: &Kernels,
    mut sum: ArrayViewMut2<'_, f32>,
    rows: &[usize],
    column: impl Fn(usize) -> usize,
    tile: impl Fn(&[usize], usize, ArrayViewMut2<'_, f32>),
) {
    let blocks = sum.axis_chunks_iter_mut(Axis(1), kernels.columns).enumerate();
    for (block, mut sum) in blocks {
        let at = column(block * kernels.columns);
        let parts = sum.axis_chunks_iter_mut(Axis(0), kernels.outer_rows);
        for (rows, out) in rows.chunks(kernels.outer_rows).zip(parts) {
            tile(rows, at, out);
        }
    }
}

/// `(x, g)`: the derivative in the weight.
pub(crate) fn weight_grad(
    ctx: &Ctx,
    conv: &Conv,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let (x, g) = (operand::<f32>(args, 0)?, operand::<f32>(args, 1)?);
    let job = WeightGrad::new(ctx, conv, [x, g], four(shape));
    let batch = x.shape()[0];
    let n = shape.numel();
    let shares = SHARES.min(batch).min((PARTIAL_LIMIT / n).max(1));
    let share = batch.div_ceil(shares);
    let shares = batch.div_ceil(share);
    // Few shares of a large weight: threads divide its rows too.
    let [rows, columns] = job.size();
    let piece = rows.div_ceil(SHARES / shares).next_multiple_of(ctx.kernels.outer_rows);
    let made = ctx.make(shape, |out| {
        let mut partial = ctx.store::<f32>(shares * n);
        let partial = &mut partial.data_mut()[..shares * n];
        let items = partial.chunks_mut(n).enumerate();
        let items = items.flat_map(|(i, sum)| {
            sum.chunks_mut(piece * columns).enumerate().map(move |(j, sum)| (i, j, sum))
        });
        let items = Counted(items, shares * rows.div_ceil(piece));
        ctx.workers.each_with(job.work(batch), items, Terms::default, |terms, (i, j, sum)| {
            let images = i * share..batch.min((i + 1) * share);
            job.of_images(ctx, terms, [x, g], images, j * piece, sum);
        });
        let (first, others) = partial.split_at_mut(n);
        for other in others.chunks_exact(n) {
            first.iter_mut().zip(other).for_each(|(sum, &v)| *sum += v);
        }
        job.write(ctx.kernels.isa, first, out);
    });
    Ok(f32::into_buf(made))
}

/// `(x, g)`: the derivative in the weight from each image alone. It stays as the tiles make it, with the
/// channels of a pixel of the window side by side: to a norm the order is all one, and putting the
/// gradients of all images in another takes as long as their norms.
pub(crate) fn weight_grads(
    ctx: &Ctx,
    conv: &Conv,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let (x, g) = (operand::<f32>(args, 0)?, operand::<f32>(args, 1)?);
    let of_one = [shape[1], shape[2], shape[3], shape[4]];
    let job = WeightGrad::new(ctx, conv, [x, g], of_one);
    let n = of_one.iter().product();
    let lying = permuted(shape, &[0, 1, 3, 4, 2]);
    let made = ctx.make(lying, |out| {
        let images = out.chunks_mut(n).enumerate();
        let scratch = || (Terms::default(), ctx.store::<f32>(if job.turned { n } else { 0 }));
        ctx.workers.each_with(job.work(shape[0]), images, scratch, |(terms, sum), (i, out)| {
            if !job.turned {
                return job.of_images(ctx, terms, [x, g], i..i + 1, 0, out);
            }
            let sum = &mut sum.data_mut()[..n];
            job.of_images(ctx, terms, [x, g], i..i + 1, 0, sum);
            transpose(ctx.kernels.isa, Matrix::dense(sum, job.size()), job.inner(), out);
        });
    });
    Ok(f32::into_buf(made.view(made.layout().permute(&[0, 1, 4, 2, 3], shape))))
}

/// An iterator of which the number of items is known.
struct Counted<I>(I, usize);

impl<I: Iterator> Iterator for Counted<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let item = self.0.next()?;
        self.1 -= 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.1, Some(self.1))
    }
}
