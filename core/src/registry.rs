//! Which backends exist, and how a device spec opens one of them: those the program was linked with
//! first, then shared libraries ([`crate::plugin`]), if the registry was asked to look for them.
//!
//! A registry is a value that the program builds from the backends it was linked with, not a global
//! filled by constructors before `main`: what is available can then be read off one expression, and
//! tests can hold registries of their own.

use std::collections::BTreeMap;

use crate::error::nearest;
#[cfg(feature = "plugins")]
use crate::plugin::{self, Search};
use crate::{Backend, Device, Result, bail};
#[cfg(feature = "plugins")]
use crate::{Error, ErrorKind};

/// A parsed device spec: `backend[:device][?key=value[&key=value]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSpec {
    /// Backend name: `ndarray`.
    pub backend: String,
    /// Device within the backend: `cuda:0`. Empty for its default.
    pub device: String,
    /// Options: `threads=2`.
    pub options: BTreeMap<String, String>,
}

impl DeviceSpec {
    /// Parses a spec such as `ndarray`, `tch:cuda:0` or `ndarray?threads=2`.
    ///
    /// # Errors
    /// An empty name, or an option that is not `key=value`.
    pub fn parse(spec: &str) -> Result<Self> {
        let (place, options) = spec.split_once('?').unwrap_or((spec, ""));
        let (backend, device) = place.split_once(':').unwrap_or((place, ""));
        if backend.is_empty() {
            bail!(
                Config,
                "backend: {spec:?} names no backend; write for example ndarray?threads=2"
            );
        }
        let mut map = BTreeMap::new();
        for option in options.split('&').filter(|o| !o.is_empty()) {
            let Some((key, value)) = option.split_once('=') else {
                bail!(Config, "backend: option {option:?} in {spec:?} must be key=value");
            };
            map.insert(key.to_owned(), value.to_owned());
        }
        Ok(DeviceSpec { backend: backend.into(), device: device.into(), options: map })
    }

    /// Takes the integer option `key` out of the spec.
    ///
    /// # Errors
    /// The value is not a whole number of at least one.
    pub fn take_count(&mut self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.options.remove(key) else { return Ok(None) };
        match value.parse() {
            Ok(n) if n >= 1 => Ok(Some(n)),
            _ => bail!(
                Config,
                "{}: {key}={value} must be a whole number of at least 1",
                self.backend
            ),
        }
    }

    /// Fails when options are left that no `take_*` call asked for.
    ///
    /// # Errors
    /// Names the first such option and those that the backend knows.
    pub fn finish(&self, known: &[&str]) -> Result<()> {
        match self.options.keys().next() {
            None => Ok(()),
            Some(key) => {
                bail!(Config, "{}: no option {key:?}; it knows {}", self.backend, known.join(", "))
            }
        }
    }
}

/// The name of a backend, which [`export_backend!`](crate::export_backend) gives it.
pub trait Named {
    /// Name in device specs.
    const NAME: &'static str;
}

/// A backend that opens devices by spec: what [`export_backend!`](crate::export_backend) exports.
pub trait Open: Backend + Named {
    /// Opens the device that `spec` describes.
    ///
    /// # Errors
    /// There is no such device here, or an option is not known.
    fn open(spec: DeviceSpec) -> Result<Self>
    where
        Self: Sized;

    /// Names of the devices that could be opened now.
    ///
    /// # Errors
    /// They cannot be asked for.
    fn devices() -> Result<Vec<String>>;
}

/// A backend that is linked into the program.
#[derive(Clone, Copy)]
pub struct BackendEntry {
    /// Name in device specs.
    pub name: &'static str,
    /// Version of its crate.
    pub version: &'static str,
    /// Kinds of devices that it was built for: `cpu, cuda`.
    pub kinds: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// Opens a device.
    pub open: fn(DeviceSpec) -> Result<Device>,
    /// Names the devices that could be opened.
    pub devices: fn() -> Result<Vec<String>>,
}

impl BackendEntry {
    /// The entry of `B`. [`export_backend!`](crate::export_backend) makes one beside the plugin.
    pub const fn of<B: Open>(
        version: &'static str,
        kinds: &'static str,
        summary: &'static str,
    ) -> Self {
        let open = |spec: DeviceSpec| Ok(Device::new(B::open(spec)?));
        BackendEntry { name: B::NAME, version, kinds, summary, open, devices: B::devices }
    }
}

/// The backends of a program.
#[derive(Default, Clone)]
pub struct Registry {
    entries: Vec<BackendEntry>,
    #[cfg(feature = "plugins")]
    search: Option<Search>,
}

impl Registry {
    /// A registry with no backend.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a backend; of two with one name the later wins.
    #[must_use]
    pub fn with(mut self, entry: BackendEntry) -> Self {
        self.entries.retain(|e| e.name != entry.name);
        self.entries.push(entry);
        self
    }

    /// Has backends looked for as shared libraries where no entry has the name, and lets specs begin
    /// with the path of one.
    #[cfg(feature = "plugins")]
    #[must_use]
    pub fn with_plugins(mut self, search: Search) -> Self {
        self.search = Some(search);
        self
    }

    /// The linked backends, in the order they were added.
    pub fn entries(&self) -> &[BackendEntry] {
        &self.entries
    }

    /// Where plugins are looked for, if they are.
    #[cfg(feature = "plugins")]
    pub fn search(&self) -> Option<&Search> {
        self.search.as_ref()
    }

    /// Opens the device that `spec` describes: `backend[:device][?key=value]`, where the backend may
    /// be the path of a shared library.
    ///
    /// # Errors
    /// The spec is malformed, no backend has the name, or the backend cannot open the device.
    pub fn open(&self, spec: &str) -> Result<Device> {
        if let Some(device) = self.open_path(spec) {
            return device;
        }
        let spec = DeviceSpec::parse(spec)?;
        match self.entries.iter().find(|e| e.name == spec.backend) {
            Some(entry) => (entry.open)(spec),
            None => self.open_plugin(&spec),
        }
    }

    #[cfg(feature = "plugins")]
    fn open_path(&self, spec: &str) -> Option<Result<Device>> {
        self.search.as_ref()?;
        let (path, rest) = plugin::split_path(spec)?;
        let spec = DeviceSpec::parse(&format!("plugin{rest}"));
        Some(spec.and_then(|spec| plugin::open(std::path::Path::new(path), &spec)))
    }

    #[cfg(not(feature = "plugins"))]
    fn open_path(&self, _: &str) -> Option<Result<Device>> {
        None
    }

    /// Opens the plugin of this name. Its absence is reported together with what else could have
    /// been meant.
    fn open_plugin(&self, spec: &DeviceSpec) -> Result<Device> {
        let missing = self.not_found(&spec.backend);
        #[cfg(feature = "plugins")]
        if let Some(search) = &self.search {
            return search.open(spec).map_err(|err| match err.kind() {
                ErrorKind::NotFound if err.message().starts_with("no plugin") => {
                    let message = format!("backend: {missing}; {}", err.message());
                    Error::new(ErrorKind::NotFound, message)
                }
                _ => err,
            });
        }
        bail!(NotFound, "backend: {missing}");
    }

    fn not_found(&self, name: &str) -> String {
        let names: Vec<&str> = self.entries.iter().map(|e| e.name).collect();
        let hint = nearest(name, names.iter().copied())
            .map(|n| format!("; did you mean {n}?"))
            .unwrap_or_default();
        match names.as_slice() {
            [] => format!("{name:?} is not in this build, which has none"),
            _ => format!("{name:?} is not in this build, which has {}{hint}", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_parse() {
        let spec = DeviceSpec::parse("tch:cuda:0?threads=2").unwrap();
        assert_eq!((spec.backend.as_str(), spec.device.as_str()), ("tch", "cuda:0"));
        assert_eq!(spec.options["threads"], "2");
        assert!(DeviceSpec::parse("").is_err());
        assert!(DeviceSpec::parse("ndarray?threads").is_err());
    }

    #[test]
    fn an_unknown_name_lists_what_there_is() {
        let entry = BackendEntry {
            name: "ndarray",
            version: "",
            kinds: "",
            summary: "",
            open: |_| bail!(Backend, "not opened in this test"),
            devices: || Ok(vec![]),
        };
        let err = Registry::new().with(entry).open("ndarry").unwrap_err().to_string();
        assert!(err.contains("did you mean ndarray?"), "{err}");
    }
}
