//! Convolutions and their derivatives; windows as columns.

use burn_backend::ops::ConvOptions;
use burn_backend::tensor::IndexingUpdateOp;
use inocula_core::op::{Conv, Window};
use inocula_core::{Result, Shape};

use crate::buf::Array;
use crate::elementwise::relu;
use crate::inner::Inner;
use crate::num::{Num, Pair, both};
use crate::place::Place;

fn options(conv: &Conv) -> ConvOptions<2> {
    ConvOptions::new(conv.stride, conv.padding, conv.dilation, conv.groups)
}

/// `(x, w)` or `(x, w, b)`: the convolution, its bias, its rectification.
pub(crate) fn forward<B: Inner>(
    place: &Place<B>,
    conv: &Conv,
    rectify: bool,
    x: Array<B>,
    w: Array<B>,
    bias: Option<Array<B>>,
) -> Result<Num<B>> {
    let bias = bias.map(|b| b.num()?.float()).transpose()?;
    let y = B::conv2d(x.num()?.float()?, w.num()?.float()?, bias, options(conv));
    Ok(Num::Float(if rectify { relu(place, y) } else { y }))
}

/// `(g, w)`: the derivative in the input, of this shape.
pub(crate) fn input_grad<B: Inner>(
    place: &Place<B>,
    conv: &Conv,
    g: Array<B>,
    w: Array<B>,
    shape: &Shape,
) -> Result<Num<B>> {
    // Of the input only the shape is read.
    let x = B::float_empty(crate::num::extents(shape), &place.device, place.floats(g.dtype()));
    let (g, w) = (g.num()?.float()?, w.num()?.float()?);
    Ok(Num::Float(B::conv2d_x_backward(x, w, g, options(conv))))
}

/// `(x, g)`: the derivative in the weight, of this shape.
pub(crate) fn weight_grad<B: Inner>(
    place: &Place<B>,
    conv: &Conv,
    x: Array<B>,
    g: Array<B>,
    shape: &Shape,
) -> Result<Num<B>> {
    let w = B::float_empty(crate::num::extents(shape), &place.device, place.floats(x.dtype()));
    let (x, g) = (x.num()?.float()?, g.num()?.float()?);
    Ok(Num::Float(B::conv2d_weight_backward(x, w, g, options(conv))))
}

/// Where the taps of the windows lie in a plane that has its padding around it.
struct Taps {
    /// Extents of the padded plane.
    padded: [usize; 2],
    /// Taps of a window, and windows.
    counts: [usize; 2],
    /// Position in the padded plane of each tap (outer) of each window (inner).
    positions: Vec<i64>,
}

impl Taps {
    fn new(window: &Window, size: [usize; 2], windows: usize) -> Self {
        let padded = [0, 1].map(|i| size[i] + 2 * window.padding[i]);
        let [kh, kw] = window.kernel;
        let [_, columns] = window.output(size).unwrap_or([0, 0]);
        let at = |axis: usize, tap: usize, step: usize| {
            tap * window.dilation[axis] + step * window.stride[axis]
        };
        let mut positions = Vec::with_capacity(kh * kw * windows);
        for tap in 0..kh * kw {
            for place in (0..windows).map(|l| [l / columns, l % columns]) {
                let (row, column) = (at(0, tap / kw, place[0]), at(1, tap % kw, place[1]));
                positions.push((row * padded[1] + column) as i64);
            }
        }
        Taps { padded, counts: [kh * kw, windows], positions }
    }
}

/// The zero-padded windows as columns. One selection copies every tap of every window.
pub(crate) fn unfold<B: Inner>(
    place: &Place<B>,
    window: &Window,
    x: Array<B>,
    shape: &Shape,
) -> Result<Num<B>> {
    let dims = x.shape();
    let taps = Taps::new(window, [dims[2], dims[3]], shape[2]);
    let around = [0, 0, window.padding[0], window.padding[1]];
    let planes = dims[0] * dims[1];
    let x = if window.padding == [0, 0] { x.num()? } else { x.num()?.pad(&around, &around) };
    let x = x.reshape(&[planes, taps.padded[0] * taps.padded[1]]);
    let at = place.ints_from(&[taps.positions.len()], taps.positions)?;
    let columns = both!(x, t => B::float_select(t, 1, at), B::int_select(t, 1, at));
    Ok(columns.reshape(shape))
}

/// Columns added back into the planes they were taken from.
pub(crate) fn fold<B: Inner>(
    place: &Place<B>,
    window: &Window,
    cols: Array<B>,
    shape: &Shape,
) -> Result<Num<B>> {
    let (dtype, windows) = (cols.dtype(), cols.shape()[2]);
    let taps = Taps::new(window, [shape[2], shape[3]], windows);
    let planes = shape[0] * shape[1];
    let cols = cols.num()?.reshape(&[planes, taps.counts[0] * taps.counts[1]]);
    let at = place.ints_from(&[taps.positions.len()], taps.positions)?;
    let zeros = place.full(dtype, &[planes, taps.padded[0] * taps.padded[1]], 0.0)?;
    let add = IndexingUpdateOp::Add;
    let sums = match zeros.with(cols)? {
        Pair::Float(zeros, c) => Num::Float(B::float_select_assign(zeros, 1, at, c, add)),
        Pair::Int(zeros, c) => Num::Int(B::int_select_assign(zeros, 1, at, c, add)),
    };
    let sums = sums.reshape(&[shape[0], shape[1], taps.padded[0], taps.padded[1]]);
    Ok(sums.slice(&[0, 0, window.padding[0], window.padding[1]], shape))
}
