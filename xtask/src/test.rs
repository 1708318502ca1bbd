//! `cargo xtask test`: builds the workspace and runs every test there is.
//!
//! The one command for a fresh machine. It ends with the names of what failed and one line, `test: N
//! passed, N failed, N skipped`, summed over all test programs, and fails if any of them did.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use clap::{Arg, ArgAction, ArgMatches};

use crate::plugins::{self, PLUGINS};
use crate::setup::flower;
use crate::tally::{Tally, failed_test};
use crate::workspace::{cargo, root, run as execute, shown, target};
use crate::{Command, Outcome};

pub(crate) const COMMAND: Command = Command {
    name: "test",
    about: "Build the workspace and run all of its tests",
    args: |command| {
        command
            .arg(
                Arg::new("release-demo")
                    .long("release-demo")
                    .action(ArgAction::SetTrue)
                    .help("Also run `inocula demo` of a release build, and look for its report"),
            )
            .arg(Arg::new("cargo").last(true).num_args(0..).help(
                "Arguments of `cargo test`, in place of `--workspace` and the choice of targets",
            ))
    },
    // The closing line has said how it ended, and stays the last.
    run: |args| run(&extra(args), args.get_flag("release-demo")).map_err(|_| String::new()),
};

/// What the user wrote after `--`.
pub(crate) fn extra(args: &ArgMatches) -> Vec<String> {
    args.get_many("cargo").into_iter().flatten().cloned().collect()
}

/// Runs everything and prints the closing line.
pub(crate) fn run(extra: &[String], release_demo: bool) -> Outcome {
    let mut suite = Suite { data: find_data(), ..Suite::default() };
    suite.report_data();
    suite.report_flower();
    suite.build_plugins();
    suite.cargo_tests(extra);
    if release_demo {
        suite.demo();
    }
    if suite.tally.total() == 0 {
        suite.fail("no test ran; check the arguments after `--`");
    }
    println!();
    suite.failures.iter().for_each(|what| println!("test: failed: {what}"));
    println!("test: {}", suite.tally);
    match suite.tally.failed {
        0 => Ok(()),
        failed => Err(format!("{failed} failed; see above")),
    }
}

/// Files outside of the project that some tests compare with.
struct Data {
    what: &'static str,
    variable: &'static str,
    folder: PathBuf,
}

/// The places of the external files: the same defaults as in `tests/src/files.rs`.
fn find_data() -> Vec<Data> {
    let places = [
        ("golden vectors", "INOCULA_ORACLES", "../shared/oracles"),
        ("MNIST", "INOCULA_MNIST", "../shared/data/mnist"),
        ("German credit data", "INOCULA_GERMAN_CREDIT", "../shared/data/german-credit"),
        ("Location-30", "INOCULA_LOCATION30", "../shared/data/location30"),
    ];
    let place = |(what, variable, default): (_, _, &str)| {
        let chosen = std::env::var_os(variable).unwrap_or_else(|| default.into());
        Data { what, variable, folder: root().join(Path::new(&chosen)) }
    };
    places.into_iter().map(place).collect()
}

#[derive(Default)]
struct Suite {
    tally: Tally,
    /// What failed, in words or as names of tests: it is told again at the end, thousands of lines later.
    failures: Vec<String>,
    data: Vec<Data>,
    /// Libraries of the backends that were built.
    plugins: Vec<PathBuf>,
}

impl Suite {
    fn fail(&mut self, why: &str) {
        eprintln!("test: {why}");
        self.failures.push(why.to_owned());
        self.tally.failed += 1;
    }

    fn report_data(&mut self) {
        let required = std::env::var_os("INOCULA_REQUIRE_DATA").is_some_and(|v| v == "1");
        let mut missing = Vec::new();
        for Data { what, variable, folder } in &self.data {
            let found = folder.is_dir();
            let state = if found { "found" } else { "not found" };
            println!("test: {what} {state}: {} ({variable})", folder.display());
            if !found && required {
                missing.push(format!("{what} are required here; set {variable} to their folder"));
            }
        }
        for why in missing {
            self.fail(&why);
        }
    }

    /// The suite that joins a Flower federation finds its server by this too.
    fn report_flower(&mut self) {
        match flower::find() {
            Ok(folder) => println!("test: Flower found: {}", folder.display()),
            Err(why) if flower::required() => self.fail(&format!("Flower is required here: {why}")),
            Err(why) => println!("test: Flower skipped: {why}"),
        }
    }

    /// Builds the other backends. One that cannot be built here is left out with its reason, unless
    /// `INOCULA_REQUIRE_BACKENDS` asks for it.
    fn build_plugins(&mut self) {
        for plugin in PLUGINS {
            match plugin.build() {
                Ok(library) => self.plugins.push(library),
                Err(why) if plugin.required() => {
                    self.fail(&format!("backend {} is required here: {why}", plugin.name));
                }
                Err(why) => println!("test: backend {} skipped: {why}", plugin.name),
            }
        }
    }

    /// Tests that run in a package's folder get paths that do not depend on it.
    fn with_data(&self, mut command: Process) -> Process {
        if let Ok(path) = std::env::join_paths(&self.plugins)
            && std::env::var_os("INOCULA_BACKEND_PATH").is_none()
        {
            command.env("INOCULA_BACKEND_PATH", path);
        }
        if let Ok(folder) = flower::find() {
            command.env(flower::VARIABLE, folder);
        }
        for Data { variable, folder, .. } in self.data.iter().filter(|d| d.folder.is_dir()) {
            command.env(variable, folder);
        }
        command
    }

    fn cargo_tests(&mut self, extra: &[String]) {
        // Two jobs unless the user says otherwise: optimised builds of the dependencies need about
        // a gigabyte each.
        let jobs = std::env::var_os("CARGO_BUILD_JOBS").is_none().then_some("-j2");
        let command = |args: &[&str]| {
            let mut command = cargo(args);
            command.args(jobs);
            self.with_data(command)
        };
        if !extra.is_empty() {
            let mut chosen = command(&["test", "--no-fail-fast"]);
            chosen.args(extra);
            return self.tests(chosen);
        }
        let mut build = command(&["build", "--workspace"]);
        build.args(plugins::excluded());
        if let Err(why) = execute(build) {
            return self.fail(&why);
        }
        let targets = ["test", "--workspace", "--lib", "--bins", "--tests", "--examples"];
        let mut everything = command(&targets);
        everything.args(plugins::excluded()).arg("--no-fail-fast");
        let mut documentation = command(&["test", "--workspace", "--doc", "--no-fail-fast"]);
        documentation.args(plugins::excluded());
        let own = PLUGINS.iter().filter(|plugin| plugin.available().is_ok());
        let own: Vec<Process> =
            own.map(|plugin| command(&["test", "-p", plugin.package, "--lib"])).collect();
        self.tests(everything);
        self.tests(documentation);
        own.into_iter().for_each(|tests| self.tests(tests));
    }

    /// Runs a test command, shows its output as it comes, and counts its results.
    fn tests(&mut self, mut command: Process) {
        let shown = shown(&command);
        eprintln!("$ {shown}");
        let before = self.tally.failed;
        match self.follow(command.stdout(Stdio::piped())) {
            // A program that crashed or did not compile has no result line to be counted.
            Ok(false) if self.tally.failed == before => {
                self.fail(&format!("{shown}: failed without a result; see above"));
            }
            Ok(_) => {}
            Err(err) => self.fail(&format!("{shown}: {err}")),
        }
    }

    fn follow(&mut self, command: &mut Process) -> std::io::Result<bool> {
        let mut child = command.spawn()?;
        if let Some(output) = child.stdout.take() {
            let (mut output, mut line) = (BufReader::new(output), Vec::new());
            while output.read_until(b'\n', &mut line)? > 0 {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(&line)?;
                stdout.flush()?;
                let text = String::from_utf8_lossy(&line);
                self.tally.add_line(&text);
                self.failures.extend(failed_test(&text).map(str::to_owned));
                line.clear();
            }
        }
        Ok(child.wait()?.success())
    }

    /// What a new user does first, as one more test.
    fn demo(&mut self) {
        match demo() {
            Ok(()) => self.tally.passed += 1,
            Err(why) => self.fail(&why),
        }
    }
}

/// Runs the demo of a release build in an empty folder and checks that both reports are there.
fn demo() -> Outcome {
    execute(cargo(&["build", "--release", "-p", "inocula-cli"]))?;
    let target = target();
    let folder = target.join("xtask-demo");
    let io = |err: std::io::Error| format!("{}: {err}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(io)?;
    }
    std::fs::create_dir_all(&folder).map_err(io)?;
    let program = target.join("release").join(format!("inocula{}", std::env::consts::EXE_SUFFIX));
    let mut command = Process::new(program);
    command.arg("demo").current_dir(&folder);
    execute(command)?;
    for name in ["report.json", "report.html"] {
        if !holds(&folder, name).map_err(io)? {
            return Err(format!("inocula demo: left no {name} under {}", folder.display()));
        }
    }
    Ok(())
}

/// Whether a file of this name is somewhere below `folder`.
fn holds(folder: &Path, name: &str) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if (path.is_dir() && holds(&path, name)?) || path.file_name().is_some_and(|n| n == name) {
            return Ok(true);
        }
    }
    Ok(false)
}
