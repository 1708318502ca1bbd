//! What a plugin says of itself in its file, to be read without running it.
//!
//! A shared library runs code as soon as it is loaded, and libtorch takes a second and half a
//! gigabyte to load. So a plugin carries a few lines of text in a section of its own, and listing
//! what there is loads nothing.

use std::fmt::Write as _;

use crate::{Result, bail};

/// First line of every manifest.
const HEAD: &str = "inocula backend";

/// What a plugin says of itself. Written by [`export_backend!`](crate::export_backend); in C a
/// constant string, one `key=value` to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Version of the C interface that it was built for: `1.0`.
    pub abi: String,
    /// Name in device specs.
    pub name: String,
    /// Version of the plugin.
    pub version: String,
    /// Kinds of devices that it was built for: `cpu, cuda`.
    pub devices: String,
    /// One line for listings.
    pub summary: String,
}

impl Manifest {
    /// Reads a manifest. Unknown keys are left for later versions; bytes after a NUL are padding.
    ///
    /// # Errors
    /// It is not one, or lacks `abi` or `name`.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.split('\0').next().unwrap_or_default();
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            bail!(Data, "the manifest does not begin with the line \"{HEAD}\"");
        }
        let mut found = Manifest {
            abi: String::new(),
            name: String::new(),
            version: "?".into(),
            devices: "?".into(),
            summary: String::new(),
        };
        for (key, value) in lines.filter_map(|line| line.split_once('=')) {
            let field = match key {
                "abi" => &mut found.abi,
                "name" => &mut found.name,
                "version" => &mut found.version,
                "devices" => &mut found.devices,
                "summary" => &mut found.summary,
                _ => continue,
            };
            field.clear();
            // It came out of a file: what could move the cursor of a terminal is left out.
            let _ = write!(field, "{}", value.replace(char::is_control, " "));
        }
        if found.abi.is_empty() || found.name.is_empty() {
            bail!(Data, "the manifest names no abi or no name");
        }
        Ok(found)
    }

    /// The major version of the C interface, if it is a number.
    pub fn major(&self) -> Option<u32> {
        self.abi.split('.').next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_parse() {
        let text = "inocula backend\nabi=1.0\nname=tch\nversion=2\nlater=x\nsummary=a=b\n\0\0";
        let found = Manifest::parse(text).unwrap();
        assert_eq!((found.name.as_str(), found.major()), ("tch", Some(1)));
        assert_eq!((found.summary.as_str(), found.devices.as_str()), ("a=b", "?"));
    }

    #[test]
    fn what_is_no_manifest_is_an_error() {
        for bad in ["", "something", "inocula backend\nname=x", "inocula backend\nabi=1.0\nname="] {
            assert!(Manifest::parse(bad).is_err(), "{bad:?}");
        }
    }
}
