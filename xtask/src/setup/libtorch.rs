//! Where libtorch is, and how it comes onto a machine without one.
//!
//! An installation that the user has is used as it is. Otherwise the libraries come out of the
//! PyTorch wheel, through the user's own pip: that knows proxies, mirrors and certificates, and
//! checks the digests. The whole wheel with its dependencies would be several gigabytes for GPUs;
//! of it the CPU needs a flat folder of 490 MB, laid out as the build script of torch-sys expects
//! behind `LIBTORCH`. Cargo learns the folder from `.cargo/libtorch.toml`, which git ignores, so
//! that every later `cargo build` is a plain one; a `LIBTORCH` in the environment goes before it.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{failed, wheels};
use crate::Outcome;
use crate::workspace::root;

/// The release that the versions of tch and torch-sys in `Cargo.toml` are made for.
pub(super) const VERSION: &str = "2.13.0";

pub(super) const HELP: &str = "\
Makes libtorch 2.13.0 available, which the backend tch is built with.

Used as they are, in this order: the folder that LIBTORCH names, an installed PyTorch 2.13.0 of \
`python3`, what an earlier run made. With none of them, and on Linux x86-64 only, 540 MB are \
downloaded by `python3 -m pip`, and the parts that a CPU needs are kept, 490 MB.

What was found is written to .cargo/libtorch.toml, so that a plain `cargo build` finds it.

NVIDIA GPUs need a full PyTorch 2.13.0 in place of that folder, with the libraries of CUDA that it \
brings along (cuBLAS, cuDNN, cuFFT, cuRAND, cuSPARSE, cuSPARSELt, NCCL, NVRTC, NVSHMEM, cuFile): \
`python3 -m pip install torch==2.13.0`, and then this command, which finds it. A PyTorch of another \
Python is named by hand: LIBTORCH=.../site-packages/torch. Nothing is compiled for the GPU: the \
backend looks for libtorch_cuda.so in the same folder when a cuda device is first opened.";

/// A usable libtorch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Libtorch {
    /// The folder for `LIBTORCH`, with `include` and `lib` in it.
    pub(crate) folder: PathBuf,
    /// Who put it there.
    pub(crate) origin: Origin,
}

/// Who put a libtorch where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The user, who set `LIBTORCH`.
    Variable,
    /// This command, in this run or an earlier one.
    Setup,
    /// PyTorch is installed in the Python of the user.
    Python,
}

impl fmt::Display for Libtorch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match self.origin {
            Origin::Variable => "named by LIBTORCH",
            Origin::Setup => "made by setup",
            Origin::Python => "of the installed PyTorch",
        };
        write!(f, "{VERSION} in {} ({origin})", self.folder.display())
    }
}

/// The libtorch that a build can use, without a download.
///
/// # Errors
/// There is none, or `LIBTORCH` names something else; the line says what to do.
pub(crate) fn find() -> Result<Libtorch, String> {
    let recorded = recorded();
    if let Some(named) = named(recorded.as_ref())? {
        return Ok(named);
    }
    usable([made(recorded), installed(), made(default_folder())])
        .ok_or_else(|| format!("no libtorch {VERSION}; run `cargo xtask setup libtorch`"))
}

/// The libtorch in `dir`, else one that the user has, else one that this command made; downloads it
/// if there is none. Unlike [`find`], a PyTorch goes before what was made earlier: it may be there
/// because it can use a GPU.
///
/// # Errors
/// There is none and it cannot be fetched; the line says what to do.
pub(crate) fn install(dir: Option<&Path>) -> Result<Libtorch, String> {
    let folder = match dir {
        Some(dir) => std::path::absolute(dir).map_err(|err| failed("use", dir, &err))?,
        None => {
            let recorded = recorded();
            if let Some(named) = named(recorded.as_ref())? {
                return Ok(named);
            }
            if let Some(there) = usable([installed(), made(recorded), made(default_folder())]) {
                return Ok(there);
            }
            default_folder().ok_or("no home folder; choose a place with --dir")?
        }
    };
    if check(&folder).is_err() {
        supported(env::consts::OS, env::consts::ARCH)?;
        wheels::install(&folder)?;
        check(&folder)?;
    }
    Ok(Libtorch { folder, origin: Origin::Setup })
}

/// What the user's `LIBTORCH` names, which must be usable. Cargo sets that variable to the folder on
/// record, and then it is not the user's word.
fn named(recorded: Option<&PathBuf>) -> Result<Option<Libtorch>, String> {
    let variable = env::var_os("LIBTORCH").filter(|v| !v.is_empty()).map(PathBuf::from);
    let Some(folder) = variable.filter(|v| Some(v) != recorded) else { return Ok(None) };
    check(&folder).map_err(|why| format!("LIBTORCH: {why}; correct the variable or unset it"))?;
    Ok(Some(Libtorch { folder, origin: Origin::Variable }))
}

fn made(folder: Option<PathBuf>) -> Option<Libtorch> {
    Some(Libtorch { folder: folder?, origin: Origin::Setup })
}

fn installed() -> Option<Libtorch> {
    Some(Libtorch { folder: python_torch()?, origin: Origin::Python })
}

fn usable(places: [Option<Libtorch>; 3]) -> Option<Libtorch> {
    places.into_iter().flatten().find(|place| check(&place.folder).is_ok())
}

/// Makes cargo set `LIBTORCH` in this workspace, unless the user sets it.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn record(libtorch: &Libtorch) -> Outcome {
    let path = record_path();
    fs::write(&path, record_text(&libtorch.folder)?).map_err(|err| failed("write", &path, &err))
}

fn record_path() -> PathBuf {
    root().join(".cargo/libtorch.toml")
}

fn record_text(folder: &Path) -> Result<String, String> {
    let plain = folder.to_str().filter(|f| !f.contains('\'') && !f.contains('\n'));
    let folder = plain.ok_or_else(|| {
        format!("{}: cargo cannot be told of such a path; choose another", folder.display())
    })?;
    Ok(format!(
        "# Written by `cargo xtask setup libtorch`. A LIBTORCH in the environment goes before it.\n\
         [env]\n{KEY}{folder}{END}\n"
    ))
}

const KEY: &str = "LIBTORCH = { value = '";
const END: &str = "', force = false }";

/// The folder on record.
fn recorded() -> Option<PathBuf> {
    folder_in(&fs::read_to_string(record_path()).ok()?)
}

fn folder_in(text: &str) -> Option<PathBuf> {
    let value = |line: &str| line.strip_prefix(KEY)?.strip_suffix(END).map(PathBuf::from);
    text.lines().find_map(value)
}

/// Where setup puts it unless told otherwise.
fn default_folder() -> Option<PathBuf> {
    cache(env::var_os("XDG_CACHE_HOME"), env::home_dir())
        .map(|cache| cache.join("inocula").join(format!("libtorch-{VERSION}")))
}

/// The user's cache. A relative `XDG_CACHE_HOME` does not count, as its specification says.
fn cache(variable: Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let named = variable.map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| Some(home.filter(|h| h.is_absolute())?.join(".cache")))
}

/// The folder of the PyTorch that `python3` would import, without importing it.
fn python_torch() -> Option<PathBuf> {
    const WHERE: &str = "import importlib.util as u; \
                         s = u.find_spec('torch'); \
                         print(s.submodule_search_locations[0] if s else '')";
    let output = Command::new("python3").args(["-c", WHERE]).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !folder.is_empty()).then(|| PathBuf::from(folder))
}

/// Whether a build can use `folder`; if not, why.
fn check(folder: &Path) -> Outcome {
    let missing = |part: &&&str| !folder.join(part).exists();
    if let Some(part) = PARTS.iter().find(missing) {
        return Err(format!("no {part} in {}", folder.display()));
    }
    match version(folder) {
        Some(version) if version == VERSION => Ok(()),
        Some(version) => {
            Err(format!("{} holds libtorch {version}, not {VERSION}", folder.display()))
        }
        None => Err(format!("{} does not say which version it is", folder.display())),
    }
}

/// What a build needs of an installation.
const PARTS: &[&str] =
    &["include/ATen/ATen.h", "lib/libtorch.so", "lib/libtorch_cpu.so", "lib/libc10.so"];

/// Its version, without the variant (`+cu130`): from the file of a libtorch or of a Python package.
fn version(folder: &Path) -> Option<String> {
    let text = match fs::read_to_string(folder.join("build-version")) {
        Ok(text) => text,
        Err(_) => {
            let module = fs::read_to_string(folder.join("version.py")).ok()?;
            let line = module.lines().find_map(|l| l.strip_prefix("__version__ = "))?;
            line.trim().trim_matches('\'').to_owned()
        }
    };
    text.trim().split('+').next().map(str::to_owned)
}

/// Whether there is a wheel to take the libraries from.
fn supported(os: &str, arch: &str) -> Outcome {
    if (os, arch) == ("linux", "x86_64") {
        return Ok(());
    }
    Err(format!(
        "libtorch for {os} on {arch} is not fetched by this command; install libtorch {VERSION} and \
         set LIBTORCH to its folder"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like an installation, removed in the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let name = format!("inocula-setup-{}-{name}", std::process::id());
            let folder = Folder(env::temp_dir().join(name));
            for (path, text) in files {
                let path = folder.0.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            folder
        }

        fn of_version(name: &str, file: &str, text: &str) -> Self {
            let mut files: Vec<(&str, &str)> = PARTS.iter().map(|part| (*part, "")).collect();
            files.push((file, text));
            Folder::new(name, &files)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn an_installation_is_known_by_its_version_and_parts() {
        for (name, file, text) in [
            ("flat", "build-version", "2.13.0\n"),
            ("cpu", "build-version", "2.13.0+cpu"),
            (
                "python",
                "version.py",
                "from x import y\n__version__ = '2.13.0+cu130'\ndebug = False\n",
            ),
        ] {
            assert_eq!(check(&Folder::of_version(name, file, text).0), Ok(()), "{name}");
        }
        let old = Folder::of_version("old", "build-version", "2.12.1\n");
        assert!(check(&old.0).unwrap_err().ends_with("holds libtorch 2.12.1, not 2.13.0"));
        let without = Folder::new("without", &[("build-version", "2.13.0")]);
        assert!(check(&without.0).unwrap_err().starts_with("no include/ATen/ATen.h in "));
        let nameless = Folder::of_version("nameless", "lib/other", "");
        assert!(check(&nameless.0).unwrap_err().ends_with("does not say which version it is"));
    }

    #[test]
    fn what_is_recorded_is_read_back() {
        let folder = Path::new("some where/libtorch");
        assert_eq!(folder_in(&record_text(folder).unwrap()), Some(folder.to_path_buf()));
        assert!(record_text(Path::new("it's")).unwrap_err().contains("choose another"));
        assert_eq!(folder_in("[env]\nOTHER = 'x'\n"), None);
    }

    #[test]
    fn the_cache_is_the_users() {
        let home = Some(PathBuf::from("/home/ada"));
        assert_eq!(cache(Some("/c".into()), home.clone()), Some("/c".into()));
        assert_eq!(cache(Some("relative".into()), home.clone()), Some("/home/ada/.cache".into()));
        assert_eq!(cache(None, home), Some("/home/ada/.cache".into()));
        assert_eq!(cache(None, None), None);
    }

    #[test]
    fn other_machines_are_told_what_to_set() {
        assert_eq!(supported("linux", "x86_64"), Ok(()));
        assert!(supported("macos", "aarch64").unwrap_err().ends_with("set LIBTORCH to its folder"));
    }
}
