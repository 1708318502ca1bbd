//! In which order images lie in memory.
//!
//! On CPUs libtorch convolves f32 through oneDNN, which wants the channels of a pixel side by side.
//! Given images channel by channel it reorders them before and after each convolution, and its
//! pooling then is eight times slower, so convolutions here produce the interleaved order, and what
//! follows keeps it. To all other operations the order is a matter of strides.

use std::sync::OnceLock;

use inocula_core::DType;
use tch::{Device, Kind, Tensor};

use crate::failure::Made;

/// Whether convolutions of this dtype on this device prefer interleaved channels.
pub(crate) fn interleaves(device: Device, dtype: DType) -> bool {
    static ONEDNN: OnceLock<bool> = OnceLock::new();
    device == Device::Cpu && dtype == DType::F32 && *ONEDNN.get_or_init(tch::utils::has_mkldnn)
}

/// `[N, C, H, W]` with the channels of a pixel side by side; the tensor itself if they are already.
pub(crate) fn interleaved(x: &Tensor) -> Made<Tensor> {
    strided(&x.f_permute([0, 2, 3, 1])?.f_contiguous()?)
}

/// `[N, 1, H, W]` interleaved with a second channel of zeros.
pub(crate) fn with_zero_channel(x: &Tensor) -> Made<Tensor> {
    let [n, _, h, w] = four(x);
    strided(&x.f_reshape([n, h, w, 1])?.f_constant_pad_nd([0, 1])?)
}

/// Memory for `[N, C, H, W]` in interleaved order, of unspecified values.
pub(crate) fn empty([n, c, h, w]: [i64; 4], options: (Kind, Device)) -> Made<Tensor> {
    strided(&Tensor::f_empty([n, h, w, c], options)?)
}

/// Dense `[N, H, W, C]` as `[N, C, H, W]`. The strides are spelled out: those that a permutation
/// gives to an axis of extent 1 make libtorch take the order for the other one.
fn strided(x: &Tensor) -> Made<Tensor> {
    let [n, h, w, c] = four(x);
    Ok(x.f_as_strided([n, c, h, w], [h * w * c, 1, w * c, c], None)?)
}

/// Whether [`interleaved`] would have nothing to do.
pub(crate) fn is_interleaved(x: &Tensor) -> Made<bool> {
    Ok(x.f_permute([0, 2, 3, 1])?.is_contiguous())
}

/// The extents of an array of four axes.
pub(crate) fn four(x: &Tensor) -> [i64; 4] {
    let size = x.size();
    [size[0], size[1], size[2], size[3]]
}
