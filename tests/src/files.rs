//! Files that live outside of the project: golden vectors and data sets.
//!
//! Each place has an environment variable and a default beside the checkout. A test whose file is
//! absent passes with a printed reason, unless `INOCULA_REQUIRE_DATA=1` (which CI sets) makes that
//! a failure.

use std::path::{Path, PathBuf};

fn folder(variable: &str, default: &str) -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(default);
    let path = std::env::var_os(variable).map_or(root, PathBuf::from);
    if path.is_dir() {
        return Ok(path);
    }
    Err(format!("there is no folder {}; set {variable} to it", path.display()))
}

/// The folder of the golden vectors: `INOCULA_ORACLES`, or `../shared/oracles` beside the checkout.
///
/// # Errors
/// Why it is not there.
pub fn oracles() -> Result<PathBuf, String> {
    folder("INOCULA_ORACLES", "shared/oracles")
}

/// The folder of the MNIST files: `INOCULA_MNIST`, or `../shared/data/mnist` beside the checkout.
///
/// # Errors
/// Why it is not there.
pub fn mnist() -> Result<PathBuf, String> {
    folder("INOCULA_MNIST", "shared/data/mnist")
}

/// The folder of German credit data: `INOCULA_GERMAN_CREDIT`, or `../shared/data/german-credit` beside the
/// checkout.
///
/// # Errors
/// Why it is not there.
pub fn german_credit() -> Result<PathBuf, String> {
    folder("INOCULA_GERMAN_CREDIT", "shared/data/german-credit")
}

/// The folder of Location-30: `INOCULA_LOCATION30`, or `../shared/data/location30` beside the checkout.
///
/// # Errors
/// Why it is not there.
pub fn location30() -> Result<PathBuf, String> {
    folder("INOCULA_LOCATION30", "shared/data/location30")
}

/// Whether missing files are failures.
pub fn required() -> bool {
    std::env::var_os("INOCULA_REQUIRE_DATA").is_some_and(|v| v == "1")
}

/// Ends a case whose files are absent: success with a printed reason, or a failure where they are
/// required.
///
/// # Errors
/// The reason, when files are required.
pub fn skip(why: &str) -> crate::harness::Outcome {
    if required() {
        return Err(why.into());
    }
    // The one place where a test talks: a skip must not look like a pass.
    let mut out = std::io::stderr();
    let _ = std::io::Write::write_all(&mut out, format!("skipped: {why}\n").as_bytes());
    Ok(())
}
