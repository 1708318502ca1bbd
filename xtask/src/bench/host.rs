//! On what a benchmark ran: without that its times cannot be compared with any other.

use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::workspace::root;

/// The machine, and what was built on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Host {
    /// Model of the processor.
    pub(super) cpu: String,
    /// Hardware threads that this process may use.
    pub(super) threads: usize,
    /// `linux x86_64`.
    pub(super) system: String,
    /// `rustc 1.95.0 (...)`.
    pub(super) rustc: String,
    /// Commit, with `+` if the tree has changes.
    pub(super) commit: String,
    /// Version of the workspace.
    pub(super) version: String,
}

impl Host {
    pub(super) fn here() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        Host {
            cpu: model(&info).unwrap_or_else(|| "unknown processor".into()),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            rustc: said(&rustc, &["--version"]).unwrap_or_else(|| "unknown rustc".into()),
            commit: commit().unwrap_or_else(|| "unknown".into()),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

fn model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn commit() -> Option<String> {
    let commit = said("git", &["rev-parse", "--short", "HEAD"])?;
    let changes = said("git", &["status", "--porcelain", "--untracked-files=no"])?;
    Some(commit + if changes.is_empty() { "" } else { "+" })
}

/// What a program prints, in the workspace; nothing if it fails.
fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(root()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_the_first_of_its_kind() {
        let info =
            "processor\t: 0\nmodel\t\t: 1\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: B\n";
        assert_eq!(model(info).as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(model("Hardware : x"), None);
    }
}
