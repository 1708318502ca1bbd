//! The backends of this build.

use inocula_core::Registry;

/// Everything that was linked in.
pub(crate) fn registry() -> Registry {
    let registry = Registry::new();
    #[cfg(feature = "ndarray")]
    let registry = registry.with(inocula_backend_ndarray::ENTRY);
    registry
}
