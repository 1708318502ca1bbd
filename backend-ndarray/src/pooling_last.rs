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
    ctx.workers.each(work, out.chunks_mut(size).enumerate(), |(n, out)| body(n, out));
}

/// Positions of the pixels of a window, in order.
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
        each_image(ctx, &planes, channels, out, size, |n, out| {
            let x = &x[n * image..][..image];
            let mut out = out.chunks_exact_mut(channels);
            planes.each(|down, right| {
                let Some(out) = out.next() else { return };
                let mut taps = taps(&planes, down, right).map(|at| &x[at * channels..][..channels]);
                match taps.next() {
                    None => out.fill(T::from_f64(f64::NEG_INFINITY)),
                    Some(first) => out.copy_from_slice(first),
                }
                for values in taps {
                    out.iter_mut().zip(values).for_each(|(o, &v)| *o = v.larger(*o));
                }
            });
        });
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
    let (image, result) = (planes.input_size() * channels, planes.output_size() * channels);
    let (x, g) = (channels_last::dense(ctx, x), channels_last::dense(ctx, g));
    let made = channels_last::make(ctx, shape, |out| {
        each_image(ctx, &planes, channels, out, image, |n, out| {
            let x = &x[n * image..][..image];
            let mut gradients = g[n * result..][..result].chunks_exact(channels);
            let mut first = First { best: vec![T::ZERO; channels], tap: vec![0; channels] };
            out.fill(T::ZERO);
            planes.each(|down, right| {
                let Some(g) = gradients.next() else { return };
                for (i, at) in taps(&planes, down, right).enumerate() {
                    first.look(i as u32, &x[at * channels..][..channels]);
                }
                for (i, at) in taps(&planes, down, right).enumerate() {
                    first.add(i as u32, g, &mut out[at * channels..][..channels]);
                }
            });
        });
    });
    Ok(T::into_buf(made))
}

/// For each channel the first largest value of a window, and which tap it is.
struct First<T> {
    best: Vec<T>,
    tap: Vec<u32>,
}

impl<T: Float> First<T> {
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

    fn add(&self, tap: u32, g: &[T], out: &mut [T]) {
        for ((o, &g), &first) in out.iter_mut().zip(g).zip(&self.tap) {
            *o = *o + if first == tap { g } else { T::ZERO };
        }
    }
}
