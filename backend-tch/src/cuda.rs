//! NVIDIA GPUs.
//!
//! Nothing is compiled for them: libtorch_cuda registers itself with libtorch when it is loaded. It
//! has to be there before libtorch first looks for GPUs, which convolutions on the CPU make it do
//! too, because the answer is kept. So it is loaded with the first device of any kind where there is
//! a driver, and otherwise, being gigabytes of libraries, only for somebody who asks for a GPU.

use std::path::Path;
use std::sync::OnceLock;

use inocula_core::{Result, bail};
use tch::{Cuda, Device, Kind, Tensor};

use crate::dispatch;
use crate::failure::Made;

/// What a driver leaves in the file system: on Linux, in containers, in Windows' Linux.
const SIGNS: [&str; 3] = ["/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg"];

fn load() -> &'static std::result::Result<(), String> {
    static LOADED: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    LOADED.get_or_init(dispatch::load_cuda)
}

/// Comes before the first use of libtorch. That GPUs cannot be used is of no interest yet.
pub(crate) fn prepare() {
    if SIGNS.iter().any(|sign| Path::new(sign).exists()) {
        let _ = load();
    }
}

/// How many GPUs libtorch can use here.
pub(crate) fn count() -> usize {
    match load() {
        Ok(()) => usize::try_from(Cuda::device_count()).unwrap_or(0),
        Err(_) => 0,
    }
}

/// The GPU of this number.
///
/// # Errors
/// libtorch cannot use GPUs here, or there is none of that number.
pub(crate) fn open(index: usize) -> Result<Device> {
    if let Err(why) = load() {
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
