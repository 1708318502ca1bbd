//! The backends that are built as plugins and not with the rest of the workspace.
//!
//! Each is built by a cargo of its own: in one build with others, cargo would unify the features of
//! their dependencies, and what is tested would not be what a user builds. They bring along most of
//! what there is to compile, and one of them half a gigabyte to download, so nobody needs them to
//! build the project.

use std::path::PathBuf;

use crate::bench::artifacts::{Profile, plugin};
use crate::setup::libtorch;

/// A backend that is built on its own.
pub(crate) struct Plugin {
    /// Name in device specs.
    pub(crate) name: &'static str,
    /// Its package.
    pub(crate) package: &'static str,
    /// Why it cannot be built here.
    missing: fn() -> Result<(), String>,
}

/// All of them.
pub(crate) const PLUGINS: &[Plugin] = &[
    Plugin { name: "burn", package: "inocula-backend-burn", missing: || Ok(()) },
    Plugin {
        name: "tch",
        package: "inocula-backend-tch",
        missing: || libtorch::find().map(|_| ()),
    },
];

impl Plugin {
    /// Builds the library, or says why it cannot be built here. Burn's devices for GPUs are features
    /// that are built only where one is asked for: they bring a compiler of shaders along.
    pub(crate) fn build(&self) -> Result<PathBuf, String> {
        self.available()?;
        let wanted = |device| required(&format!("{}:{device}", self.name));
        let features = if wanted("wgpu") { "wgpu" } else { "" };
        plugin(self.package, Profile::Dev, features)
    }

    /// Whether what it needs is on this machine.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub(crate) fn available(&self) -> Result<(), String> {
        (self.missing)()
    }

    /// Whether `INOCULA_REQUIRE_BACKENDS` makes its absence a failure.
    pub(crate) fn required(&self) -> bool {
        required(self.name)
    }
}

fn required(backend: &str) -> bool {
    let list = std::env::var("INOCULA_REQUIRE_BACKENDS").unwrap_or_default();
    list.split(',').any(|name| name.trim() == backend)
}

/// Leaves all of them out of a command on the workspace.
pub(crate) fn excluded() -> impl Iterator<Item = String> {
    PLUGINS.iter().map(|plugin| format!("--exclude={}", plugin.package))
}
