//! Backends in shared libraries: where they are looked for, what was found there, and opening one.
//!
//! Places are searched in a fixed order, and never the working directory: a library runs code when
//! it is loaded, so entering somebody's folder must not choose it. Everything that was tried is kept
//! with its reason, because "not found" without the list of places helps nobody.

use std::env;
use std::env::consts::{DLL_EXTENSION, DLL_PREFIX, DLL_SUFFIX};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::abi::import::{Imported, Table};
use crate::abi::{Manifest, load};
use crate::{Device, DeviceSpec, Error, ErrorKind, Result};

/// Folders or libraries to search first, in the notation of `PATH`.
pub const PATH_VARIABLE: &str = "INOCULA_BACKEND_PATH";

/// A place that is searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Why it is one: a variable's name, or "beside the program".
    pub origin: &'static str,
    /// A folder, or a library itself.
    pub path: PathBuf,
}

/// A library that was found, not loaded yet.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Where it is.
    pub path: PathBuf,
    /// Name in device specs: the manifest's, or the file's.
    pub name: String,
    /// What it says of itself; `None` if it says nothing.
    pub manifest: Option<Manifest>,
    entry: String,
}

/// Something that was tried and led to no plugin.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Why it was tried.
    pub origin: &'static str,
    /// What was tried; empty if there was nothing to try.
    pub path: PathBuf,
    /// Why it led to nothing.
    pub reason: String,
    /// Whether it is a plugin, but not the first of its name.
    pub second: bool,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_os_str().is_empty() {
            true => write!(f, "{} ({})", self.origin, self.reason),
            false => write!(f, "{} ({}: {})", self.path.display(), self.origin, self.reason),
        }
    }
}

/// The places that are searched, in order.
#[derive(Debug, Clone, Default)]
pub struct Search {
    places: Vec<Place>,
    /// Places that cannot be searched.
    dropped: Vec<Attempt>,
}

/// What a search came to.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The plugins, the first of each name, in the order of the places.
    pub plugins: Vec<Plugin>,
    /// Everything else that was tried.
    pub attempts: Vec<Attempt>,
}

impl Search {
    /// The standard places: `INOCULA_BACKEND_PATH`, the program's folder, `../lib/inocula/backends`
    /// from there, and the user's data folder (`$XDG_DATA_HOME` or `~/.local/share`, then
    /// `inocula/backends`).
    pub fn standard() -> Self {
        let mut search = Search::default();
        match env::var_os(PATH_VARIABLE) {
            Some(list) => {
                for path in env::split_paths(&list) {
                    search.add(PATH_VARIABLE, path);
                }
            }
            None => search.drop(PATH_VARIABLE, PathBuf::new(), "not set"),
        }
        // Through links, so that a link to the program on the PATH finds what lies beside it.
        match env::current_exe().and_then(fs::canonicalize) {
            Ok(program) => {
                let folder = program.parent().unwrap_or(&program);
                search.add("beside the program", folder.to_owned());
                if let Some(prefix) = folder.parent() {
                    search.add("installed with the program", prefix.join("lib/inocula/backends"));
                }
            }
            Err(_) => search.drop("beside the program", PathBuf::new(), "its path is not known"),
        }
        match data_folder() {
            Some(folder) => search.add("the user's data folder", folder.join("inocula/backends")),
            None => search.drop("the user's data folder", PathBuf::new(), "HOME is not set"),
        }
        search
    }

    /// Adds a place to search after those that are there. A relative one is not searched: what it
    /// means would depend on the working directory.
    pub fn add(&mut self, origin: &'static str, path: PathBuf) {
        if path.is_absolute() {
            self.places.push(Place { origin, path });
        } else {
            let reason = "not an absolute path, so not searched";
            self.drop(origin, path, reason);
        }
    }

    fn drop(&mut self, origin: &'static str, path: PathBuf, reason: &str) {
        self.dropped.push(Attempt { origin, path, reason: reason.into(), second: false });
    }

    /// Looks into every place. Loads nothing.
    pub fn find(&self) -> Found {
        let mut found = Found { plugins: Vec::new(), attempts: self.dropped.clone() };
        for place in &self.places {
            if let Err(reason) = found.look(place) {
                let (origin, path) = (place.origin, place.path.clone());
                found.attempts.push(Attempt { origin, path, reason, second: false });
            }
        }
        found
    }

    /// Opens a device of the plugin called `spec.backend`.
    ///
    /// # Errors
    /// No place has one, and the line says which were tried; or it cannot be loaded or opened.
    pub fn open(&self, spec: &DeviceSpec) -> Result<Device> {
        let found = self.find();
        match found.plugins.iter().find(|p| p.name == spec.backend) {
            Some(plugin) => plugin.open(spec),
            None => Err(Error::new(ErrorKind::NotFound, found.trace(&spec.backend))),
        }
    }
}

impl Found {
    fn look(&mut self, place: &Place) -> Result<(), String> {
        if place.path.is_file() {
            self.try_file(place.origin, place.path.clone());
            return Ok(());
        }
        let entries = fs::read_dir(&place.path).map_err(|err| match err.kind() {
            std::io::ErrorKind::NotFound => "no such folder".to_owned(),
            _ => err.to_string(),
        })?;
        let mut files: Vec<PathBuf> =
            entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| name_of(p).is_some()).collect();
        files.sort();
        if files.is_empty() {
            return Err(format!("holds no {}", file_name("*")));
        }
        files.into_iter().for_each(|file| self.try_file(place.origin, file));
        Ok(())
    }

    fn try_file(&mut self, origin: &'static str, path: PathBuf) {
        match Plugin::inspect(&path) {
            Ok(plugin) => match self.plugins.iter().find(|p| p.name == plugin.name) {
                None => self.plugins.push(plugin),
                Some(first) => {
                    let reason = format!("{} comes first", first.path.display());
                    self.attempts.push(Attempt { origin, path, reason, second: true });
                }
            },
            Err(err) => {
                let reason = err.to_string();
                self.attempts.push(Attempt { origin, path, reason, second: false });
            }
        }
    }

    /// Why there is no plugin called `name`.
    fn trace(&self, name: &str) -> String {
        let tried = self.attempts.iter().filter(|attempt| !attempt.second);
        let tried: Vec<String> = tried.map(ToString::to_string).collect();
        let mut line = format!(
            "no plugin {} was found, build it or give its path; tried {}",
            file_name(name),
            tried.join(", ")
        );
        if !self.plugins.is_empty() {
            let names: Vec<&str> = self.plugins.iter().map(|p| p.name.as_str()).collect();
            line.push_str(&format!("; plugins found: {}", names.join(", ")));
        }
        line
    }
}

impl Plugin {
    /// Looks into the library at `path` without loading it.
    ///
    /// # Errors
    /// Why it is not a backend that this program can load.
    pub fn inspect(path: &Path) -> Result<Self> {
        let seen = load::inspect(path)?;
        let from_file = || name_of(path).unwrap_or("plugin").to_owned();
        let name = seen.manifest.as_ref().map_or_else(from_file, |m| m.name.clone());
        Ok(Plugin { path: path.to_owned(), name, manifest: seen.manifest, entry: seen.entry })
    }

    /// Loads the library and opens a device of it.
    ///
    /// # Errors
    /// It cannot be loaded, or cannot open the device.
    pub fn open(&self, spec: &DeviceSpec) -> Result<Device> {
        let spec = DeviceSpec { backend: self.name.clone(), ..spec.clone() };
        let imported = Imported::open(&self.load()?, &spec);
        Ok(Device::new(imported.map_err(|err| self.blame(&err))?))
    }

    /// Loads the library and asks for the devices that could be opened.
    ///
    /// # Errors
    /// It cannot be loaded, or fails to say.
    pub fn devices(&self) -> Result<Vec<String>> {
        self.load()?.devices().map_err(|err| self.blame(&err))
    }

    fn load(&self) -> Result<Table> {
        load::load(&self.path, &self.entry).map_err(|err| err.context(self.path.display()))
    }

    /// The plugin's own errors begin with its name, as those of linked backends do.
    fn blame(&self, err: &Error) -> Error {
        let message = err.message();
        match message.starts_with(&format!("{}:", self.name)) {
            true => err.clone(),
            false => err.clone().context(&self.name),
        }
    }
}

/// Opens a device of the library at `path`.
///
/// # Errors
/// It is not a plugin, cannot be loaded, or cannot open the device.
pub fn open(path: &Path, spec: &DeviceSpec) -> Result<Device> {
    let plugin = Plugin::inspect(path).map_err(|err| {
        // An error of the file system names the path already.
        if err.kind() == ErrorKind::Io { err } else { err.context(path.display()) }
    })?;
    plugin.open(spec)
}

/// Name of the library of the backend `name`: `libinocula_backend_tch.so`.
pub fn file_name(name: &str) -> String {
    format!("{DLL_PREFIX}inocula_backend_{name}{DLL_SUFFIX}")
}

/// The `name` for which `path` would be [`file_name`].
fn name_of(path: &Path) -> Option<&str> {
    let file = path.file_name()?.to_str()?;
    let name = file.strip_prefix(DLL_PREFIX)?.strip_suffix(DLL_SUFFIX)?;
    name.strip_prefix("inocula_backend_").filter(|n| !n.is_empty())
}

/// Splits a spec that begins with the path of a library from what follows it: `:device?options`.
pub(crate) fn split_path(spec: &str) -> Option<(&str, &str)> {
    let mut ends = spec.match_indices(DLL_SUFFIX).map(|(at, suffix)| at + suffix.len());
    let cut = ends.find(|&at| matches!(spec[at..].chars().next(), None | Some(':' | '?')));
    match cut {
        Some(at) => Some(spec.split_at(at)),
        // No library's name, but certainly meant as a path.
        None if spec.contains(['/', '\\']) => Some((spec, "")),
        None if Path::new(spec).extension().is_some_and(|e| e == DLL_EXTENSION) => Some((spec, "")),
        None => None,
    }
}

fn data_folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_that_begin_with_a_path_are_split_after_the_library() {
        let so = |text: &str| text.replace(".so", DLL_SUFFIX);
        for (spec, want) in [
            ("/a/libx.so", Some(("/a/libx.so", ""))),
            ("/a/libx.so:cuda:0?threads=2", Some(("/a/libx.so", ":cuda:0?threads=2"))),
            ("/a.so/libx.so?n=1", Some(("/a.so/libx.so", "?n=1"))),
            ("./x", Some(("./x", ""))),
            ("x.so", Some(("x.so", ""))),
            ("tch:cuda:0", None),
        ] {
            let (spec, want) = (so(spec), want.map(|(a, b)| (so(a), so(b))));
            let got = split_path(&spec).map(|(a, b)| (a.to_owned(), b.to_owned()));
            assert_eq!(got, want);
        }
    }

    #[test]
    fn relative_places_are_told_and_not_searched() {
        let mut search = Search::default();
        search.add("here", PathBuf::from("."));
        search.add("there", PathBuf::from("/no/such/folder"));
        let spec = DeviceSpec::parse("nothing").unwrap();
        let line = search.open(&spec).unwrap_err().to_string();
        assert!(line.contains(". (here: not an absolute path"), "{line}");
        assert!(line.contains("/no/such/folder (there: no such folder)"), "{line}");
    }

    #[test]
    fn files_that_are_no_plugins_say_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(file_name(name));
        fs::write(path("empty"), "").unwrap();
        fs::write(path("text"), "hello").unwrap();
        fs::write(folder.path().join("README"), "not looked at").unwrap();
        let mut search = Search::default();
        search.add("test", folder.path().to_owned());
        let found = search.find();
        let reasons: Vec<&str> = found.attempts.iter().map(|a| a.reason.as_str()).collect();
        assert!(found.plugins.is_empty());
        assert!(reasons[0].contains("empty") && reasons[1].contains("not a shared library"));
        assert_eq!(reasons.len(), 2);
        let spec = DeviceSpec::parse("x").unwrap();
        let line = open(&path("text"), &spec).unwrap_err().to_string();
        assert!(line.starts_with(path("text").to_str().unwrap()), "{line}");
    }
}
