//! Convolutions of f32 on tiles, straight from padded images.
//!
//! With channels side by side and zeros around an image, what a window reads begins a constant
//! distance from the window's corner, so the patches are rows of a product that are never copied. The
//! derivative in the input is the same sweep over the gradient with the window turned round, one
//! sweep for each phase of the stride. Elements do not depend on how rows are shared among threads.

use inocula_core::op::Conv;
use inocula_core::{Arg, Result, Shape};
use ndarray::{ArrayViewMut2, Axis};

use crate::buf::{Array, Buf, Ctx, operand};
use crate::channels_last;
use crate::elem::Elem;
use crate::matmul::{matrix_mut, work};
use crate::padded::Padded;
use crate::simd_tiles::{Dot, DotShape, Finish, Kernels, MAX_ROWS, Multiply};
use crate::sparse::Geometry;

/// Rows that an item of work has at least, where images are small.
const ENOUGH_ROWS: usize = 96;

/// Channels of a result below which inner products beat tiles that would be mostly empty.
const FEW_CHANNELS: usize = 8;

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
pub(crate) fn joined(taps: Vec<usize>, depth: usize) -> (Vec<usize>, usize) {
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
                self.padded.fill(ctx.kernels.isa, x, image, padded);
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

pub(crate) fn four(shape: Shape) -> [usize; 4] {
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
    let geometry = Geometry::new(conv, shape, [height, width], g.shape());
    if let Some(g) = geometry.sparse(ctx, g) {
        let weight = |o: usize, tap: usize, c: usize| w[(o * channels + c) * height * width + tap];
        let made = channels_last::make(ctx, shape, |out| geometry.input_grad(ctx, g, weight, out));
        return Ok(f32::into_buf(made));
    }
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
