//! Builds what is measured, and finds it: where cargo says that it put it, never where it usually is.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::plugins;
use crate::workspace::{cargo, shown};

/// Of the profiles of `Cargo.toml`: that of tests, or that of what is measured and released.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// The program that measures one backend.
pub(super) fn runner(smoke: bool) -> Result<PathBuf, String> {
    let args: &[&str] = if smoke {
        // The profile and the choice of packages are those of the tests, so that nothing is built
        // anew: with one package alone, cargo would unify the features of dependencies otherwise.
        &["bench", "--profile", "dev", "--workspace", "--bench", "runner", "--no-run"]
    } else {
        &["bench", "-p", "inocula-tests", "--bench", "runner", "--no-run"]
    };
    let built = build(args)?;
    executable(&built, "runner").ok_or_else(|| "cargo built no runner".into())
}

/// The command-line program.
pub(super) fn program(smoke: bool) -> Result<PathBuf, String> {
    let args: &[&str] = if smoke {
        &["build", "--workspace", "--bin", "inocula"]
    } else {
        &["build", "--release", "-p", "inocula-cli"]
    };
    executable(&build(args)?, "inocula").ok_or_else(|| "cargo built no inocula".into())
}

/// A backend as a library of its own. It gets a cargo invocation of its own, in which nobody else's
/// features are unified with its.
pub(crate) fn plugin(package: &str, profile: Profile, features: &str) -> Result<PathBuf, String> {
    let profile = match profile {
        Profile::Dev => "dev",
        Profile::Release => "release",
    };
    let built = build(&["build", "--profile", profile, "-p", package, "--features", features])?;
    library(&built, package)
        .ok_or_else(|| format!("{package} builds no plugin, its crate types lack cdylib"))
}

/// What cargo says about the artifacts that it made or found up to date.
fn build(args: &[&str]) -> Result<Vec<Value>, String> {
    let mut command = cargo(args);
    if args.contains(&"--workspace") {
        command.args(plugins::excluded());
    }
    if std::env::var_os("CARGO_BUILD_JOBS").is_none() {
        // Optimised builds of the dependencies need about a gigabyte each.
        command.arg("-j2");
    }
    eprintln!("$ {}", shown(&command));
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = command.output().map_err(|e| format!("cargo does not start: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo {}: {}", args.join(" "), output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(artifacts(&text))
}

fn artifacts(text: &str) -> Vec<Value> {
    let messages = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    messages.filter(|m: &Value| m["reason"] == "compiler-artifact").collect()
}

fn executable(artifacts: &[Value], name: &str) -> Option<PathBuf> {
    let of_name = artifacts.iter().filter(|a| a["target"]["name"] == name);
    of_name.filter_map(|a| a["executable"].as_str()).next_back().map(PathBuf::from)
}

fn library(artifacts: &[Value], package: &str) -> Option<PathBuf> {
    let name = package.replace('-', "_");
    let of_name = artifacts.iter().filter(|a| a["target"]["name"] == name.as_str());
    let files = of_name.filter_map(|a| a["filenames"].as_array()).flatten();
    let shared = |path: &&str| {
        Path::new(path).extension().is_some_and(|e| e == std::env::consts::DLL_EXTENSION)
    };
    files.filter_map(Value::as_str).find(shared).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_found_in_what_cargo_says() {
        let dll = std::env::consts::DLL_EXTENSION;
        let text = format!(
            r#"{{"reason":"compiler-artifact","target":{{"name":"x_y"}},"filenames":["a/libx_y.rlib","a/libx_y.{dll}"],"executable":null}}
            not json
            {{"reason":"compiler-artifact","target":{{"name":"run"}},"filenames":["a/run"],"executable":"a/run"}}
            {{"reason":"build-finished","success":true}}"#
        );
        let found = artifacts(&text);
        assert_eq!(found.len(), 2);
        assert_eq!(executable(&found, "run"), Some(PathBuf::from("a/run")));
        assert_eq!(executable(&found, "x_y"), None);
        assert_eq!(library(&found, "x-y"), Some(PathBuf::from(format!("a/libx_y.{dll}"))));
        assert_eq!(library(&found, "run"), None);
    }
}
