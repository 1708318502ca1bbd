//! Loading of a shared library, and a look into one that loads nothing.
//!
//! A file is parsed before it is loaded: the dynamic loader's own message for a text file is of no
//! help, and a library of another major version is told from one that is no backend at all.
//! Libraries are never unloaded: buffers, threads and thread-local destructors of theirs may outlive
//! whatever we know of.

use std::fs::File;
use std::path::Path;
use std::sync::Once;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, ReadCache};

use super::import::Table;
use super::manifest::Manifest;
use super::types::{Api, MAJOR};
use crate::{Error, ErrorKind, Result, bail};

/// Section that holds the manifest.
const SECTIONS: [&str; 2] = [".inocula", "__inocula"];
/// Entry of a plugin whose file may have any name.
const GENERIC: &str = "inocula_backend_v1";

/// What a look into a library's file tells.
#[derive(Debug, Clone)]
pub(crate) struct Inspected {
    /// Its manifest, if it has one.
    pub(crate) manifest: Option<Manifest>,
    /// The function that returns its table.
    pub(crate) entry: String,
}

/// Reads a library's file without loading it.
pub(crate) fn inspect(path: &Path) -> Result<Inspected> {
    let file = File::open(path).map_err(|err| Error::io(path, "open", &err))?;
    let meta = file.metadata().map_err(|err| Error::io(path, "read", &err))?;
    if !meta.is_file() {
        bail!(NotFound, "not a file");
    }
    if meta.len() == 0 {
        bail!(Data, "the file is empty; build or copy it again");
    }
    let cache = ReadCache::new(file);
    let Ok(library) = object::File::parse(&cache) else {
        bail!(Data, "not a shared library; give the file that `cargo build` or `cc -shared` made");
    };
    let names = library.dynamic_symbols().filter(|s| s.is_definition());
    let names: Vec<&str> = names.filter_map(|s| s.name().ok()).collect();
    let entry = entry_of(path, &names)?;
    let section = SECTIONS.iter().find_map(|name| library.section_by_name(name));
    let manifest = match section.map(|s| s.uncompressed_data()) {
        Some(Ok(bytes)) => Some(Manifest::parse(&String::from_utf8_lossy(&bytes))?),
        Some(Err(_)) => bail!(Data, "the library is damaged; build or copy it again"),
        None => None,
    };
    if let Some(other) = manifest.as_ref().filter(|m| m.major() != Some(MAJOR)) {
        return Err(other_version(&other.abi));
    }
    Ok(Inspected { manifest, entry })
}

fn other_version(theirs: &str) -> Error {
    let message = format!(
        "it is built for version {theirs} of the plugin interface, this program speaks version \
         {MAJOR}; build both from one release"
    );
    Error::new(ErrorKind::Backend, message)
}

/// Which of the exported `names` returns the table: the one that the file's name asks for, the
/// generic one, or the only one there is.
fn entry_of(path: &Path, names: &[&str]) -> Result<String> {
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let stem = stem.strip_prefix("lib").unwrap_or(stem);
    let own = format!("{stem}_v{MAJOR}");
    let entries = || names.iter().filter(|n| version_of(n).is_some());
    let mut ours = entries().filter(|n| version_of(n) == Some(MAJOR));
    if names.contains(&own.as_str()) && own.starts_with("inocula_backend_") {
        return Ok(own);
    }
    if names.contains(&GENERIC) {
        return Ok(GENERIC.into());
    }
    match (ours.next(), ours.next()) {
        (Some(only), None) => Ok((*only).to_owned()),
        (Some(_), Some(_)) => {
            bail!(Backend, "it holds several backends; name the file libinocula_backend_NAME")
        }
        (None, _) => match entries().filter_map(|n| version_of(n)).max() {
            Some(theirs) => Err(other_version(&theirs.to_string())),
            None => {
                bail!(
                    Backend,
                    "a shared library, but no backend: it exports no {own} and no {GENERIC}"
                )
            }
        },
    }
}

/// The version in `inocula_backend_v1` or `inocula_backend_tch_v1`.
fn version_of(symbol: &str) -> Option<u32> {
    let rest = symbol.strip_prefix("inocula_backend_")?;
    let (_, version) =
        rest.rsplit_once('v').filter(|(name, _)| name.is_empty() || name.ends_with('_'))?;
    version.parse().ok()
}

/// Loads the library at `path`, for the rest of the process.
pub(crate) fn load(path: &Path, entry: &str) -> Result<Table> {
    quiet_openmp();
    let library = open_library(path)?;
    // SAFETY: the specification gives an entry of this name this type.
    let table = unsafe {
        match library.get::<unsafe extern "C" fn() -> *const Api>(entry.as_bytes()) {
            Ok(entry) => Table::read(entry()),
            Err(_) => bail!(Backend, "its entry {entry} cannot be found once loaded"),
        }
    };
    std::mem::forget(library);
    table
}

#[cfg(unix)]
type Library = libloading::os::unix::Library;
#[cfg(not(unix))]
type Library = libloading::Library;

/// Binds everything now, so that a missing symbol is an error here and not a crash later; keeps its
/// names to itself, so that two plugins may define the same ones.
fn open_library(path: &Path) -> Result<Library> {
    // SAFETY: loading runs the library's initialisers. That is what the user asked for by naming a
    // plugin or putting one on the search path; nothing can check it beforehand.
    #[cfg(unix)]
    let loaded = unsafe {
        use libloading::os::unix::{RTLD_LOCAL, RTLD_NOW};
        // Not among libloading's: the value is the same on Linux and the BSDs; macOS has its own.
        const RTLD_NODELETE: i32 = if cfg!(target_vendor = "apple") { 0x80 } else { 0x1000 };
        Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)
    };
    // SAFETY: as above.
    #[cfg(not(unix))]
    let loaded = unsafe { Library::new(path) };
    loaded.map_err(|err| {
        let why =
            std::error::Error::source(&err).map_or_else(|| err.to_string(), ToString::to_string);
        let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
        Error::new(ErrorKind::Backend, format!("the system cannot load it: {why}"))
    })
}

/// Has OpenMP threads sleep when they wait, unless the user has said otherwise. libtorch's spin for
/// milliseconds after every operation, on cores that our own threads need.
fn quiet_openmp() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if std::env::var_os("OMP_WAIT_POLICY").is_none() {
            // SAFETY: Rust code reads the environment under the lock that this takes too; C code of
            // this process reads it as libraries initialise, which is what comes next on this thread.
            unsafe { std::env::set_var("OMP_WAIT_POLICY", "PASSIVE") };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(file: &str, names: &[&str]) -> Result<String> {
        entry_of(Path::new(file), names)
    }

    #[test]
    fn the_entry_is_that_of_the_files_name_or_the_generic_or_the_only_one() {
        let both = ["inocula_backend_a_v1", "inocula_backend_b_v1", "other"];
        assert_eq!(entry("libinocula_backend_b.so", &both).unwrap(), "inocula_backend_b_v1");
        assert!(entry("renamed.so", &both).is_err());
        assert_eq!(entry("renamed.so", &both[1..]).unwrap(), "inocula_backend_b_v1");
        let generic = ["inocula_backend_v1", "inocula_backend_b_v1"];
        assert_eq!(entry("renamed.so", &generic).unwrap(), "inocula_backend_v1");
    }

    #[test]
    fn another_version_and_no_backend_are_told_apart() {
        let later = entry("x.so", &["inocula_backend_x_v2"]).unwrap_err().to_string();
        assert!(later.contains("version 2"), "{later}");
        let none = entry("x.so", &["malloc", "inocula_backend_x"]).unwrap_err().to_string();
        assert!(none.contains("no backend"), "{none}");
    }
}
