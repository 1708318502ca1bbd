//! Max-pooling of images with their channels side by side: all channels of a window at once.

use inocula_core::op::Window;
use inocula_core::{Arg, Result, Shape};

use crate::buf::{Array, Buf, Ctx, operand};
use crate::channels_last;
use crate::elem::Float;
use crate::pooling::{PER_WINDOW, Planes, Reach};

/// Whether images lie so that the pools here read them without a copy, and gain by it.
pub(crate) fn applies<T: Float>(x: &Array<T>) -> bool {
    x.shape()[1] > 1 && channels_last::is_channels_last(x.layout())
}

/// Calls `body` with each image of `out`, which has `size` elements, and its number.
fn each_image<T: Float>(
    ctx: &Ctx,
    planes: &Planes,
    channels: usize,
    out: &mut [T],
    size: usize,
    body: impl Fn(usize, &mut [T]) + Sync,
) {
    let windows = planes.output_size() * PER_WINDOW;
    let work = windows.max(planes.input_size()) * channels * (out.len() / size);
    ctx.workers.each(
        work,
        out.chunks_mut(size).enumerate(),
        #[inline(always)]
        |(n, out)| {
            body(n, out);
        },
    );
}

/// The four pixels of a window of two by two: where each begins.
#[inline(always)]
fn corners(planes: &Planes, down: Reach, right: Reach, channels: usize) -> [usize; 4] {
    let width = planes.input[1];
    let at = down.first * width + right.first;
    [at, at + 1, at + width, at + width + 1].map(|pixel| pixel * channels)
}

/// Positions of the pixels of a window, in order.
#[inline(always)]
fn taps(planes: &Planes, down: Reach, right: Reach) -> impl Iterator<Item = usize> {
    let (width, dilation) = (planes.input[1], planes.dilation);
    (0..down.taps).flat_map(move |i| {
        let row = (down.first + i * dilation[0]) * width + right.first;
        (0..right.taps).map(move |j| row + j * dilation[1])
    })
}

/// The largest value of each window.
pub(crate) fn max_pool<T: Float>(
    ctx: &Ctx,
    window: &Window,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let x = operand::<T>(args, 0)?;
    let planes = Planes::new(window, x.shape(), shape);
    let channels = shape[1];
    let image = planes.input_size() * channels;
    let x = channels_last::dense(ctx, x);
    let made = channels_last::make(ctx, shape, |out| {
        let size = planes.output_size() * channels;
        each_image(
            ctx,
            &planes,
            channels,
            out,
            size,
            #[inline(always)]
            |n, out| {
                let x = &x[n * image..][..image];
                let mut out = out.chunks_exact_mut(channels);
                planes.each(
                    #[inline(always)]
                    |down, right| {
                        let Some(out) = out.next() else { return };
                        if planes.is_two_by_two(down, right) {
                            let corners = corners(&planes, down, right, channels);
                            return largest_of_four(corners.map(|at| &x[at..][..channels]), out);
                        }
                        let mut taps =
                            taps(&planes, down, right).map(|at| &x[at * channels..][..channels]);
                        match taps.next() {
                            None => out.fill(T::from_f64(f64::NEG_INFINITY)),
                            Some(first) => out.copy_from_slice(first),
                        }
                        for values in taps {
                            out.iter_mut().zip(values).for_each(|(o, &v)| *o = v.larger(*o));
                        }
                    },
                );
            },
        );
    });
    Ok(T::into_buf(made))
}

/// Each gradient added where its window had its first maximum.
pub(crate) fn max_pool_grad<T: Float>(
    ctx: &Ctx,
    window: &Window,
    args: &[Arg<'_, Buf>],
) -> Result<Buf> {
    let (x, g) = (operand::<T>(args, 0)?, operand::<T>(args, 1)?);
    let shape = x.shape();
    let channels = shape[1];
    let planes = Planes::new(window, shape, g.shape());
    let apart = (0..2).all(|i| window.stride[i] >= window.kernel[i]);
    let (image, result) = (planes.input_size() * channels, planes.output_size() * channels);
    let (x, g) = (channels_last::dense(ctx, x), channels_last::dense(ctx, g));
    let made = channels_last::make(ctx, shape, |out| {
        each_image(
            ctx,
            &planes,
            channels,
            out,
            image,
            #[inline(always)]
            |n, out| {
                let x = &x[n * image..][..image];
                let mut gradients = g[n * result..][..result].chunks_exact(channels);
                let mut first = First { best: vec![T::ZERO; channels], tap: vec![0; channels] };
                out.fill(T::ZERO);
                planes.each(
                    #[inline(always)]
                    |down, right| {
                        let Some(g) = gradients.next() else { return };
                        if apart && planes.is_two_by_two(down, right) {
                            let corners = corners(&planes, down, right, channels);
                            return place_in_four(corners, x, g, out);
                        }
                        for (i, at) in taps(&planes, down, right).enumerate() {
                            first.look(i as u32, &x[at * channels..][..channels]);
                        }
                        for (i, at) in taps(&planes, down, right).enumerate() {
                            first.add(i as u32, g, &mut out[at * channels..][..channels]);
                        }
                    },
                );
            },
        );
    });
    Ok(T::into_buf(made))
}

/// The largest of four values in each channel.
#[inline(always)]
fn largest_of_four<T: Float>([a, b, c, d]: [&[T]; 4], out: &mut [T]) {
    let bottom = c.iter().zip(d);
    for (((o, &a), &b), (&c, &d)) in out.iter_mut().zip(a).zip(b).zip(bottom) {
        *o = b.larger(a).larger(d.larger(c));
    }
}

/// Puts `g` where the first largest of four values is, in each channel, and 0 to the other three.
#[inline(always)]
fn place_in_four<T: Float>(at: [usize; 4], x: &[T], g: &[T], out: &mut [T]) {
    let channels = g.len();
    let [a, b, c, d] = at.map(|at| &x[at..][..channels]);
    let (top, bottom) = out.split_at_mut(at[2]);
    let (out_a, out_b) = top[at[0]..][..2 * channels].split_at_mut(channels);
    let (out_c, out_d) = bottom[..2 * channels].split_at_mut(channels);
    let outs = out_a.iter_mut().zip(out_b).zip(out_c.iter_mut().zip(out_d));
    let values = a.iter().zip(b).zip(c.iter().zip(d)).zip(g);
    for (((oa, ob), (oc, od)), (((&a, &b), (&c, &d)), &g)) in outs.zip(values) {
        let second = b.beats(a);
        let best = if second { b } else { a };
        let third = c.beats(best);
        let best = if third { c } else { best };
        let fourth = d.beats(best);
        let part = |here: bool| if here { g } else { T::ZERO };
        *od = part(fourth);
        *oc = part(third & !fourth);
        *ob = part(second & !third & !fourth);
        *oa = part(!(second | third | fourth));
    }
}

/// For each channel the first largest value of a window, and which tap it is.
struct First<T> {
    best: Vec<T>,
    tap: Vec<u32>,
}

impl<T: Float> First<T> {
    #[inline(always)]
    fn look(&mut self, tap: u32, values: &[T]) {
        if tap == 0 {
            self.best.copy_from_slice(values);
            return self.tap.fill(0);
        }
        for ((best, first), &value) in self.best.iter_mut().zip(&mut self.tap).zip(values) {
            let better = value.beats(*best);
            *best = if better { value } else { *best };
            *first = if better { tap } else { *first };
        }
    }

    #[inline(always)]
    fn add(&self, tap: u32, g: &[T], out: &mut [T]) {
        for ((o, &g), &first) in out.iter_mut().zip(g).zip(&self.tap) {
            *o = *o + if first == tap { g } else { T::ZERO };
        }
    }
}
