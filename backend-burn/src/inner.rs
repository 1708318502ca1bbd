//! The Burn backends that can be underneath, and where their kernels depart from the definitions.
//!
//! Operations are written once, on Burn's own interface. Where a kernel of one backend breaks a rule
//! for ties or for NaN that this project has, a constant here says so, and the operation is composed
//! of others there.

use burn_backend::Backend;

/// A Burn backend, with what must be known of its kernels.
pub(crate) trait Inner: Backend {
    /// Whether max-pooling takes the first of equal values, lets NaN through, and treats minus
    /// infinity as a number.
    const MAX_POOL: bool;
    /// Whether the sign of NaN is zero, and clamping and rectifying let NaN through.
    const NAN_RULES: bool;
}

#[cfg(feature = "flex")]
impl Inner for burn_flex::Flex {
    /// Of several NaNs it gives the last position, though, which `pool` looks after.
    const MAX_POOL: bool = true;
    const NAN_RULES: bool = true;
}

/// Burn's one backend for GPUs; its device says which interface it drives.
#[cfg(all(feature = "wgpu", not(feature = "cuda")))]
pub(crate) use burn_wgpu::Wgpu as Cube;

#[cfg(feature = "cuda")]
pub(crate) use burn_cuda::Cuda as Cube;

#[cfg(any(feature = "wgpu", feature = "cuda"))]
impl Inner for Cube {
    const MAX_POOL: bool = false;
    const NAN_RULES: bool = false;
}
