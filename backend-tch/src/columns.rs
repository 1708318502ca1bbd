//! Windows as columns, and columns added back.
//!
//! libtorch has kernels for floats. Integers, which no model needs, go by views of a padded copy.

use inocula_core::op::Window;
use inocula_core::{Aval, DType};
use tch::Tensor;

use crate::buf::{kind, signed, sizes};
use crate::failure::Made;
use crate::layout::four;

/// The zero-padded windows of `[N, C, H, W]` as `[N, C * kh * kw, L]`.
pub(crate) fn unfold(window: &Window, x: &Tensor, out: &Aval) -> Made<Tensor> {
    if out.shape.numel() == 0 || out.dtype == DType::I64 {
        let [top, left] = signed(window.padding);
        let padded = x.f_constant_pad_nd([left, left, top, top])?;
        let taps = windows(window, &padded)?.f_permute([0, 1, 4, 5, 2, 3])?;
        return Ok(taps.f_reshape(sizes(&out.shape))?);
    }
    let [kernel, stride] = [signed(window.kernel), signed(window.stride)];
    let [padding, dilation] = [signed(window.padding), signed(window.dilation)];
    Ok(x.f_im2col(kernel, dilation, padding, stride)?)
}

/// The taps of every window, `[N, C, OH, OW, kh, kw]`, as a view of a padded array.
pub(crate) fn windows(window: &Window, padded: &Tensor) -> Made<Tensor> {
    let mut seen = padded.shallow_clone();
    for axis in 0..2 {
        let [kernel, dilation] = [window.kernel[axis] as i64, window.dilation[axis] as i64];
        let reach = (kernel - 1) * dilation + 1;
        let all = seen.f_unfold(2 + axis as i64, reach, window.stride[axis] as i64)?;
        seen = all.f_slice(-1, 0, reach, dilation)?;
    }
    Ok(seen)
}

/// Columns `[N, C * kh * kw, L]` added back into `[N, C, H, W]`.
pub(crate) fn fold(window: &Window, columns: &Tensor, out: &Aval) -> Made<Tensor> {
    let size = signed([out.shape[2], out.shape[3]]);
    if out.shape.numel() == 0 || out.dtype == DType::I64 {
        return fold_taps(window, columns, out);
    }
    let [kernel, stride] = [signed(window.kernel), signed(window.stride)];
    let [padding, dilation] = [signed(window.padding), signed(window.dilation)];
    Ok(columns.f_col2im(size, kernel, dilation, padding, stride)?)
}

/// [`fold`], one tap of all windows after the other.
fn fold_taps(window: &Window, columns: &Tensor, out: &Aval) -> Made<Tensor> {
    let [n, c, h, w] = signed([out.shape[0], out.shape[1], out.shape[2], out.shape[3]]);
    let ([top, left], [kh, kw]) = (signed(window.padding), signed(window.kernel));
    let padded = [n, c, h + 2 * top, w + 2 * left];
    let padded = Tensor::f_zeros(padded, (kind(out.dtype), columns.device()))?;
    let places = windows(window, &padded)?;
    let [_, _, oh, ow] = four(&places);
    let columns = columns.f_reshape([n, c, kh, kw, oh, ow])?;
    for i in 0..kh {
        for j in 0..kw {
            let tap = columns.f_select(2, i)?.f_select(2, j)?;
            let _ = places.f_select(4, i)?.f_select(4, j)?.f_add_(&tap)?;
        }
    }
    Ok(padded.f_narrow(2, top, h)?.f_narrow(3, left, w)?.f_contiguous()?)
}
