//! Virtual environments of Python with pinned packages, below the target folder.
//!
//! Each is made of a list in which every package is pinned, and made anew only when that list changes, so
//! that the commands that need one cost nothing where it is, and no network.

use std::path::{Path, PathBuf};
use std::process::Command as Program;

use crate::Outcome;
use crate::workspace::{root, run as execute, target};

/// Programs that may be the Python that the pins are for.
const PYTHONS: &[&str] = &["python3.11", "python3.12", "python3.13", "python3"];

/// An environment.
pub(super) struct Environment {
    /// Its folder below the target folder.
    pub(super) name: &'static str,
    /// The list of packages, from the root of the workspace.
    pub(super) pins: &'static str,
}

impl Environment {
    /// Its folder.
    pub(super) fn folder(&self) -> PathBuf {
        target().join(self.name)
    }

    fn python(&self) -> PathBuf {
        self.folder().join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
    }

    /// Written last, so that an environment that was not finished is made anew.
    fn stamp(&self) -> PathBuf {
        self.folder().join("requirements.txt")
    }

    /// Whether it is there, with what the list says now.
    pub(super) fn is_ready(&self) -> bool {
        let same = read(&self.stamp()).ok() == read(&root().join(self.pins)).ok();
        self.python().is_file() && self.stamp().is_file() && same
    }

    /// Its Python; makes the environment unless it is ready.
    ///
    /// # Errors
    /// In one line, what is missing or failed.
    pub(super) fn make(&self) -> Result<PathBuf, String> {
        let (python, pins) = (self.python(), root().join(self.pins));
        if self.is_ready() {
            return Ok(python);
        }
        let wanted = read(&pins)?;
        install(&self.folder(), &python, &pins)?;
        let stamp = self.stamp();
        std::fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))?;
        Ok(python)
    }
}

fn install(folder: &Path, python: &Path, pins: &Path) -> Outcome {
    let mut environment = Program::new(find_python()?);
    environment.args(["-m", "venv", "--clear"]).arg(folder);
    execute(environment)?;
    let mut install = Program::new(python);
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "-r",
    ]);
    execute({
        install.arg(pins);
        install
    })
}

fn find_python() -> Result<String, String> {
    let chosen = std::env::var("PYTHON").ok();
    let fits = |python: &&str| {
        let check = "import sys, venv; sys.exit(sys.version_info < (3, 11))";
        let output = Program::new(python).args(["-c", check]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let mut candidates = chosen.iter().map(String::as_str).chain(PYTHONS.iter().copied());
    candidates.find(fits).map(str::to_owned).ok_or_else(|| {
        format!("none of {} is Python 3.11 with venv; install it or set PYTHON", PYTHONS.join(", "))
    })
}

/// A text file.
pub(super) fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Checks that every line of a list pins a package.
#[cfg(test)]
pub(super) fn loose(pins: &str) -> Vec<String> {
    let pins = read(&root().join(pins)).unwrap();
    let lines = pins.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter(|line| !line.contains("==")).map(str::to_owned).collect()
}
