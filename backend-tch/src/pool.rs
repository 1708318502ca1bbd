//! Max-pooling, its positions and its gradient.
//!
//! libtorch has one kernel for all of it, whose search for a maximum takes the first, starts inside
//! the image, and is fast where channels are interleaved. Two things it does not do: windows with
//! more than half of their reach in the padding (it refuses them), and values without positions of
//! images that lie channel by channel, where maxima of shifted views are four times faster.

use inocula_core::op::Window;
use inocula_core::{Arg, Aval, DType};
use tch::{Device, Tensor};

use crate::buf::{Buf, constant, copy, kind, operand, signed, sizes};
use crate::columns::windows;
use crate::failure::Made;
use crate::layout::{four, interleaved, interleaves, is_interleaved};

/// The largest value of each window.
pub(crate) fn max_pool(window: &Window, args: &[Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    let x = operand(args, 0);
    if out.shape.numel() == 0 {
        return empty(out, x);
    }
    let plain = x.device() == Device::Cpu && window.padding == [0, 0] && !is_interleaved(x)?;
    if plain || !is_native(window) {
        return maxima(window, &padded(window, x)?);
    }
    Ok(native(window, x)?.0)
}

/// Position of the first largest value of each window.
pub(crate) fn max_pool_index(window: &Window, args: &[Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    let x = operand(args, 0);
    if out.shape.numel() == 0 {
        return empty(out, x);
    }
    positions(window, x)
}

/// `(x, g)`: each gradient added where its window had its first maximum.
pub(crate) fn max_pool_grad(window: &Window, args: &[Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    let (x, g) = (operand(args, 0), operand(args, 1));
    if out.shape.numel() == 0 {
        return empty(out, x);
    }
    if !is_native(window) {
        let [n, c, h, w] = four(x);
        let zeros = Tensor::f_zeros([n, c, h * w], (kind(out.dtype), x.device()))?;
        let idx = positions(window, x)?.f_reshape([n, c, -1])?;
        let added = zeros.f_scatter_add(2, &idx, &g.f_reshape([n, c, -1])?)?;
        return Ok(added.f_reshape([n, c, h, w])?);
    }
    // Both in the same order, or the kernel copies `g` once more, slowly.
    let (x, g) = (fast(x)?, fast(g)?);
    let (_, idx) = native(window, &x)?;
    let [kernel, stride, padding, dilation] = lists(window);
    Ok(x.f_max_pool2d_with_indices_backward(&g, kernel, stride, padding, dilation, false, &idx)?)
}

fn empty(out: &Aval, like: &Tensor) -> Made<Tensor> {
    Ok(Tensor::f_empty(sizes(&out.shape), (kind(out.dtype), like.device()))?)
}

fn lists(window: &Window) -> [[i64; 2]; 4] {
    [window.kernel, window.stride, window.padding, window.dilation].map(signed)
}

/// Whether libtorch's kernel takes these windows.
fn is_native(window: &Window) -> bool {
    (0..2).all(|i| {
        let reach = (window.kernel[i] - 1) * window.dilation[i] + 1;
        window.padding[i] <= reach / 2
    })
}

/// Values and positions by libtorch's kernel.
fn native(window: &Window, x: &Tensor) -> Made<(Tensor, Tensor)> {
    let [kernel, stride, padding, dilation] = lists(window);
    Ok(x.f_max_pool2d_with_indices(kernel, stride, padding, dilation, false)?)
}

/// `x` in the order for which the search is fast: converting pays even if it is needed only once.
fn fast(x: &Tensor) -> Made<Tensor> {
    let dtype = if x.f_kind()? == kind(DType::F32) { DType::F32 } else { DType::F64 };
    if interleaves(x.device(), dtype) { interleaved(x) } else { Ok(x.shallow_clone()) }
}

fn positions(window: &Window, x: &Tensor) -> Made<Tensor> {
    if is_native(window) {
        return Ok(native(window, &fast(x)?)?.1);
    }
    searched(window, x)
}

/// `x` with minus infinity around.
fn padded(window: &Window, x: &Tensor) -> Made<Tensor> {
    let [top, left] = signed(window.padding);
    if [top, left] == [0, 0] {
        return Ok(x.shallow_clone());
    }
    Ok(x.f_pad([left, left, top, top], "constant", f64::NEG_INFINITY)?)
}

/// Maxima along columns of windows, then along rows.
fn maxima(window: &Window, x: &Tensor) -> Made<Tensor> {
    let mut x = x.shallow_clone();
    for axis in 0..2 {
        let [kernel, stride] = [window.kernel[axis] as i64, window.stride[axis] as i64];
        let dilation = window.dilation[axis] as i64;
        let last = x.size()[2 + axis] - (kernel - 1) * dilation;
        let tap = |i: i64| x.f_slice(2 + axis as i64, i * dilation, i * dilation + last, stride);
        let mut largest = match kernel {
            1 => copy(&tap(0)?)?,
            _ => tap(0)?.f_maximum(&tap(1)?)?,
        };
        for i in 2..kernel {
            largest = largest.f_maximum_out(&largest, &tap(i)?)?;
        }
        x = largest;
    }
    Ok(x)
}

/// Positions by a search over all taps of all windows.
fn searched(window: &Window, x: &Tensor) -> Made<Tensor> {
    let [_, _, h, w] = four(x);
    let taps = windows(window, &padded(window, x)?)?;
    let [kh, kw] = signed(window.kernel);
    let size = taps.size();
    let flat = [size[0], size[1], size[2], size[3], kh * kw];
    let values = taps.f_reshape(flat)?;
    // Where each tap lies in the image, or -1 for padding.
    let here = places(window, [h, w], x.device())?.f_reshape([1, 1, size[2], size[3], kh * kw])?;
    let inside = here.f_ge_tensor(&constant(0.0, DType::I64)?)?;
    // Padding must lose to an equal minus infinity of the image too. NaN marks what is largest.
    let largest = values.f_amax([-1], true)?;
    let nan = largest.f_isnan()?;
    let hit =
        values.f_eq_tensor(&largest)?.f_logical_or(&values.f_isnan()?.f_logical_and(&nan)?)?;
    let hit = hit.f_logical_and(&inside)?.f_to_kind(tch::Kind::Int)?;
    let first = hit.f_argmax(-1, true)?;
    Ok(here.f_expand(flat, false)?.f_gather(-1, &first, false)?.f_squeeze_dim(-1)?)
}

/// For each window and tap, `h * W + w` in the image, or -1: `[1, 1, OH, OW, kh, kw]`.
fn places(window: &Window, [h, w]: [i64; 2], device: Device) -> Made<Tensor> {
    let image = Tensor::f_ones([h * w], (tch::Kind::Int64, device))?.f_cumsum_(0, None)?;
    let [top, left] = signed(window.padding);
    let padded = image.f_reshape([1, 1, h, w])?.f_constant_pad_nd([left, left, top, top])?;
    Ok(windows(window, &padded)?.f_sub(&constant(1.0, DType::I64)?)?)
}
