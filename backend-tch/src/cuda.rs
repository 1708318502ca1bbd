//! NVIDIA GPUs.
//!
//! Nothing is compiled for them. libtorch_cuda registers itself with libtorch when it is loaded, and
//! that is done when a device is first asked for: its libraries are gigabytes, which programs on the
//! CPU need not wait for. It must come before anything asks libtorch about GPUs, because the answer
//! is kept.

use std::sync::OnceLock;

use inocula_core::{Result, bail};
use tch::{Cuda, Device, Kind, Tensor};

use crate::dispatch;
use crate::failure::Made;

/// How many GPUs libtorch can use here.
pub(crate) fn count() -> usize {
    match ready() {
        Ok(()) => usize::try_from(Cuda::device_count()).unwrap_or(0),
        Err(_) => 0,
    }
}

/// Loads the library for GPUs, once.
fn ready() -> std::result::Result<(), &'static String> {
    static LOADED: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    LOADED.get_or_init(dispatch::load_cuda).as_ref().copied()
}

/// The GPU of this number.
///
/// # Errors
/// Libtorch cannot use GPUs here, or there is none of that number.
pub(crate) fn open(index: usize) -> Result<Device> {
    if let Err(why) = ready() {
        bail!(
            NotFound,
            "tch: no device cuda:{index}: {why}; build with LIBTORCH naming a PyTorch that has CUDA"
        );
    }
    let count = count();
    if count == 0 {
        bail!(
            NotFound,
            "tch: no device cuda:{index}: libtorch finds no GPU; see what nvidia-smi says"
        );
    }
    if index >= count {
        bail!(NotFound, "tch: no device cuda:{index}: the last of {count} is cuda:{}", count - 1);
    }
    Ok(Device::Cuda(index))
}

/// Waits for what was queued, if that is done in the background there: by fetching something that is
/// computed after it. libtorch's own call for this ends the program if what was queued has failed.
pub(crate) fn sync(device: Device) -> Made<()> {
    if device.is_cuda() {
        Tensor::f_zeros([1], (Kind::Uint8, device))?.f_copy_data_u8(&mut [0], 1)?;
    }
    Ok(())
}
