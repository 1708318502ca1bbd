//! The backends of this build, and where it looks for others.

use inocula_core::{Device, Registry, Result};

/// The backend of a command that was told of none: the first that is linked in.
pub(crate) const DEFAULT: &str = if cfg!(feature = "ndarray") {
    "ndarray"
} else if cfg!(feature = "tch") {
    "tch"
} else if cfg!(feature = "burn") {
    "burn"
} else {
    "ndarray"
};

/// Everything that was linked in, and the search for plugins.
pub(crate) fn registry() -> Registry {
    let registry = Registry::new();
    #[cfg(feature = "ndarray")]
    let registry = registry.with(inocula_backend_ndarray::ENTRY);
    #[cfg(feature = "tch")]
    let registry = registry.with(inocula_backend_tch::ENTRY);
    #[cfg(feature = "burn")]
    let registry = registry.with(inocula_backend_burn::ENTRY);
    #[cfg(feature = "plugins")]
    let registry = registry.with_plugins(inocula_core::plugin::Search::standard());
    registry
}

/// Opens the device that `spec` describes.
pub(crate) fn open(spec: &str) -> Result<Device> {
    registry().open(spec)
}
