//! Devices that Burn reaches through CubeCL: wgpu (Vulkan, Metal, DirectX) and CUDA.

use inocula_core::Result;

use crate::device::{Burn, not_built_in};

#[cfg(not(feature = "wgpu"))]
pub(crate) fn open_wgpu(_index: Option<usize>) -> Result<Burn> {
    Err(not_built_in("wgpu"))
}

#[cfg(not(feature = "cuda"))]
pub(crate) fn open_cuda(_index: Option<usize>) -> Result<Burn> {
    Err(not_built_in("cuda"))
}
