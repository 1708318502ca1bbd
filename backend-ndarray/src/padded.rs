//! Images with zeros around them and their channels side by side.

use inocula_core::Shape;

use crate::buf::Array;
use crate::matmul::Matrix;
use crate::nest::moved;
use crate::simd::Isa;
use crate::simd_transpose::transpose;

/// The form of a padded image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Padded {
    channels: usize,
    /// `[H, W]` of the image.
    inside: [usize; 2],
    /// Rows and columns of zeros before it.
    before: [usize; 2],
    /// `[H, W]` with the zeros.
    outside: [usize; 2],
}

impl Padded {
    /// Images `[N, C, H, W]` of this shape with zeros before and after, along both axes.
    pub(crate) fn around(shape: Shape, before: [usize; 2], after: [usize; 2]) -> Self {
        let inside = [shape[2], shape[3]];
        let outside = [0, 1].map(|i| before[i] + inside[i] + after[i]);
        Padded { channels: shape[1], inside, before, outside }
    }

    /// Elements of a padded image.
    pub(crate) fn size(&self) -> usize {
        self.outside[0] * self.outside[1] * self.channels
    }

    /// Elements of an image without its zeros.
    pub(crate) fn inside(&self) -> usize {
        self.inside[0] * self.inside[1] * self.channels
    }

    /// Channels of an image.
    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// Writes the inside of a padded image to `out`, `[H, W, C]`.
    pub(crate) fn unfill(&self, padded: &[f32], out: &mut [f32]) {
        let [left, width] = [self.before[1], self.inside[1]].map(|n| n * self.channels);
        let rows = padded.chunks_exact(self.outside[1] * self.channels).skip(self.before[0]);
        for (out, row) in out.chunks_exact_mut(width).zip(rows) {
            out.copy_from_slice(&row[left..left + width]);
        }
    }

    /// Where the channels of a pixel begin, counted with the zeros.
    pub(crate) fn position(&self, [y, x]: [usize; 2]) -> usize {
        (y * self.outside[1] + x) * self.channels
    }

    /// Writes image `n` of `x`, which may lie in memory in any order, with its zeros.
    pub(crate) fn fill(&self, isa: Isa, x: &Array<f32>, n: usize, out: &mut [f32]) {
        let layout = x.layout();
        let [image, channel, line, pixel] = [0, 1, 2, 3].map(|i| layout.strides[i]);
        let data = x.storage();
        let first = moved(layout.offset, n as isize * image);
        let side_by_side = (channel == 1 || self.channels == 1) && pixel == self.channels as isize;
        let row = self.outside[1] * self.channels;
        let [left, width] = [self.before[1], self.inside[1]].map(|n| n * self.channels);
        for (y, out) in out.chunks_exact_mut(row).enumerate() {
            let Some(y) = y.checked_sub(self.before[0]).filter(|&y| y < self.inside[0]) else {
                out.fill(0.0);
                continue;
            };
            out[..left].fill(0.0);
            out[left + width..].fill(0.0);
            let out = &mut out[left..left + width];
            let from = moved(first, y as isize * line);
            if side_by_side {
                out.copy_from_slice(&data[from..][..width]);
                continue;
            }
            if pixel == 1 && channel >= 0 {
                let size = [self.channels, self.inside[1]];
                let planes = Matrix::new(&data[from..], size, [channel as usize, 1]);
                transpose(isa, planes, self.channels, out);
                continue;
            }
            for c in 0..self.channels {
                let from = moved(from, c as isize * channel);
                let column = out[c..].iter_mut().step_by(self.channels);
                for (x, o) in column.enumerate() {
                    *o = data[moved(from, x as isize * pixel)];
                }
            }
        }
    }
}
