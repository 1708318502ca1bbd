//! Adversarial training that protects privacy, on any compute backend.

pub mod aval;
pub mod backend;
pub mod error;
pub mod metrics;
pub mod op;
pub mod registry;
pub mod report;

pub use aval::{Aval, DType, Shape};
pub use backend::{Arg, Backend, Device, DeviceInfo, Outs};
pub use error::{Error, ErrorKind, Result};
pub use registry::{BackendEntry, DeviceSpec, Registry};
