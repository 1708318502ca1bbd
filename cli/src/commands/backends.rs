//! `inocula backends`: what computes here, and why the rest does not.
//!
//! The short list loads no library: a plugin's line comes from the manifest in its file. `-v` opens
//! every device that can be opened.

use std::time::Instant;

use inocula_core::{BackendEntry, Device, Registry, Result};

use crate::args::Backends;
use crate::backends::registry;
use crate::output;

pub(super) fn run(flags: &Backends) -> Result<()> {
    let registry = registry();
    let mut listing = Listing { verbose: flags.verbose, rows: Vec::new() };
    for entry in registry.entries() {
        listing.linked(entry);
    }
    listing.plugins(&registry);
    listing.print();
    Ok(())
}

/// A line of the list, with what `-v` adds to it.
struct Row {
    name: String,
    version: String,
    how: String,
    devices: String,
    what: String,
    details: Vec<String>,
}

struct Listing {
    verbose: bool,
    rows: Vec<Row>,
}

impl Listing {
    fn linked(&mut self, entry: &BackendEntry) {
        let details = self.details((entry.devices)(), |device| {
            registry().open(&format!("{}:{device}", entry.name))
        });
        self.rows.push(Row {
            name: entry.name.into(),
            version: entry.version.into(),
            how: "built in".into(),
            devices: entry.kinds.into(),
            what: entry.summary.into(),
            details,
        });
    }

    /// A line for each of `devices` that says what opening it came to.
    fn details(
        &self,
        devices: Result<Vec<String>>,
        open: impl Fn(&str) -> Result<Device>,
    ) -> Vec<String> {
        if !self.verbose {
            return Vec::new();
        }
        let devices = match devices {
            Ok(devices) if devices.is_empty() => vec![String::new()],
            Ok(devices) => devices,
            Err(err) => return vec![format!("unavailable: {err}")],
        };
        let mut lines = Vec::new();
        for device in devices {
            let start = Instant::now();
            let opened = open(&device);
            let time = start.elapsed().as_secs_f64() * 1e3;
            lines.push(match opened {
                Ok(device) => {
                    let info = device.info();
                    let (name, version, n) = (&info.device, &info.version, info.threads);
                    format!("device {name}: version {version}, {n} threads, opened in {time:.1} ms")
                }
                Err(err) => format!("device {device}: unavailable: {err}"),
            });
        }
        lines
    }

    #[cfg(not(feature = "plugins"))]
    fn plugins(&mut self, _: &Registry) {}

    #[cfg(feature = "plugins")]
    fn plugins(&mut self, registry: &Registry) {
        let Some(search) = registry.search() else { return };
        let found = search.find();
        for plugin in &found.plugins {
            self.plugin(plugin, registry);
        }
        // A library that was found and cannot be used has a line of its own; places that hold none
        // are of interest only to who misses something.
        let (files, places): (Vec<_>, Vec<_>) =
            found.attempts.iter().partition(|attempt| attempt.path.is_file());
        for attempt in files {
            self.rows.push(Row::unavailable(
                attempt.path.display().to_string(),
                attempt.reason.clone(),
                Vec::new(),
            ));
        }
        let tried: Vec<String> = match self.verbose {
            true => places.iter().map(|attempt| format!("tried {attempt}")).collect(),
            false => Vec::new(),
        };
        for (name, package) in KNOWN {
            if self.rows.iter().all(|row| row.name != *name) {
                let file = inocula_core::plugin::file_name(name);
                let more = if self.verbose { "" } else { " (inocula backends -v lists them)" };
                let reason = format!(
                    "no {file} in the places searched{more}; \
                     `cargo build --release -p {package}` makes it"
                );
                self.rows.push(Row::unavailable((*name).into(), reason, tried.clone()));
            }
        }
    }

    #[cfg(feature = "plugins")]
    fn plugin(&mut self, plugin: &inocula_core::plugin::Plugin, registry: &Registry) {
        let path = plugin.path.display().to_string();
        let devices = if self.verbose { plugin.devices() } else { Ok(Vec::new()) };
        let details = self.details(devices, |device| registry.open(&format!("{path}:{device}")));
        let known = plugin.manifest.as_ref();
        let shadowed = registry.entries().iter().any(|entry| entry.name == plugin.name);
        let what = match shadowed {
            true => format!("{path} (the built-in one comes first; name it by its path)"),
            false => path,
        };
        self.rows.push(Row {
            name: plugin.name.clone(),
            version: known.map_or("?".into(), |m| m.version.clone()),
            how: format!("plugin, ABI {}", known.map_or("1", |m| &m.abi)),
            devices: known.map_or("?".into(), |m| m.devices.clone()),
            what,
            details,
        });
    }

    fn print(&self) {
        let width = |of: fn(&Row) -> &str| {
            self.rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
        };
        let shown = self.rows.iter().filter(|row| !row.how.is_empty());
        let name = shown.map(|row| row.name.len()).max().unwrap_or(0);
        let (version, how) = (width(|row| &row.version), width(|row| &row.how));
        let devices = width(|row| &row.devices);
        for row in &self.rows {
            if row.how.is_empty() {
                output::line(format!("{:name$}  unavailable: {}", row.name, row.what));
            } else {
                output::line(format!(
                    "{:name$}  {:version$}  {:how$}  {:devices$}  {}",
                    row.name, row.version, row.how, row.devices, row.what
                ));
            }
            row.details.iter().for_each(|detail| output::line(format!("    {detail}")));
        }
    }
}

/// Backends of this project, and the packages that make their plugins.
#[cfg(feature = "plugins")]
const KNOWN: &[(&str, &str)] = &[
    ("ndarray", "inocula-backend-ndarray"),
    ("tch", "inocula-backend-tch"),
    ("burn", "inocula-backend-burn"),
];

impl Row {
    #[cfg(feature = "plugins")]
    fn unavailable(name: String, reason: String, details: Vec<String>) -> Self {
        let none = String::new;
        Row { name, version: none(), how: none(), devices: none(), what: reason, details }
    }
}
