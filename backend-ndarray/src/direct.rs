//! Convolutions of f32 on tiles, straight from padded images.
//!
//! With channels side by side and zeros around an image, what a window reads begins a constant
//! distance from the window's corner, so the patches are rows of a product that are never copied. The
//! derivative in the input is the same sweep over the gradient with the window turned round, one
//! sweep for each phase of the stride; the derivative in the weight adds outer products of gradient
//! and image rows. Elements do not depend on how rows are shared out among threads.

use inocula_core::op::Conv;
use inocula_core::{Arg, Result, Shape};
use ndarray::{ArrayViewMut2, Axis, s};

use crate::buf::{Array, Buf, Ctx, operand};
use crate::channels_last;
use crate::elem::Elem;
use crate::matmul::{matrix_mut, work};
use crate::padded::Padded;
use crate::simd_tiles::{Dot, DotShape, Finish, Kernels, MAX_ROWS, Multiply, Outer};

/// Rows that an item of work has at least, where images are small.
const ENOUGH_ROWS: usize = 96;

/// Channels of a result below which inner products beat tiles that would be mostly empty.
const FEW_CHANNELS: usize = 8;

/// Shares of a batch whose weight gradients are added up one after the other.
const SHARES: usize = 8;

/// Elements of all partial weight gradients together, about.
const PARTIAL_LIMIT: usize = 1 << 22;

/// Whether the tiles here can do it: one group, and nothing empty.
pub(crate) fn is_direct(conv: &Conv, shapes: [Shape; 2]) -> bool {
    conv.groups == 1 && shapes.iter().all(|shape| shape.numel() > 0)
}

/// A window over images of `channels`, for results of `outputs` channels.
struct Sweep {
    /// Where the window of each pixel begins in the padded image.
    starts: Vec<usize>,
    /// Distances from there to the stretches that the window reads.
    taps: Vec<usize>,
    depth: usize,
    /// `[outputs / columns, taps, depth, columns]` for tiles of products, `[outputs, taps, depth]`
    /// for inner products.
    weights: Vec<f32>,
    /// The pixels of the result, if not all in order.
    pixels: Option<Vec<usize>>,
}

/// All sweeps that make a batch of results.
struct Sweeps {
    padded: Padded,
    sweeps: Vec<Sweep>,
    /// Pixels of a result.
    pixels: usize,
    /// Channels of a result.
    outputs: usize,
    dots: bool,
}

/// One tap of a window: its distance, and the weights that belong to it as `[channel][output]`.
struct Tap<F> {
    distance: usize,
    weight: F,
}

impl Sweep {
    /// `taps` in ascending distance, each `channels` deep; stretches that touch become one.
    fn new<F: Fn(usize, usize) -> f32>(
        kernels: &Kernels,
        taps: &[Tap<F>],
        [channels, outputs]: [usize; 2],
        dots: bool,
    ) -> Self {
        let mut weights = Vec::new();
        if dots {
            weights.reserve(outputs * taps.len() * channels);
            for output in 0..outputs {
                for tap in taps {
                    weights.extend((0..channels).map(|c| (tap.weight)(c, output)));
                }
            }
        } else {
            let width = kernels.columns;
            weights.resize(outputs.div_ceil(width) * taps.len() * channels * width, 0.0);
            let mut rows = weights.chunks_exact_mut(width);
            for first in (0..outputs).step_by(width) {
                for tap in taps {
                    for (c, row) in (0..channels).zip(rows.by_ref()) {
                        let lanes = first..outputs.min(first + width);
                        row.iter_mut().zip(lanes).for_each(|(w, o)| *w = (tap.weight)(c, o));
                    }
                }
            }
        }
        let distances = taps.iter().map(|tap| tap.distance).collect();
        let (taps, depth) = joined(distances, channels);
        Sweep { starts: Vec::new(), taps, depth, weights, pixels: None }
    }

    /// The rows `starts` of the result, of all channels.
    fn run(
        &self,
        kernels: &Kernels,
        dots: bool,
        images: &[f32],
        starts: &[usize],
        finish: Finish<'_>,
        mut out: ArrayViewMut2<'_, f32>,
    ) {
        if dots {
            return self.run_dots(kernels, images, starts, finish, out);
        }
        let size = self.taps.len() * self.depth * kernels.columns;
        let panels = out.axis_chunks_iter_mut(Axis(1), kernels.columns).enumerate();
        for (block, mut out) in panels {
            let panel = &self.weights[block * size..][..size];
            let bias = finish.bias.map(|bias| &bias[block * kernels.columns..]);
            let tiles = out.axis_chunks_iter_mut(Axis(0), kernels.rows);
            for (rows, out) in starts.chunks(kernels.rows).zip(tiles) {
                kernels.multiply(Multiply {
                    a: images,
                    rows,
                    taps: &self.taps,
                    depth: self.depth,
                    panel,
                    accumulate: false,
                    finish: Finish { bias, ..finish },
                    out,
                });
            }
        }
    }

    fn run_dots(
        &self,
        kernels: &Kernels,
        images: &[f32],
        starts: &[usize],
        finish: Finish<'_>,
        mut out: ArrayViewMut2<'_, f32>,
    ) {
        let outputs = out.ncols();
        let shape = if outputs == 1 { DotShape::Column } else { DotShape::Block };
        let [height, width] = kernels.dot_size(shape);
        let each = self.taps.len() * self.depth;
        let taps: Vec<(usize, usize)> =
            self.taps.iter().enumerate().map(|(i, &tap)| (tap, i * self.depth)).collect();
        let columns: Vec<usize> = (0..outputs).map(|o| o * each).collect();
        for (top, rows) in starts.chunks(height).enumerate() {
            for (left, columns) in columns.chunks(width).enumerate() {
                let (a, b, depth) = (images, &self.weights, self.depth);
                let job = Dot { a, rows, b, columns, taps: &taps, depth };
                kernels.dot(shape, &job, |r, c, sum| {
                    let (r, c) = (top * height + r, left * width + c);
                    let sum = finish.bias.map_or(sum, |bias| sum + bias[c]);
                    let low = finish.relu && sum < 0.0;
                    out[(r, c)] = if low { 0.0 } else { sum };
                });
            }
        }
    }
}

/// Equal runs of stretches that touch, as fewer and deeper ones.
fn joined(taps: Vec<usize>, depth: usize) -> (Vec<usize>, usize) {
    let touches = |i: usize| taps.get(i + 1) == Some(&(taps[i] + depth));
    let run = (0..taps.len()).take_while(|&i| touches(i)).count() + 1;
    let even = taps.len().is_multiple_of(run)
        && (0..taps.len()).all(|i| touches(i) || (i + 1).is_multiple_of(run));
    if run == 1 || !even {
        return (taps, depth);
    }
    (taps.into_iter().step_by(run).collect(), depth * run)
}

impl Sweeps {
    /// The result of all sweeps over the images `x`.
    fn run(&self, ctx: &Ctx, x: &Array<f32>, finish: Finish<'_>, out: &mut [f32]) {
        let batch = x.shape()[0];
        let inner = self.sweeps.iter().map(|s| s.taps.len() * s.depth).max().unwrap_or(0);
        let work = work(batch * self.pixels, inner, self.outputs) / self.sweeps.len().max(1);
        let rows = self.rows_per_item(ctx, batch);
        let images = (rows - 1).div_ceil(self.pixels) + 1;
        let size = self.padded.size();
        let scratch = || ctx.store::<f32>(images * size);
        let items = out.chunks_mut(rows * self.outputs).enumerate();
        ctx.workers.each_with(work, items, scratch, |scratch, (item, out)| {
            let first = item * rows / self.pixels;
            let last = (item * rows + out.len() / self.outputs).div_ceil(self.pixels);
            let images = &mut scratch.data_mut()[..(last - first) * size];
            for (image, padded) in (first..last).zip(images.chunks_exact_mut(size)) {
                self.padded.fill(x, image, padded);
            }
            self.run_item(ctx, images, item * rows - first * self.pixels, finish, out);
        });
    }

    /// Rows of an item of work. Whole images where pixels are written out of order.
    fn rows_per_item(&self, ctx: &Ctx, batch: usize) -> usize {
        let images = ENOUGH_ROWS.div_ceil(self.pixels).min(batch);
        let threads = ctx.workers.threads();
        if batch.div_ceil(images) >= threads || self.sweeps.iter().any(|s| s.pixels.is_some()) {
            return images * self.pixels;
        }
        (batch * self.pixels).div_ceil(threads).next_multiple_of(MAX_ROWS)
    }

    /// The rows from `begin` on, counted from the first pixel of `images`.
    fn run_item(
        &self,
        ctx: &Ctx,
        images: &[f32],
        begin: usize,
        finish: Finish<'_>,
        out: &mut [f32],
    ) {
        let rows = out.len() / self.outputs;
        let size = self.padded.size();
        let mut starts = Vec::new();
        for sweep in &self.sweeps {
            starts.clear();
            let Some(pixels) = &sweep.pixels else {
                let position =
                    |row: usize| row / self.pixels * size + sweep.starts[row % self.pixels];
                starts.extend((begin..begin + rows).map(position));
                let out = matrix_mut(out, [rows, self.outputs]);
                sweep.run(ctx.kernels, self.dots, images, &starts, finish, out);
                continue;
            };
            let count = rows / self.pixels * pixels.len();
            let mut part = ctx.store::<f32>(count * self.outputs);
            let part = &mut part.data_mut()[..count * self.outputs];
            for image in 0..rows / self.pixels {
                starts.extend(sweep.starts.iter().map(|start| image * size + start));
            }
            let target = matrix_mut(part, [count, self.outputs]);
            sweep.run(ctx.kernels, self.dots, images, &starts, finish, target);
            for (row, value) in part.chunks_exact(self.outputs).enumerate() {
                let pixel = row / pixels.len() * self.pixels + pixels[row % pixels.len()];
                out[pixel * self.outputs..][..self.outputs].copy_from_slice(value);
            }
        }
    }
}

fn four(shape: Shape) -> [usize; 4] {
    [shape[0], shape[1], shape[2], shape[3]]
}

/// `(x, w)` or `(x, w, bias)`: the convolution, plus the bias if there is one, and the ReLU if asked.
pub(crate) fn forward(
    ctx: &Ctx,
    conv: &Conv,
    relu: bool,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let (x, w) = (operand::<f32>(args, 0)?, operand::<f32>(args, 1)?);
    let bias = if args.len() > 2 { Some(ctx.dense(operand::<f32>(args, 2)?)) } else { None };
    let [outputs, channels, height, width] = four(w.shape());
    let w = ctx.dense(w);
    let padded = Padded::around(x.shape(), conv.padding, conv.padding);
    let dots = outputs < FEW_CHANNELS;
    let mut taps = Vec::with_capacity(height * width);
    for ky in 0..height {
        for kx in 0..width {
            let at = [ky * conv.dilation[0], kx * conv.dilation[1]];
            let (w, tap) = (&w, ky * width + kx);
            let weight = move |c: usize, o: usize| w[(o * channels + c) * height * width + tap];
            taps.push(Tap { distance: padded.position(at), weight });
        }
    }
    let mut sweep = Sweep::new(ctx.kernels, &taps, [channels, outputs], dots);
    for oy in 0..shape[2] {
        let at = |ox: usize| padded.position([oy * conv.stride[0], ox * conv.stride[1]]);
        sweep.starts.extend((0..shape[3]).map(at));
    }
    let pixels = shape[2] * shape[3];
    let sweeps = Sweeps { padded, sweeps: vec![sweep], pixels, outputs, dots };
    let finish = Finish { bias: bias.as_deref(), relu };
    let made = channels_last::make(ctx, shape, |out| sweeps.run(ctx, x, finish, out));
    Ok(f32::into_buf(made))
}

/// Along one axis of the derivative in the input: which taps reach the coordinates of one phase of
/// the stride, and from how far.
struct Phase {
    /// Tap and the signed distance of the result's coordinate that it comes from, ascending.
    taps: Vec<(usize, isize)>,
    /// Coordinates `first, first + stride, ...`.
    first: usize,
    count: usize,
}

fn phases(conv: &Conv, axis: usize, kernel: usize, extent: usize) -> Vec<Phase> {
    let (stride, padding, dilation) =
        (conv.stride[axis], conv.padding[axis] as isize, conv.dilation[axis] as isize);
    let phase = |first: usize| {
        let from = |tap: usize| first as isize + padding - tap as isize * dilation;
        let taps = (0..kernel).rev().filter(|&tap| from(tap).rem_euclid(stride as isize) == 0);
        let taps = taps.map(|tap| (tap, from(tap).div_euclid(stride as isize))).collect();
        Phase { taps, first, count: (extent - first).div_ceil(stride) }
    };
    (0..stride.min(extent)).map(phase).collect()
}

/// Zeros that the gradient needs before and after it along one axis.
fn reach(phases: &[Phase], extent: usize) -> [usize; 2] {
    let (mut before, mut after) = (0, 0);
    for phase in phases {
        for &(_, distance) in &phase.taps {
            before = before.max(-distance);
            after = after.max(distance + phase.count as isize - extent as isize);
        }
    }
    [before as usize, after as usize]
}

/// `(g, w)`: the derivative in the input.
pub(crate) fn input_grad(
    ctx: &Ctx,
    conv: &Conv,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let (g, w) = (operand::<f32>(args, 0)?, operand::<f32>(args, 1)?);
    let [inner, channels, height, width] = four(w.shape());
    let w = ctx.dense(w);
    let down = phases(conv, 0, height, shape[2]);
    let across = phases(conv, 1, width, shape[3]);
    let vertical = reach(&down, g.shape()[2]);
    let horizontal = reach(&across, g.shape()[3]);
    let before = [vertical[0], horizontal[0]];
    let padded = Padded::around(g.shape(), before, [vertical[1], horizontal[1]]);
    let dots = channels < FEW_CHANNELS;
    let mut sweeps = Vec::with_capacity(down.len() * across.len());
    for py in &down {
        for px in &across {
            let mut taps = Vec::with_capacity(py.taps.len() * px.taps.len());
            for &(ky, dy) in &py.taps {
                for &(kx, dx) in &px.taps {
                    let at = [before[0].wrapping_add_signed(dy), before[1].wrapping_add_signed(dx)];
                    let (w, tap) = (&w, ky * width + kx);
                    let weight =
                        move |o: usize, c: usize| w[(o * channels + c) * height * width + tap];
                    taps.push(Tap { distance: padded.position(at), weight });
                }
            }
            let mut sweep = Sweep::new(ctx.kernels, &taps, [inner, channels], dots);
            let mut pixels = Vec::with_capacity(py.count * px.count);
            for y in 0..py.count {
                for x in 0..px.count {
                    sweep.starts.push(padded.position([y, x]));
                    let (y, x) = (py.first + y * conv.stride[0], px.first + x * conv.stride[1]);
                    pixels.push(y * shape[3] + x);
                }
            }
            sweep.pixels = (conv.stride != [1, 1]).then_some(pixels);
            sweeps.push(sweep);
        }
    }
    let pixels = shape[2] * shape[3];
    let sweeps = Sweeps { padded, sweeps, pixels, outputs: channels, dots };
    let finish = Finish::default();
    let made = channels_last::make(ctx, shape, |out| sweeps.run(ctx, g, finish, out));
    Ok(f32::into_buf(made))
}

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
    /// Whether the window's elements are the rows.
    turned: bool,
}

impl WeightGrad<'_> {
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

    /// The sums' rows from `first` on, from some of the images.
    fn add_images(
        &self,
        ctx: &Ctx,
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
        sum.fill(0.0);
        for n in images {
            self.padded.fill(x, n, &mut image[..size]);
            gradients.fill(g, n, &mut gradient[..result]);
            self.add_image(ctx.kernels, image, gradient, first, sum);
        }
    }

    fn add_image(
        &self,
        kernels: &Kernels,
        image: &[f32],
        gradient: &[f32],
        first: usize,
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
            kernels.outer(Outer { runs: self.windows, a, rows, a_steps, b, b_steps, out });
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
    let [outputs, channels, height, width] = four(shape);
    let padded = Padded::around(x.shape(), conv.padding, conv.padding);
    let taps = (0..height * width).map(|tap| {
        padded.position([tap / width * conv.dilation[0], tap % width * conv.dilation[1]])
    });
    let (taps, depth) = joined(taps.collect(), channels);
    let windows = [g.shape()[2], g.shape()[3]];
    let mut job = WeightGrad { conv, padded, outputs, windows, taps, depth, turned: false };
    job.turned = job.is_better_turned(ctx.kernels);
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
        let work = work(batch * windows[0] * windows[1], rows, columns);
        let items = partial.chunks_mut(n).enumerate();
        let items = items.flat_map(|(i, sum)| {
            sum.chunks_mut(piece * columns).enumerate().map(move |(j, sum)| (i, j, sum))
        });
        let items = Counted(items, shares * rows.div_ceil(piece));
        ctx.workers.each(work, items, |(i, j, sum)| {
            let images = i * share..batch.min((i + 1) * share);
            job.add_images(ctx, [x, g], images, j * piece, sum);
        });
        let (first, others) = partial.split_at_mut(n);
        for other in others.chunks_exact(n) {
            first.iter_mut().zip(other).for_each(|(sum, &v)| *sum += v);
        }
        let steps = if job.turned { [1, outputs] } else { [columns, 1] };
        for (o, out) in out.chunks_exact_mut(channels * height * width).enumerate() {
            for (tap, c) in (0..height * width).flat_map(|t| (0..channels).map(move |c| (t, c))) {
                let i = tap * channels + c;
                out[c * height * width + tap] = first[o * steps[0] + i * steps[1]];
            }
        }
    });
    Ok(f32::into_buf(made))
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
