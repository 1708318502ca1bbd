//! The stock Flower that the suite `flower` joins, in a virtual environment of its own.
//!
//! `INOCULA_FLOWER` names another environment, say one with another release of Flower; the suite is
//! skipped where there is none, unless `INOCULA_REQUIRE_FLOWER` is 1.

use std::path::PathBuf;

use super::environment::Environment;

/// Folder of an environment in place of the one that is made.
pub(crate) const VARIABLE: &str = "INOCULA_FLOWER";

const FLOWER: Environment = Environment { name: "flower", pins: "tests/flower/requirements.txt" };

/// The folder of an environment that has Flower; makes it unless it is there already.
///
/// # Errors
/// In one line, what is missing or failed.
pub(crate) fn install() -> Result<PathBuf, String> {
    if let Ok(found) = find() {
        return Ok(found);
    }
    if std::env::var_os(VARIABLE).is_some() {
        return find();
    }
    FLOWER.make()?;
    find()
}

/// The folder of an environment that has Flower.
///
/// # Errors
/// There is none.
pub(crate) fn find() -> Result<PathBuf, String> {
    let has = |folder: &PathBuf| {
        let bin = folder.join(if cfg!(windows) { "Scripts" } else { "bin" });
        bin.join(format!("flower-superlink{}", std::env::consts::EXE_SUFFIX)).is_file()
    };
    if let Some(folder) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        return match has(&folder) {
            true => Ok(folder),
            false => Err(format!(
                "{} has no bin/flower-superlink; set {VARIABLE} to a virtual environment with Flower",
                folder.display()
            )),
        };
    }
    match FLOWER.is_ready() && has(&FLOWER.folder()) {
        true => Ok(FLOWER.folder()),
        false => {
            Err("there is no Flower; run `cargo xtask setup flower`, which needs Python 3.11"
                .into())
        }
    }
}

/// Whether `INOCULA_REQUIRE_FLOWER` makes its absence a failure.
pub(crate) fn required() -> bool {
    std::env::var_os("INOCULA_REQUIRE_FLOWER").is_some_and(|v| v == "1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::environment::loose;

    #[test]
    fn every_pin_is_exact() {
        assert_eq!(loose(FLOWER.pins), [""; 0]);
    }
}
