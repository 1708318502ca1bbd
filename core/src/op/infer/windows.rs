//! Inference of what slides a window: unfolding, pooling, convolutions.

use super::{want_float, want_rank4, want_same_dtype};
use crate::op::{Conv, OpCode, Window};
use crate::{Aval, Result, Shape, bail};

fn want_window(code: OpCode, window: &Window, input: [usize; 2]) -> Result<[usize; 2]> {
    let positive = window.kernel.iter().chain(&window.stride).chain(&window.dilation);
    if positive.into_iter().any(|&v| v == 0) {
        bail!(Shape, "{code}: kernel, stride and dilation must be at least 1");
    }
    match window.output(input) {
        Some(out) => Ok(out),
        None => bail!(
            Shape,
            "{code}: kernel {:?} with padding {:?} does not fit an input of {input:?}",
            window.kernel,
            window.padding
        ),
    }
}

pub(super) fn unfold(window: &Window, x: Aval) -> Result<Aval> {
    let [n, c, h, w] = want_rank4(OpCode::Unfold2d, "input", x)?;
    let [oh, ow] = want_window(OpCode::Unfold2d, window, [h, w])?;
    let [kh, kw] = window.kernel;
    Ok(Aval::new(x.dtype, Shape::new(&[n, c * kh * kw, oh * ow])?))
}

pub(super) fn fold(window: &Window, size: [usize; 2], cols: Aval) -> Result<Aval> {
    let [oh, ow] = want_window(OpCode::Fold2d, window, size)?;
    let taps = window.kernel[0] * window.kernel[1];
    match *cols.shape {
        [n, ck, l] if ck.is_multiple_of(taps) && l == oh * ow => {
            Ok(Aval::new(cols.dtype, Shape::new(&[n, ck / taps, size[0], size[1]])?))
        }
        _ => bail!(
            Shape,
            "fold2d: {} where a {size:?} image has {} windows of {taps} taps",
            cols.shape,
            oh * ow
        ),
    }
}

/// Whether some window has no tap inside an axis of this extent.
fn misses(window: &Window, axis: usize, extent: usize, windows: usize) -> bool {
    let (stride, padding) = (window.stride[axis], window.padding[axis]);
    padding > 0
        && (0..windows).any(|o| {
            let tap = |k: usize| (o * stride + k * window.dilation[axis]).checked_sub(padding);
            !(0..window.kernel[axis]).any(|k| tap(k).is_some_and(|at| at < extent))
        })
}

pub(super) fn pool(code: OpCode, window: &Window, x: Aval) -> Result<Aval> {
    want_float(code, x)?;
    let [n, c, h, w] = want_rank4(code, "input", x)?;
    let out = want_window(code, window, [h, w])?;
    if (0..2).any(|i| misses(window, i, [h, w][i], out[i])) {
        bail!(
            Shape,
            "{code}: with kernel {:?}, padding {:?} and dilation {:?} a window of an input [{h}, {w}] \
             holds padding only",
            window.kernel,
            window.padding,
            window.dilation
        );
    }
    Ok(Aval::new(x.dtype, Shape::new(&[n, c, out[0], out[1]])?))
}

/// Checks channels against groups; gives `[O, OH, OW]`.
fn conv_output(code: OpCode, conv: &Conv, x: [usize; 4], w: [usize; 4]) -> Result<[usize; 3]> {
    let g = conv.groups;
    if g == 0 || !w[0].is_multiple_of(g) || w[1] * g != x[1] {
        bail!(
            Shape,
            "{code}: {x:?} with weight {w:?} in {g} groups: the input needs {} channels and the \
             output a multiple of the groups",
            w[1] * g
        );
    }
    let [oh, ow] = want_window(code, &conv.window([w[2], w[3]]), [x[2], x[3]])?;
    Ok([w[0], oh, ow])
}

pub(super) fn conv2d(code: OpCode, conv: &Conv, x: Aval, w: Aval) -> Result<Aval> {
    let dtype = want_same_dtype(code, &[x, w])?;
    want_float(code, x)?;
    let xs = want_rank4(code, "input", x)?;
    let [o, oh, ow] = conv_output(code, conv, xs, want_rank4(code, "weight", w)?)?;
    Ok(Aval::new(dtype, Shape::new(&[xs[0], o, oh, ow])?))
}

pub(super) fn conv2d_dx(conv: &Conv, input: [usize; 2], g: Aval, w: Aval) -> Result<Aval> {
    let code = OpCode::Conv2dDx;
    let dtype = want_same_dtype(code, &[g, w])?;
    want_float(code, g)?;
    let (gs, ws) = (want_rank4(code, "gradient", g)?, want_rank4(code, "weight", w)?);
    let xs = [gs[0], ws[1] * conv.groups, input[0], input[1]];
    let out = conv_output(code, conv, xs, ws)?;
    if out != gs[1..] {
        bail!(Shape, "{code}: gradient {gs:?} where the convolution gives {out:?}");
    }
    Ok(Aval::new(dtype, Shape::new(&xs)?))
}

pub(super) fn conv2d_dw(
    code: OpCode,
    conv: &Conv,
    kernel: [usize; 2],
    x: Aval,
    g: Aval,
) -> Result<Aval> {
    let dtype = want_same_dtype(code, &[x, g])?;
    want_float(code, x)?;
    let (xs, gs) = (want_rank4(code, "input", x)?, want_rank4(code, "gradient", g)?);
    let groups = conv.groups.max(1);
    let ws = [gs[1], xs[1] / groups, kernel[0], kernel[1]];
    let out = conv_output(code, conv, xs, ws)?;
    if out != gs[1..] || xs[0] != gs[0] {
        bail!(Shape, "{code}: gradient {gs:?} for an input {xs:?} and outputs {out:?}");
    }
    Ok(Aval::new(dtype, Shape::new(&ws)?))
}
