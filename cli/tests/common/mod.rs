//! Runs the real program in folders of its own.

// Each test program uses a part of this.
#![allow(dead_code)]
// The lints spare functions marked as tests, but not what these call.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program with `args`, silent on progress.
pub(crate) fn inocula(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inocula"));
    command.current_dir(folder).args(args).arg("--quiet");
    command
}

/// Runs to the end.
pub(crate) fn run(folder: &Path, args: &[&str]) -> Output {
    inocula(folder, args).output().unwrap()
}

/// Runs and must succeed; what it printed.
pub(crate) fn succeeds(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one line of error that `output` ended in, with exit status 1.
pub(crate) fn error_line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.matches('\n').count(), 1, "more than one line: {text}");
    assert!(text.starts_with("error: "), "{text}");
    text
}

/// Runs and must fail with one line that contains all of `parts`.
pub(crate) fn fails(folder: &Path, args: &[&str], parts: &[&str]) {
    let text = error_line(&run(folder, args));
    for part in parts {
        assert!(text.contains(part), "{args:?}: {text:?} lacks {part:?}");
    }
}

/// A small run in `folder/name`.
pub(crate) fn train(folder: &Path, name: &str, more: &[&str]) {
    let usual = ["train", "--model", "logistic", "--epochs", "1", "--out", name];
    succeeds(folder, &[&usual, more].concat());
}

/// Names in a folder, sorted; none if it is not there.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The folder of the MNIST files, or `None` with a printed reason.
pub(crate) fn mnist() -> Option<PathBuf> {
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/mnist");
    let folder = std::env::var_os("INOCULA_MNIST").map_or(usual, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var_os("INOCULA_REQUIRE_DATA").is_some_and(|v| v == "1");
    assert!(!required, "there is no folder {}; set INOCULA_MNIST", folder.display());
    eprintln!("skipped: there is no folder {}; set INOCULA_MNIST to it", folder.display());
    None
}
