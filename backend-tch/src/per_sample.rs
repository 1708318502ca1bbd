//! Gradients of each sample in the weight of a convolution, which libtorch has no operator for.
//!
//! As one convolution with a group for each sample it takes three times as long as the gradient of the
//! whole batch: oneDNN wants so many groups in an order of its own, which is made before and undone after.
//! On CPUs the samples are therefore shared out to threads, and for each channel of the result the windows
//! of its pixels are added up, times their cotangents. Behind a ReLU and a max-pool most of these are
//! zeros, which are left out.

use std::cell::RefCell;

use inocula_core::Aval;
use inocula_core::op::Conv;
use pulp::{Simd, WithSimd};
use tch::Tensor;

use crate::failure::Made;
use crate::host::{elements, filled, for_rows};
use crate::layout::four;

/// Elements of the longest vector of any instruction set.
const LANES: usize = 16;

/// The most channels whose cotangents are read together: memory is read fastest from one end to the other.
const CHANNELS: usize = 64;

/// Elements of an image that stay in a core's cache while each channel reads them.
const CACHED: usize = 1 << 18;

/// A convolution of one image with the channels last.
pub(crate) struct Sample {
    conv: Conv,
    kernel: [usize; 2],
    /// Height, width and channels of the image.
    image: [usize; 3],
    /// Height, width and channels of the result.
    result: [usize; 3],
}

/// What is kept of a thread's last sample: pages fresh from the system cost more than what is written.
#[derive(Default)]
struct Scratch {
    /// The image in a frame of zeros, as wide as the padding, and a vector behind it.
    framed: Vec<f32>,
    terms: Vec<Term>,
    /// The gradient in the weights of a channel, each run of it filled up to whole vectors.
    sums: Vec<f32>,
}

/// A cotangent, and where the window of its pixel begins.
type Term = (f32, u32);

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Sample {
    /// Of f32 `x` and `g` on a CPU and gradients `out`; `None` where this is not the way to make them: in
    /// groups, or of images too large for a cache.
    pub(crate) fn new(conv: &Conv, x: &Tensor, g: &Tensor, out: &Aval) -> Option<Self> {
        let [[_, c, h, w], [_, o, oh, ow]] = [x, g].map(|t| four(t).map(|extent| extent as usize));
        let kernel = [out.shape[3], out.shape[4]];
        let sample = Sample { conv: *conv, kernel, image: [h, w, c], result: [oh, ow, o] };
        let [height, width] = sample.framed();
        (conv.groups == 1 && height * width * c <= CACHED).then_some(sample)
    }

    /// The gradients, with the channels last in memory.
    pub(crate) fn weight_grads(&self, x: &Tensor, g: &Tensor) -> Made<Tensor> {
        let last = |t: &Tensor| t.f_permute([0, 2, 3, 1])?.f_contiguous();
        let (x, g) = (last(x)?, last(g)?);
        let (images, cotangents) = (elements(&x)?, elements(&g)?);
        let ([h, w, c], [oh, ow, o], [kh, kw]) = (self.image, self.result, self.kernel);
        let (of_image, of_result) = (h * w * c, oh * ow * o);
        let size = [images.len() / of_image, o, kh, kw, c].map(|extent| extent as i64);
        let made = filled(&size, |grads| {
            for_rows(grads, o * self.taps(), |n, grads| {
                let image = &images[n * of_image..][..of_image];
                let cotangents = &cotangents[n * of_result..][..of_result];
                SCRATCH.with_borrow_mut(|scratch| self.grads(image, cotangents, scratch, grads));
            })
        })?;
        Ok(made.f_permute([0, 1, 4, 2, 3])?)
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.image[2]
    }

    fn framed(&self) -> [usize; 2] {
        let ([h, w, _], [ph, pw]) = (self.image, self.conv.padding);
        [h + 2 * ph, w + 2 * pw]
    }

    /// Elements of a window that lie side by side in the image: of a row, unless it is spread.
    fn run(&self) -> usize {
        let channels = self.image[2];
        if self.conv.dilation[1] == 1 { self.kernel[1] * channels } else { channels }
    }

    /// Where the window of a pixel begins in the framed image.
    fn begin(&self, pixel: usize) -> usize {
        let ([sh, sw], [_, ow, _], [_, width]) = (self.conv.stride, self.result, self.framed());
        (pixel / ow * sh * width + pixel % ow * sw) * self.image[2]
    }

    /// Where the runs of a window begin, from its own begin on.
    fn runs(&self) -> Vec<usize> {
        let ([dh, dw], [_, width], c) = (self.conv.dilation, self.framed(), self.image[2]);
        let of_row = self.kernel[1] * c / self.run();
        let run = |i: usize| (i / of_row * dh * width + i % of_row * dw) * c;
        (0..self.kernel[0] * of_row).map(run).collect()
    }

    /// Writes the gradient of one sample, `[O, taps]`.
    fn grads(&self, image: &[f32], cotangents: &[f32], scratch: &mut Scratch, grads: &mut [f32]) {
        let Scratch { framed, terms, sums } = scratch;
        self.frame(image, framed);
        let (runs, [oh, ow, outputs]) = (self.runs(), self.result);
        let begins: Vec<u32> = (0..oh * ow).map(|pixel| self.begin(pixel) as u32).collect();
        let stretch = self.run().next_multiple_of(LANES);
        sums.resize(runs.len() * stretch, 0.0);
        for (block, grads) in grads.chunks_mut(CHANNELS * self.taps()).enumerate() {
            let channels = block * CHANNELS..outputs.min((block + 1) * CHANNELS);
            let pixels = cotangents.chunks_exact(outputs).map(|pixel| &pixel[channels.clone()]);
            let ends = collect(pixels, &begins, terms);
            for (channel, grad) in grads.chunks_exact_mut(self.taps()).enumerate() {
                let terms = &terms[channel * begins.len()..ends[channel]];
                let sum = Sums { terms, from: framed, runs: &runs, stretch, into: sums };
                pulp::Arch::new().dispatch(sum);
                for (run, sum) in grad.chunks_exact_mut(self.run()).zip(sums.chunks_exact(stretch))
                {
                    run.copy_from_slice(&sum[..run.len()]);
                }
            }
        }
    }

    /// Puts an image in its frame.
    fn frame(&self, image: &[f32], framed: &mut Vec<f32>) {
        let ([_, w, c], [height, width], [ph, pw]) = (self.image, self.framed(), self.conv.padding);
        framed.clear();
        framed.resize(height * width * c + LANES, 0.0);
        for (y, row) in image.chunks_exact(w * c).enumerate() {
            framed[((y + ph) * width + pw) * c..][..w * c].copy_from_slice(row);
        }
    }
}

/// Gathers, for each of at most [`CHANNELS`] channels, the cotangents that are not 0: each channel's from the
/// place on that it would have if none were, to the place that is given back.
fn collect<'a>(
    pixels: impl Iterator<Item = &'a [f32]>,
    begins: &[u32],
    terms: &mut Vec<Term>,
) -> [usize; CHANNELS] {
    terms.resize(CHANNELS * begins.len(), (0.0, 0));
    let mut ends = std::array::from_fn(|channel| channel * begins.len());
    for (pixel, &begin) in pixels.zip(begins) {
        for (&value, end) in pixel.iter().zip(&mut ends) {
            // Without a branch, which would be foreseen badly.
            terms[*end] = (value, begin);
            *end += usize::from(value != 0.0);
        }
    }
    ends
}

/// `sum_t v_t from[b_t + r..]` over terms `(v_t, b_t)`, in `stretch` elements for each run `r`.
struct Sums<'a> {
    terms: &'a [Term],
    from: &'a [f32],
    runs: &'a [usize],
    stretch: usize,
    into: &'a mut [f32],
}

impl WithSimd for Sums<'_> {
    type Output = ();

    /// As many vectors at once as registers hold, from whichever runs: a sum alone would wait for its last
    /// term each time.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Sums { terms, from, runs, stretch, into } = self;
        let of_run = stretch / S::F32_LANES;
        let offset = |vector: usize| runs[vector / of_run] + vector % of_run * S::F32_LANES;
        let (vectors, _) = S::as_mut_simd_f32s(into);
        let (eights, rest) = vectors.as_chunks_mut::<8>();
        let mut at = 0;
        for block in eights {
            *block = sum(simd, terms, from, std::array::from_fn(|i| offset(at + i)));
            at += 8;
        }
        let (fours, rest) = rest.as_chunks_mut::<4>();
        for block in fours {
            *block = sum(simd, terms, from, std::array::from_fn(|i| offset(at + i)));
            at += 4;
        }
        for vector in rest {
            [*vector] = sum(simd, terms, from, [offset(at)]);
            at += 1;
        }
    }
}

/// The same of one vector for each of `offsets`, in registers.
#[inline(always)]
fn sum<S: Simd, const N: usize>(
    simd: S,
    terms: &[Term],
    from: &[f32],
    offsets: [usize; N],
) -> [S::f32s; N] {
    let mut sums = [simd.splat_f32s(0.0); N];
    for &(value, begin) in terms {
        let from = &from[begin as usize..];
        let value = simd.splat_f32s(value);
        for (sum, offset) in sums.iter_mut().zip(offsets) {
            let (vector, _) = S::as_simd_f32s(&from[offset..][..S::F32_LANES]);
            *sum = simd.mul_add_e_f32s(value, vector[0], *sum);
        }
    }
    sums
}
