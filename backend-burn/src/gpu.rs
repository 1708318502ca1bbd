//! Devices that Burn reaches through CubeCL: wgpu (Vulkan, Metal, DirectX) and CUDA.
//!
//! A device is started before it is handed out, and something is computed on it: Burn itself starts
//! one at the first operation, and what is wrong with it would be told in the midst of an attack.

use inocula_core::Result;

use crate::device::Burn;

#[cfg(not(feature = "wgpu"))]
pub(crate) fn open_wgpu(_index: Option<usize>) -> Result<Burn> {
    Err(crate::device::not_built_in("wgpu"))
}

#[cfg(not(feature = "cuda"))]
pub(crate) fn open_cuda(_index: Option<usize>) -> Result<Burn> {
    Err(crate::device::not_built_in("cuda"))
}

/// The adapter that the system likes best, or the discrete card of a number.
///
/// # Errors
/// There is no such adapter, or its driver refuses.
#[cfg(feature = "wgpu")]
pub(crate) fn open_wgpu(index: Option<usize>) -> Result<Burn> {
    use burn_wgpu::{WgpuDevice, WgpuDeviceKind};

    let kind = index.map_or(WgpuDeviceKind::DefaultDevice, WgpuDeviceKind::DiscreteGpu);
    let name = index.map_or("wgpu".to_owned(), |index| format!("wgpu:{index}"));
    let device = WgpuDevice::new(kind);
    started::wgpu(&device, &name)?;
    started::device(device.into(), name)
}

/// The card of a number, the first by default.
///
/// # Errors
/// There is no such card, or no driver for it.
#[cfg(feature = "cuda")]
pub(crate) fn open_cuda(index: Option<usize>) -> Result<Burn> {
    let index = index.unwrap_or(0);
    started::device(burn_cuda::CudaDevice { index }.into(), format!("cuda:{index}"))
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod started {
    use burn_backend::BackendTypes;
    use inocula_core::{Aval, DType, Result, Shape};

    use crate::device::Burn;
    use crate::engine::Engine;
    use crate::inner::Cube;
    use crate::place::Place;
    use crate::threads::Threads;

    /// Acquires the adapter, once in a process: whatever else it is asked later, it is the same.
    #[cfg(feature = "wgpu")]
    pub(super) fn wgpu(device: &burn_wgpu::WgpuDevice, name: &str) -> Result<()> {
        use std::sync::{Mutex, PoisonError};

        use burn_wgpu::{RuntimeOptions, WgpuDevice, graphics::AutoGraphicsApi, try_init_setup};
        use inocula_core::bail;

        static STARTED: Mutex<Vec<WgpuDevice>> = Mutex::new(Vec::new());
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        if started.contains(device) {
            return Ok(());
        }
        let setup = || Ok(try_init_setup::<AutoGraphicsApi>(device, RuntimeOptions::default()));
        match crate::guard::contained(format_args!("burn: {name}"), setup)? {
            Ok(_) => {
                started.push(device.clone());
                Ok(())
            }
            Err(err) => {
                let why = err.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
                bail!(
                    NotFound,
                    "burn: no device {name}: {why}; install a driver (Vulkan on Linux) or use burn:flex"
                )
            }
        }
    }

    /// The device, after it has held an array.
    pub(super) fn device(device: <Cube as BackendTypes>::Device, name: String) -> Result<Burn> {
        let what = format!("burn: no device {name}");
        let start = || {
            let place = Place::new(device, name.clone());
            let aval = Aval::new(DType::F32, Shape::new(&[1])?);
            let mut bytes = 1f32.to_le_bytes();
            place.download(&place.upload(&aval, &bytes)?, &mut bytes)?;
            Ok(Burn::on_gpu(name, Engine::new(place, Threads::default())))
        };
        crate::guard::contained(what, start)
    }
}
