//! The devices that suites run on, and how each is found.
//!
//! The CPU backend is linked in; everything else is a plugin, found where the build left it, in
//! `INOCULA_BACKEND_PATH` or in the standard places; `INOCULA_TEST_BACKENDS` adds rows by spec. A row that cannot be opened is skipped with its
//! reason, unless `INOCULA_REQUIRE_BACKENDS` (a list of backends, set by CI) makes that a failure.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use inocula_core::op::OpCode;
use inocula_core::plugin::Search;
use inocula_core::{DType, Device, Registry};

/// A device that suites run on.
pub struct Row {
    /// Name in test names.
    pub name: &'static str,
    /// Backend that `INOCULA_REQUIRE_BACKENDS` calls it by.
    pub backend: &'static str,
    /// The device, or why there is none.
    pub device: Result<Device, String>,
}

/// Backends that are linked in or found.
pub fn registry() -> Registry {
    let mut search = Search::standard();
    // Test programs lie in a folder below the one that plugins are built to.
    for folder in build_folders() {
        search.add("the build", folder);
    }
    Registry::new().with(inocula_backend_ndarray::ENTRY).with_plugins(search)
}

/// Where cargo leaves libraries, judging by where this program is.
fn build_folders() -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().skip(1).take(2).map(Path::to_owned).collect()
}

/// Path of the CPU backend as a plugin, made by the same build as this program.
///
/// # Errors
/// The build left none.
pub fn ndarray_plugin() -> Result<PathBuf, String> {
    let file = inocula_core::plugin::file_name("ndarray");
    let places = build_folders().into_iter().map(|folder| folder.join(&file));
    let found = places.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| format!("{file} is not where this program was built"))
}

/// The device that others are compared with.
pub static REFERENCE: LazyLock<Device> =
    LazyLock::new(|| match registry().open("ndarray?threads=2") {
        Ok(device) => device,
        Err(err) => panic!("the reference does not open: {err}"),
    });

/// Two thread counts of the reference, because a kernel that divides its work wrongly is right on
/// one; the same backend as a plugin, which must change nothing; and the others.
pub static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let open = |spec: &str| registry().open(spec).map_err(|err| err.to_string());
    let row = |name, backend, device| Row { name, backend, device };
    let mut rows = vec![
        row("ndarray?threads=1", "ndarray", open("ndarray?threads=1")),
        row("ndarray", "ndarray", open("ndarray?threads=2")),
        row(
            "ndarray@dlopen",
            "ndarray",
            ndarray_plugin().and_then(|path| open(&format!("{}?threads=2", path.display()))),
        ),
        row("tch:cpu", "tch", open("tch:cpu")),
        row("burn:flex", "burn", open("burn:flex")),
        row("burn:wgpu", "burn:wgpu", wgpu().and_then(|()| open("burn:wgpu"))),
        row("c", "c", c_fixture().and_then(|path| open(&path.display().to_string()))),
    ];
    let more = std::env::var("INOCULA_TEST_BACKENDS").unwrap_or_default();
    for spec in more.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        // Names of trials live as long as the program.
        let name: &'static str = spec.to_owned().leak();
        rows.push(row(name, ASKED_FOR, open(spec)));
    }
    rows
});

/// Rows that `INOCULA_TEST_BACKENDS` added are there for nothing else, so they are required.
const ASKED_FOR: &str = "INOCULA_TEST_BACKENDS";

/// A graphics card, or a program that stands in for one, is asked for only where that is wanted: it
/// may take minutes.
fn wgpu() -> Result<(), String> {
    match required("burn:wgpu") {
        true => Ok(()),
        false => Err("only where INOCULA_REQUIRE_BACKENDS has burn:wgpu".into()),
    }
}

/// Whether `backend` must be there.
pub fn required(backend: &str) -> bool {
    if backend == ASKED_FOR {
        return true;
    }
    let list = std::env::var("INOCULA_REQUIRE_BACKENDS").unwrap_or_default();
    list.split(',').any(|name| name.trim() == backend)
}

/// Compiles the backend in C with the system's compiler.
///
/// # Errors
/// There is no compiler, or it refuses the source.
pub fn c_fixture() -> Result<PathBuf, String> {
    compile_c("fixture", &[])
}

/// Compiles `fixtures/NAME.c` with `flags` to a library beside this program.
///
/// # Errors
/// There is no compiler, or it refuses the source.
pub fn compile_c(name: &str, flags: &[&str]) -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::Builder::new().prefix("inocula-c-").tempdir();
    // Kept: a loaded library's file must stay.
    let folder = folder.map_err(|err| err.to_string())?.keep();
    let library = folder.join(inocula_core::plugin::file_name(name));
    let mut cc = Command::new(std::env::var_os("CC").unwrap_or("cc".into()));
    cc.args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-I"])
        .arg(root.join("../core/include"))
        .args(flags)
        .arg(root.join("fixtures").join(format!("{name}.c")))
        .arg("-o")
        .arg(&library)
        .arg("-lm");
    match cc.output() {
        Ok(out) if out.status.success() => Ok(library),
        Ok(out) => Err(String::from_utf8_lossy(&out.stderr).into_owned()),
        Err(err) => Err(format!("no C compiler: {err}")),
    }
}

/// Whether `device` computes every primitive on `dtype` itself.
pub fn whole(device: &Device, dtype: DType) -> bool {
    OpCode::ALL.iter().all(|&code| code.is_fused() || device.supports(code, dtype))
}
