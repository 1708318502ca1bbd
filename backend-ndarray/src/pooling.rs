//! Max-pooling, its positions and its gradient.
//!
//! A window sees only what lies within the image, so padding cannot win, whatever the values.

use inocula_core::op::Window;
use inocula_core::{Arg, Result, Shape};

use crate::buf::{Buf, Ctx, operand};
use crate::elem::{Elem, Float};
use crate::pooling_last;

/// Time to search one window, in cheap elementwise operations.
pub(crate) const PER_WINDOW: usize = 8;

/// The part of a window within the image along one axis: first coordinate and number of taps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) first: usize,
    pub(crate) taps: usize,
}

/// Windows over one plane.
pub(crate) struct Planes {
    /// `[H, W]`.
    pub(crate) input: [usize; 2],
    /// The windows of each axis.
    reach: [Vec<Reach>; 2],
    pub(crate) dilation: [usize; 2],
}

impl Planes {
    pub(crate) fn new(window: &Window, x: Shape, out: Shape) -> Self {
        let axis = |axis: usize| {
            (0..out[2 + axis]).map(|at| reach(window, axis, at, x[2 + axis])).collect()
        };
        Planes { input: [x[2], x[3]], reach: [axis(0), axis(1)], dilation: window.dilation }
    }

    pub(crate) fn input_size(&self) -> usize {
        self.input[0] * self.input[1]
    }

    pub(crate) fn output_size(&self) -> usize {
        self.reach[0].len() * self.reach[1].len()
    }

    /// Calls `body` for every window, in order, with what it reaches down and right.
    #[inline(always)]
    pub(crate) fn each(&self, mut body: impl FnMut(Reach, Reach)) {
        for &down in &self.reach[0] {
            for &right in &self.reach[1] {
                body(down, right);
            }
        }
    }

    /// Whether a window is the usual one, for which the search needs no loop.
    #[inline(always)]
    pub(crate) fn is_two_by_two(&self, down: Reach, right: Reach) -> bool {
        down.taps == 2 && right.taps == 2 && self.dilation == [1, 1]
    }

    /// The largest value of a window; minus infinity if the window is all padding.
    fn largest<T: Float>(&self, plane: &[T], down: Reach, right: Reach) -> T {
        if self.is_two_by_two(down, right) {
            let at = down.first * self.input[1] + right.first;
            let (top, bottom) = (&plane[at..][..2], &plane[at + self.input[1]..][..2]);
            return (top[0].larger(top[1])).larger(bottom[0].larger(bottom[1]));
        }
        let mut best = T::from_f64(f64::NEG_INFINITY);
        if right.taps == 0 {
            return best;
        }
        for i in 0..down.taps {
            let at = (down.first + i * self.dilation[0]) * self.input[1] + right.first;
            if self.dilation[1] == 1 {
                best = plane[at..][..right.taps].iter().fold(best, |b, &v| v.larger(b));
            } else {
                for j in 0..right.taps {
                    best = plane[at + j * self.dilation[1]].larger(best);
                }
            }
        }
        best
    }

    /// As [`Planes::first_largest`] for the window of two by two at `position`, if it has no NaN.
    /// Counts comparisons instead of branching on them, which no predictor could guess.
    #[inline(always)]
    fn first_of_four<T: Float>(&self, plane: &[T], position: usize) -> Option<usize> {
        let width = self.input[1];
        let (top, bottom) = (&plane[position..][..2], &plane[position + width..][..2]);
        let largest = top[0].larger(top[1]).larger(bottom[0].larger(bottom[1]));
        let not_first = top[0] != largest;
        let not_top = not_first & (top[1] != largest);
        let last = not_top & (bottom[0] != largest);
        let right = usize::from(not_first) - usize::from(not_top) + usize::from(last);
        let at = position + right + usize::from(not_top) * width;
        (!largest.is_nan()).then_some(at)
    }

    /// Position of the first largest value of a window, if the window is not all padding.
    fn first_largest<T: Float>(&self, plane: &[T], down: Reach, right: Reach) -> Option<usize> {
        if down.taps * right.taps == 0 {
            return None;
        }
        let mut position = down.first * self.input[1] + right.first;
        if self.is_two_by_two(down, right)
            && let Some(at) = self.first_of_four(plane, position)
        {
            return Some(at);
        }
        let mut best = plane[position];
        for i in 0..down.taps {
            let row = (down.first + i * self.dilation[0]) * self.input[1] + right.first;
            for j in 0..right.taps {
                let at = row + j * self.dilation[1];
                let value = plane[at];
                let better = value.beats(best);
                position = if better { at } else { position };
                best = if better { value } else { best };
            }
        }
        Some(position)
    }
}

/// What window `at` reaches along an axis of this extent.
fn reach(window: &Window, axis: usize, at: usize, extent: usize) -> Reach {
    let (padding, dilation) = (window.padding[axis], window.dilation[axis]);
    let start = at * window.stride[axis];
    let skipped = padding.saturating_sub(start).div_ceil(dilation);
    let first = start + skipped * dilation - padding;
    let fit = extent.saturating_sub(first).div_ceil(dilation);
    Reach { first, taps: fit.min(window.kernel[axis].saturating_sub(skipped)) }
}

/// The largest value of each window.
pub(crate) fn max_pool<T: Float>(
    ctx: &Ctx,
    window: &Window,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let x = operand::<T>(args, 0)?;
    if pooling_last::applies(x) {
        return pooling_last::max_pool::<T>(ctx, window, args, shape);
    }
    let planes = Planes::new(window, x.shape(), shape);
    let x = ctx.dense(x);
    let pooled = ctx.make(shape, |out| {
        each_plane(ctx, &planes, &x, out, planes.output_size(), |plane, out, _| {
            let mut out = out.iter_mut();
            planes.each(|down, right| {
                if let Some(o) = out.next() {
                    *o = planes.largest(plane, down, right);
                }
            });
        });
    });
    Ok(T::into_buf(pooled))
}

/// Position of the first largest value of each window; 0 for a window that is all padding.
pub(crate) fn max_pool_index<T: Float>(
    ctx: &Ctx,
    window: &Window,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let x = operand::<T>(args, 0)?;
    let planes = Planes::new(window, x.shape(), shape);
    let x = ctx.dense(x);
    let found = ctx.make(shape, |out: &mut [i64]| {
        each_plane(ctx, &planes, &x, out, planes.output_size(), |plane, out, _| {
            let mut out = out.iter_mut();
            planes.each(|down, right| {
                if let Some(o) = out.next() {
                    *o = planes.first_largest(plane, down, right).unwrap_or(0) as i64;
                }
            });
        });
    });
    Ok(i64::into_buf(found))
}

/// Each gradient added where its window had its first maximum.
pub(crate) fn max_pool_grad<T: Float>(
    ctx: &Ctx,
    window: &Window,
    args: &[Arg<'_, Buf>],
) -> Result<Buf> {
    let (x, g) = (operand::<T>(args, 0)?, operand::<T>(args, 1)?);
    if pooling_last::applies(x) {
        return pooling_last::max_pool_grad::<T>(ctx, window, args);
    }
    let shape = x.shape();
    let planes = Planes::new(window, shape, g.shape());
    let (x, g) = (ctx.dense(x), ctx.dense(g));
    let made = ctx.make(shape, |out| {
        each_plane(ctx, &planes, &x, out, planes.input_size(), |plane, out, n| {
            let mut gradients = g[n * planes.output_size()..].iter();
            out.fill(T::ZERO);
            planes.each(|down, right| {
                let Some(&g) = gradients.next() else { return };
                if let Some(at) = planes.first_largest(plane, down, right) {
                    out[at] = out[at] + g;
                }
            });
        });
    });
    Ok(T::into_buf(made))
}

/// Calls `body` with each plane of `x`, its part of `out`, which has `size` elements, and its number.
fn each_plane<T: Elem, U: Elem>(
    ctx: &Ctx,
    planes: &Planes,
    x: &[T],
    out: &mut [U],
    size: usize,
    body: impl Fn(&[T], &mut [U], usize) + Sync,
) {
    let total = out.len() / size;
    let work = (planes.output_size() * PER_WINDOW).max(planes.input_size()) * total;
    let input = planes.input_size();
    ctx.workers.each(work, out.chunks_mut(size).enumerate(), |(n, out)| {
        body(&x[n * input..][..input], out, n);
    });
}
