//! The tools that `bench --peers` compares with, in a virtual environment of their own.
//!
//! What is fetched is pinned in `tests/peers/requirements.txt`, lies below the target folder, and is
//! fetched again only when its pins change.

use std::path::{Path, PathBuf};
use std::process::Command as Program;

use crate::Outcome;
use crate::workspace::{root, run as execute, target};

/// Programs that may be the Python that the pins are for.
const PYTHONS: &[&str] = &["python3.11", "python3.12", "python3.13", "python3"];

/// The Python of the virtual environment that has the peers; makes it unless it is there already.
///
/// # Errors
/// In one line, what is missing or failed.
pub(crate) fn python() -> Result<PathBuf, String> {
    let folder = target().join("peers");
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let pins = root().join("tests/peers/requirements.txt");
    let wanted = read(&pins)?;
    // Written last, so that an environment that was not finished is made anew.
    let stamp = folder.join("requirements.txt");
    if python.is_file() && read(&stamp).is_ok_and(|had| had == wanted) {
        return Ok(python);
    }
    make(&folder, &python, &pins)?;
    std::fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(python)
}

fn make(folder: &Path, python: &Path, pins: &Path) -> Outcome {
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

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_is_exact() {
        let pins = read(&root().join("tests/peers/requirements.txt")).unwrap();
        let lines = pins.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let loose: Vec<&str> = lines.filter(|line| !line.contains("==")).collect();
        assert_eq!(loose, [""; 0]);
        for tool in ["torch==", "torchattacks==", "foolbox==", "opacus=="] {
            assert!(pins.lines().any(|line| line.starts_with(tool)), "{tool}");
        }
    }
}
