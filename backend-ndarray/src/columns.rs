//! Windows of an image as the columns of a matrix, and back.
//!
//! A convolution is then a matrix product. Rows of a window that move one pixel at a time are
//! copied, or added back, as whole segments.

use std::ops::Range;

use inocula_core::op::Window;
use inocula_core::{Arg, Result, Shape};

use crate::buf::{Buf, Ctx, operand};
use crate::elem::Elem;

/// Windows over the planes `[C, H, W]` of one image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns {
    /// Planes of the image.
    pub(crate) channels: usize,
    /// `[H, W]` of the image.
    pub(crate) input: [usize; 2],
    /// `[OH, OW]`: how many windows there are.
    pub(crate) output: [usize; 2],
    /// The window.
    pub(crate) window: Window,
}

impl Columns {
    /// Elements of one image.
    pub(crate) fn image(&self) -> usize {
        self.channels * self.input[0] * self.input[1]
    }

    /// Rows of the matrix: elements of one window.
    pub(crate) fn rows(&self) -> usize {
        self.channels * self.window.kernel[0] * self.window.kernel[1]
    }

    /// Columns of the matrix: how many windows there are.
    pub(crate) fn count(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Whether the matrix is the image itself.
    pub(crate) fn is_image(&self) -> bool {
        let Window { kernel, stride, padding, .. } = self.window;
        kernel == [1, 1] && stride == [1, 1] && padding == [0, 0]
    }

    /// Writes the windows of `image`, zeros where they reach beyond it.
    pub(crate) fn unfold<T: Elem>(&self, image: &[T], columns: &mut [T]) {
        let rows = columns.chunks_exact_mut(self.count());
        for (tap, out) in self.taps().zip(rows) {
            let plane = &image[tap.plane..][..self.input[0] * self.input[1]];
            self.unfold_tap(&tap, plane, out);
        }
    }

    fn unfold_tap<T: Elem>(&self, tap: &Tap, plane: &[T], out: &mut [T]) {
        let [width, step] = [self.input[1], self.window.stride[1]];
        for (oy, out) in out.chunks_exact_mut(self.output[1]).enumerate() {
            let (Some(y), false) = (self.source(0, oy, tap), tap.across.is_empty()) else {
                out.fill(T::ZERO);
                continue;
            };
            let row = &plane[y * width + tap.first..(y + 1) * width];
            let Range { start, end } = tap.across;
            out[..start].fill(T::ZERO);
            out[end..].fill(T::ZERO);
            let inside = &mut out[start..end];
            if step == 1 {
                inside.copy_from_slice(&row[..inside.len()]);
            } else {
                inside.iter_mut().zip(row.iter().step_by(step)).for_each(|(o, &v)| *o = v);
            }
        }
    }

    /// Adds the columns back to where in `image` they came from.
    pub(crate) fn fold<T: Elem>(&self, columns: &[T], image: &mut [T]) {
        for (tap, column) in self.taps().zip(columns.chunks_exact(self.count())) {
            let plane = &mut image[tap.plane..][..self.input[0] * self.input[1]];
            self.fold_tap(&tap, column, plane);
        }
    }

    fn fold_tap<T: Elem>(&self, tap: &Tap, columns: &[T], plane: &mut [T]) {
        let [width, step] = [self.input[1], self.window.stride[1]];
        if tap.across.is_empty() {
            return;
        }
        for (oy, columns) in columns.chunks_exact(self.output[1]).enumerate() {
            let Some(y) = self.source(0, oy, tap) else { continue };
            let row = &mut plane[y * width + tap.first..(y + 1) * width];
            let inside = &columns[tap.across.clone()];
            if step == 1 {
                let row = &mut row[..inside.len()];
                row.iter_mut().zip(inside).for_each(|(r, &v)| *r = r.plus(v));
            } else {
                let row = row.iter_mut().step_by(step);
                row.zip(inside).for_each(|(r, &v)| *r = r.plus(v));
            }
        }
    }

    /// Coordinate along `axis` of what a tap reads in window `at`, if that is in the image.
    fn source(&self, axis: usize, at: usize, tap: &Tap) -> Option<usize> {
        let padded = at * self.window.stride[axis] + tap.offset[axis];
        padded.checked_sub(self.window.padding[axis]).filter(|&i| i < self.input[axis])
    }

    /// The rows of the matrix, in order.
    fn taps(&self) -> impl Iterator<Item = Tap> + '_ {
        let [kh, kw] = self.window.kernel;
        (0..self.rows()).map(move |row| {
            let (channel, tap) = (row / (kh * kw), row % (kh * kw));
            let offset = [tap / kw * self.window.dilation[0], tap % kw * self.window.dilation[1]];
            let across = self.across(offset[1]);
            let first = across.start * self.window.stride[1] + offset[1];
            Tap {
                plane: channel * self.input[0] * self.input[1],
                offset,
                first: first.saturating_sub(self.window.padding[1]).min(self.input[1]),
                across,
            }
        })
    }

    /// The windows of a row of windows in which a tap at `offset` is within the image.
    fn across(&self, offset: usize) -> Range<usize> {
        let (step, padding) = (self.window.stride[1], self.window.padding[1]);
        let start = padding.saturating_sub(offset).div_ceil(step);
        let end = (self.input[1] + padding).saturating_sub(offset).div_ceil(step);
        let end = end.min(self.output[1]);
        start.min(end)..end
    }
}

/// One row of the matrix: one element of every window.
struct Tap {
    /// Where its plane begins in the image.
    plane: usize,
    /// Place in the window, `[down, right]`, dilation included.
    offset: [usize; 2],
    /// The windows of a row of windows that have it within the image.
    across: Range<usize>,
    /// The column of the image that it is in the first of them.
    first: usize,
}

/// The windows of a batch `[N, C, H, W]` as columns.
pub(crate) fn unfold<T: Elem>(
    ctx: &Ctx,
    window: Window,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let x = operand::<T>(args, 0)?;
    let columns = geometry(window, x.shape()[1], [x.shape()[2], x.shape()[3]]);
    let x = ctx.dense(x);
    let unfolded = ctx.make(shape, |out| {
        let (work, size) = (out.len(), columns.rows() * columns.count());
        ctx.workers.each(work, out.chunks_mut(size).enumerate(), |(n, out)| {
            columns.unfold(&x[n * columns.image()..], out);
        });
    });
    Ok(T::into_buf(unfolded))
}

/// Columns added back into a batch `[N, C, H, W]`.
pub(crate) fn fold<T: Elem>(
    ctx: &Ctx,
    window: Window,
    args: &[Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let columns = geometry(window, shape[1], [shape[2], shape[3]]);
    let x = ctx.dense(operand::<T>(args, 0)?);
    let folded = ctx.make(shape, |out| {
        let size = columns.rows() * columns.count();
        ctx.workers.each(x.len(), out.chunks_mut(columns.image()).enumerate(), |(n, out)| {
            out.fill(T::ZERO);
            columns.fold(&x[n * size..][..size], out);
        });
    });
    Ok(T::into_buf(folded))
}

/// The windows over planes of this size. Inference has made sure that at least one fits.
pub(crate) fn geometry(window: Window, channels: usize, input: [usize; 2]) -> Columns {
    let output = window.output(input).unwrap_or([0, 0]);
    Columns { channels, input, output, window }
}
