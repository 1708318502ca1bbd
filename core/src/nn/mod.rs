//! Networks as data: a serde description, named parameters, and a pure forward function.
//!
//! A [`ModelSpec`] holds no weights and [`Params`] hold no structure, so that a trainer can keep
//! several sets of weights for one model, differentiate with respect to them, and write them as
//! safetensors under the names that PyTorch uses.

mod checkpoint;
mod forward;
mod init;
pub mod layers;
mod params;
mod presets;
mod spec;

pub use checkpoint::{load_params, save_params};
pub(crate) use checkpoint::{load_tensors, save_tensors};
pub(crate) use forward::forward_named;
pub use forward::{Mode, forward};
pub use init::init_params;
pub use params::Params;
pub use presets::{PRESETS, Preset};
pub use spec::{Init, Layer, ModelSpec, ParamSpec};
