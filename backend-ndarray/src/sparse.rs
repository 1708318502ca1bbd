//! Derivatives of convolutions for gradients that are mostly zeros.
//!
//! Behind a max-pool of 2 by 2, three quarters of a gradient are zeros and a ReLU adds to them. What
//! is not zero acts on one window: its input's derivative gets a multiple of the weights, the
//! weights' derivative a multiple of the window. Both are linear combinations of stretches of
//! memory, at the cost of what is not zero.
//!
//! Zeros are skipped, so an infinite weight or pixel that only zeros meet leaves no NaN behind.

use inocula_core::Shape;
use inocula_core::op::Conv;

use crate::buf::{Array, Ctx};
use crate::channels_last;
use crate::direct::joined;
use crate::matmul::work;
use crate::padded::Padded;
use crate::simd_combine::Terms;

/// Images that are looked at before a choice.
const SAMPLES: usize = 8;

/// Share of elements that are not zero up to which skipping the others pays. A term costs up to 1.3
/// times what an element of a dense product does.
const PAYS: f64 = 0.5;

/// Channels whose weights stay in the first-level cache together.
const CHANNELS: usize = 32;

/// Where things lie for one convolution.
pub(crate) struct Geometry {
    /// The images with the zeros around them.
    padded: Padded,
    /// Where the window of each pixel of the result begins in a padded image.
    starts: Vec<usize>,
    /// Where the stretches of a window begin.
    taps: Vec<usize>,
    /// Elements of a stretch.
    depth: usize,
    /// Channels of the result.
    outputs: usize,
}

impl Geometry {
    /// For images of the shape `x`, a kernel extent, and gradients `g`.
    pub(crate) fn new(conv: &Conv, x: Shape, kernel: [usize; 2], g: Shape) -> Self {
        let padded = Padded::around(x, conv.padding, conv.padding);
        let tap = |i: usize| {
            let (y, x) = (i / kernel[1], i % kernel[1]);
            padded.position([y * conv.dilation[0], x * conv.dilation[1]])
        };
        let (taps, depth) = joined((0..kernel[0] * kernel[1]).map(tap).collect(), x[1]);
        let start = |i: usize| {
            let (y, x) = (i / g[3], i % g[3]);
            padded.position([y * conv.stride[0], x * conv.stride[1]])
        };
        let starts = (0..g[2] * g[3]).map(start).collect();
        Geometry { padded, starts, taps, depth, outputs: g[1] }
    }

    /// The elements of `g`, `[N, OH, OW, O]`, if the derivatives are better taken by those that are
    /// not zero. A glance at a few images decides.
    pub(crate) fn sparse<'a>(&self, ctx: &Ctx, g: &'a Array<f32>) -> Option<&'a [f32]> {
        let values = channels_last::slice(g)?;
        let size = self.padded.size().max(self.taps.len() * self.depth * self.outputs);
        if self.depth < ctx.kernels.columns / 2 || size > u32::MAX as usize {
            return None;
        }
        let step = g.shape()[0].div_ceil(SAMPLES);
        let seen = values.chunks_exact(self.starts.len() * self.outputs).step_by(step);
        let not_zero = |v: &f32| u32::from(*v != 0.0);
        let (mut some, mut all) = (0, 0);
        for image in seen {
            some += ctx.kernels.isa.run(|| image.iter().map(not_zero).sum::<u32>()) as usize;
            all += image.len();
        }
        ((some as f64) <= PAYS * all as f64).then_some(values)
    }

    /// Time of the whole for a batch, in cheap elementwise operations.
    fn work(&self, batch: usize) -> usize {
        work(batch * self.starts.len(), self.outputs, self.taps.len() * self.depth) / 4
    }

    /// The derivative in images, `[H, W, C]` each, for gradients `g` and a weight given by its
    /// channel of the result, pixel and channel of the image.
    pub(crate) fn input_grad(
        &self,
        ctx: &Ctx,
        g: &[f32],
        weight: impl Fn(usize, usize, usize) -> f32,
        out: &mut [f32],
    ) {
        let (outputs, result) = (self.outputs, self.starts.len() * self.outputs);
        let channels = self.padded.channels();
        let window = self.taps.len() * self.depth / channels;
        let of_tap = self.depth / channels;
        // [taps, outputs, depth], so that the stretches of some channels for a tap lie together.
        let mut weights = ctx.store::<f32>(outputs * window * channels);
        let weights = &mut weights.data_mut()[..outputs * window * channels];
        for (i, stretch) in weights.chunks_exact_mut(self.depth).enumerate() {
            let (tap, o) = (i / outputs, i % outputs);
            for (k, w) in stretch.iter_mut().enumerate() {
                *w = weight(o, tap * of_tap + k / channels, k % channels);
            }
        }
        let weights = &*weights;
        let image = self.padded.inside();
        let items = out.chunks_mut(image).zip(g.chunks_exact(result));
        let count = g.len() / result;
        let scratch = || (Terms::default(), ctx.store::<f32>(self.padded.size()));
        ctx.workers.each_with(self.work(count), items, scratch, |(terms, padded), (out, g)| {
            let padded = &mut padded.data_mut()[..self.padded.size()];
            padded.fill(0.0);
            let blocks = outputs.div_ceil(CHANNELS);
            terms.clear(blocks * self.starts.len(), CHANNELS);
            for (pixel, values) in g.chunks_exact(outputs).enumerate() {
                for (block, values) in values.chunks(CHANNELS).enumerate() {
                    let group = block * self.starts.len() + pixel;
                    for (o, &value) in values.iter().enumerate() {
                        terms.push(group, (block * CHANNELS + o) * self.depth, value);
                    }
                }
            }
            for block in 0..blocks {
                for (t, tap) in self.taps.iter().enumerate() {
                    let shift = t * outputs * self.depth;
                    for (pixel, start) in self.starts.iter().enumerate() {
                        let group = block * self.starts.len() + pixel;
                        let out = &mut padded[start + tap..][..self.depth];
                        terms.combine(ctx.workers.isa(), group, weights, shift, true, out);
                    }
                }
            }
            self.padded.unfill(padded, out);
        });
    }

    /// Gives the rows `first..` of the derivative in the weight, `[outputs, taps, depth]`, what one
    /// padded image and its gradient make of them, or adds it to them.
    pub(crate) fn weight_grad(
        &self,
        ctx: &Ctx,
        terms: &mut Terms,
        [image, g]: [&[f32]; 2],
        first: usize,
        accumulate: bool,
        sum: &mut [f32],
    ) {
        let inner = self.taps.len() * self.depth;
        let rows = sum.len() / inner;
        terms.clear(rows, self.starts.len());
        for (values, &start) in g.chunks_exact(self.outputs).zip(&self.starts) {
            for (row, &value) in values[first..first + rows].iter().enumerate() {
                terms.push(row, start, value);
            }
        }
        for (row, sum) in sum.chunks_exact_mut(inner).enumerate() {
            for (out, &tap) in sum.chunks_exact_mut(self.depth).zip(&self.taps) {
                terms.combine(ctx.workers.isa(), row, image, tap, accumulate, out);
            }
        }
    }
}
