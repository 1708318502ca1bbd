//! What the conformance suite does not draw: edges of shapes and indices, ties, memory, threads.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

mod edges;
mod memory;
mod specs;

use inocula_core::{DeviceSpec, Open as _};

use crate::Burn;

/// The CPU device.
fn flex() -> inocula_core::Device {
    inocula_core::Device::new(Burn::open(DeviceSpec::parse("burn:flex").unwrap()).unwrap())
}
