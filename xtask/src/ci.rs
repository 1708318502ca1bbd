//! `cargo xtask ci`: everything that must hold before a change is merged.
//!
//! Cheap checks come first, and nothing is built twice: clippy and rustdoc only check, tests and the
//! short benchmark share the optimised development build. The release build is left to releases.

use std::time::{Duration, Instant};

use crate::plugins::{self, PLUGINS};
use crate::setup::{flower, libtorch};
use crate::workspace::{cargo, run as execute};
use crate::{Command, Outcome, bench, sanitize, test, tidy};

pub(crate) const COMMAND: Command = Command {
    name: "ci",
    about: "Run all checks: formatting, lints, documentation, tidy, tests, a short benchmark",
    args: |command| command,
    run: |_| run(STEPS),
};

struct Step {
    name: &'static str,
    run: fn() -> Outcome,
}

const STEPS: &[Step] = &[
    Step { name: "fmt", run: || execute(cargo(&["fmt", "--all", "--check"])) },
    Step { name: "tidy", run: tidy::run },
    Step { name: "setup", run: setup },
    Step { name: "clippy", run: clippy },
    Step { name: "doc", run: doc },
    Step { name: "test", run: || test::run(&[], false) },
    Step { name: "sanitize", run: sanitize::run },
    Step { name: "bench", run: bench::smoke },
];

/// Fetches what the required backends and suites need. The others are left out where it is missing.
fn setup() -> Outcome {
    if flower::required() {
        flower::install()?;
    }
    match PLUGINS.iter().any(|plugin| plugin.name == "tch" && plugin.required()) {
        true => libtorch::record(&libtorch::install(None)?),
        false => Ok(()),
    }
}

/// Lints everything, the backends that are built on their own each on its own.
fn clippy() -> Outcome {
    let lint = |choice: Vec<String>| {
        let mut command = cargo(&["clippy", "--all-targets"]);
        command.args(choice).args(["--", "-D", "warnings"]);
        execute(command)
    };
    lint(std::iter::once("--workspace".into()).chain(plugins::excluded()).collect())?;
    for plugin in PLUGINS.iter().filter(|plugin| plugin.available().is_ok()) {
        lint(vec!["-p".into(), plugin.package.into()])?;
    }
    Ok(())
}

fn doc() -> Outcome {
    let mut command = cargo(&["doc", "--workspace", "--no-deps"]);
    command.args(plugins::excluded()).env("RUSTDOCFLAGS", "-D warnings");
    execute(command)
}

/// Runs the steps up to the first that fails, and shows how long each took.
fn run(steps: &[Step]) -> Outcome {
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut outcome = Ok(());
    for step in steps {
        eprintln!("\nci: {}", step.name);
        let start = Instant::now();
        let result = (step.run)();
        times.push((step.name, start.elapsed()));
        if let Err(why) = result {
            outcome = Err(format!("{} failed: {why}", step.name));
            break;
        }
    }
    println!("\nci: wall time");
    for (name, time) in &times {
        println!("  {name:<8}{:>8.1} s", time.as_secs_f64());
    }
    let total: Duration = times.iter().map(|t| t.1).sum();
    println!("  {:<8}{:>8.1} s", "total", total.as_secs_f64());
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_the_run_and_is_named() {
        let steps = [
            Step { name: "good", run: || Ok(()) },
            Step { name: "bad", run: || Err("it broke".into()) },
            Step { name: "never", run: || unreachable!("a step failed before") },
        ];
        assert_eq!(run(&steps), Err("bad failed: it broke".into()));
        assert_eq!(run(&steps[..1]), Ok(()));
    }
}
