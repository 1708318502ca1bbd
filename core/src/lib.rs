//! Adversarial training that protects privacy, on any compute backend.

pub mod error;

pub mod aval;
pub mod fused;
pub mod op;

pub mod backend;
pub mod registry;

pub mod grad;
pub mod tensor;

pub mod fs;
pub mod rng;

pub mod data;
pub mod metrics;
pub mod place;

pub mod loss;
pub mod model;
pub mod nn;
pub mod optim;

pub mod attack;
pub mod evaluate;
pub mod privacy;
pub mod report;
pub mod train;

pub use aval::{Aval, DType, Shape};
pub use backend::{Arg, Backend, Device, DeviceInfo, Outs};
pub use error::{Error, ErrorKind, Result};
pub use registry::{BackendEntry, DeviceSpec, Registry};
pub use tensor::Tensor;
