//! Max-pooling, its positions and its gradient.
//!
//! Of equal values the first one counts, NaN is larger than any number, and padding never wins. Where
//! Burn's kernel keeps to that it is used; otherwise windows are searched tap by tap, with operations
//! that do.

use burn_backend::ops::PadMode;
use burn_backend::tensor::{FloatTensor, IndexingUpdateOp, IntTensor};
use burn_backend::{Slice, read_sync};
use inocula_core::op::Window;
use inocula_core::{DType, Result, Shape};

use crate::buf::Array;
use crate::guard::failed;
use crate::inner::Inner;
use crate::num::{Num, extents};
use crate::place::Place;

/// The largest value of each window.
pub(crate) fn max_pool<B: Inner>(
    place: &Place<B>,
    window: &Window,
    x: Array<B>,
    shape: &Shape,
) -> Result<Num<B>> {
    if !B::MAX_POOL {
        return Ok(Num::Float(search(place, window, x, shape)?.0));
    }
    let Window { kernel, stride, padding, dilation } = *window;
    let x = x.num()?.float()?;
    Ok(Num::Float(B::max_pool2d(x, kernel, stride, padding, dilation, false)))
}

/// Position `h * W + w` of the first largest value of each window.
pub(crate) fn max_pool_index<B: Inner>(
    place: &Place<B>,
    window: &Window,
    x: Array<B>,
    shape: &Shape,
) -> Result<IntTensor<B>> {
    if !B::MAX_POOL {
        return Ok(search(place, window, x, shape)?.1);
    }
    let Window { kernel, stride, padding, dilation } = *window;
    let (image, ints) = (x.clone().num()?.float()?, place.ints());
    let found = B::max_pool2d_with_indices(image, kernel, stride, padding, dilation, false, ints);
    // The kernel finds the first largest number, but of several NaNs the last.
    if has_nan::<B>(found.output, x.dtype())? {
        return Ok(search(place, window, x, shape)?.1);
    }
    Ok(found.indices)
}

/// Each gradient added where its window had its first maximum.
pub(crate) fn max_pool_grad<B: Inner>(
    place: &Place<B>,
    window: &Window,
    x: Array<B>,
    g: Array<B>,
) -> Result<Num<B>> {
    let (shape, dtype) = (x.shape(), x.dtype());
    let idx = max_pool_index(place, window, x.clone(), &g.shape())?;
    if B::MAX_POOL {
        let Window { kernel, stride, padding, dilation } = *window;
        let (x, g) = (x.num()?.float()?, g.num()?.float()?);
        let spread = B::max_pool2d_with_indices_backward(
            x, kernel, stride, padding, dilation, false, g, idx,
        );
        return Ok(Num::Float(spread.x_grad));
    }
    let planes = |shape: &Shape| extents(&[shape[0] * shape[1], shape[2] * shape[3]]);
    let from = planes(&g.shape());
    let idx = B::int_reshape(idx, from.clone());
    let g = B::float_reshape(g.num()?.float()?, from);
    let zeros = place.zeros(dtype, &[shape[0] * shape[1], shape[2] * shape[3]]);
    let add = IndexingUpdateOp::Add;
    let sums = B::float_scatter(1, zeros, idx, g, add);
    Ok(Num::Float(B::float_reshape(sums, extents(&shape))))
}

fn has_nan<B: Inner>(x: FloatTensor<B>, dtype: DType) -> Result<bool> {
    let data = read_sync(B::float_into_data(B::float_max(x)));
    let data = data.map_err(|e| failed("burn: max_pool2d_idx", &e))?;
    Ok(match dtype {
        DType::F64 => data.as_slice::<f64>().is_ok_and(|v| v.iter().any(|v| v.is_nan())),
        _ => data.as_slice::<f32>().is_ok_and(|v| v.iter().any(|v| v.is_nan())),
    })
}

/// Windows over a plane.
struct Plane<'a> {
    window: &'a Window,
    /// `[H, W]`.
    input: [usize; 2],
    /// `[OH, OW]`.
    output: [usize; 2],
}

impl Plane<'_> {
    /// Where tap `k` of window `o` lies along an axis, if that is inside.
    fn at(&self, axis: usize, k: usize, o: usize) -> Option<usize> {
        let w = self.window;
        let at = (o * w.stride[axis] + k * w.dilation[axis]).checked_sub(w.padding[axis])?;
        (at < self.input[axis]).then_some(at)
    }

    /// A position for every window, from one for each of its rows and columns.
    fn table(&self, at: impl Fn(usize, usize) -> usize) -> Vec<i64> {
        let rows = (0..self.output[0]).map(|o| at(0, o) * self.input[1]);
        let columns: Vec<usize> = (0..self.output[1]).map(|o| at(1, o)).collect();
        rows.flat_map(|row| columns.iter().map(move |column| (row + column) as i64)).collect()
    }

    /// The first tap of each window that is inside.
    fn first(&self) -> Vec<i64> {
        self.table(|axis, o| {
            (0..self.window.kernel[axis]).find_map(|k| self.at(axis, k, o)).unwrap_or(0)
        })
    }

    /// Tap `taps` of each window, whatever position where it is in the padding.
    fn tap(&self, taps: [usize; 2]) -> Vec<i64> {
        self.table(|axis, o| self.at(axis, taps[axis], o).unwrap_or(0))
    }

    /// The elements of the padded plane that tap `taps` reads.
    fn slices(&self, taps: [usize; 2]) -> [Slice; 4] {
        let along = |axis: usize| {
            let (stride, first) =
                (self.window.stride[axis], taps[axis] * self.window.dilation[axis]);
            let end = first + (self.output[axis] - 1) * stride + 1;
            Slice::new(first as isize, Some(end as isize), stride as isize)
        };
        [Slice::full(), Slice::full(), along(0), along(1)]
    }
}

/// Values and positions of the first maxima, tap by tap over all windows at once.
fn search<B: Inner>(
    place: &Place<B>,
    window: &Window,
    x: Array<B>,
    shape: &Shape,
) -> Result<(FloatTensor<B>, IntTensor<B>)> {
    let plane = Plane { window, input: [x.shape()[2], x.shape()[3]], output: [shape[2], shape[3]] };
    let positions = |table: Vec<i64>| -> Result<IntTensor<B>> {
        let table = place.ints_from(&[1, 1, shape[2], shape[3]], table)?;
        Ok(B::int_expand(table, extents(shape)))
    };
    let lowest = place.full(x.dtype(), shape, f64::NEG_INFINITY)?;
    let (mut best, mut found) = (lowest.float()?, positions(plane.first())?);
    let padded = padded::<B>(window, x)?;
    for taps in (0..window.kernel[0]).flat_map(|i| (0..window.kernel[1]).map(move |j| [i, j])) {
        let tap = B::float_slice(padded.clone(), &plane.slices(taps));
        // Comparing with NaN is false, so NaN replaces a number; nothing replaces NaN.
        let lower = B::float_lower_equal(tap.clone(), best.clone(), place.bools());
        let keep = B::bool_or(lower, B::float_is_nan(best.clone(), place.bools()));
        best = B::float_mask_where(tap, keep.clone(), best);
        found = B::int_mask_where(positions(plane.tap(taps))?, keep, found);
    }
    Ok((best, found))
}

/// Minus infinity around the planes.
fn padded<B: Inner>(window: &Window, x: Array<B>) -> Result<FloatTensor<B>> {
    let x = x.num()?.float()?;
    if window.padding == [0, 0] {
        return Ok(x);
    }
    let [h, w] = window.padding;
    Ok(B::float_pad(x, &[(0, 0), (0, 0), (h, h), (w, w)], PadMode::Constant(f32::NEG_INFINITY)))
}
