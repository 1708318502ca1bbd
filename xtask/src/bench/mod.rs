//! `cargo xtask bench`: how long operations, attacks and training take on every backend, and with
//! the tools that one would use otherwise.
//!
//! Every side is a process of its own, which answers requests ([`side`]); this program depends on
//! none of them, decides who is measured when ([`mod@measure`]), whether the results agree ([`agree`]),
//! and makes the report. A time without an agreement is not shown.

mod agree;
pub(crate) mod artifacts;
mod baseline;
mod curves;
mod host;
mod measure;
mod overhead;
mod peers;
mod plan;
mod report;
mod rest;
mod results;
mod side;
mod stats;
mod svg;

use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::rc::Rc;

use crate::plugins::PLUGINS;
use crate::workspace::target;
use crate::{Command, Outcome, setup};
use artifacts::Profile;
use host::Host;
use measure::{Entry, Method, Part, measure, rows};
use overhead::{Launch, listing, starts};
use peers::PEERS;
use plan::{OVERHEAD, Options, REFERENCE, Task, Wanted};
use rest::Rest;
use results::{About, Absent, FORMAT, Results, Row};
use side::{Process, Starter};

pub(crate) const COMMAND: Command = Command {
    name: "bench",
    about: "Measure operations, attacks and training on all backends, and compare",
    args: plan::arguments,
    run: |args| run(&Options::of(args)?),
};

/// Where the runner looks for plugins first.
const PLUGIN_PATH: &str = "INOCULA_BACKEND_PATH";

/// The short benchmark of `cargo xtask ci`: everything that needs no more than this project.
pub(crate) fn smoke() -> Outcome {
    let command = plan::arguments(clap::Command::new("bench"));
    let args = command.try_get_matches_from([
        "bench",
        "--smoke",
        "--suite",
        "all,growth",
        "--backends",
        REFERENCE,
    ]);
    run(&Options::of(&args.map_err(|e| e.to_string())?)?)
}

fn run(options: &Options) -> Outcome {
    let out = options.out.clone().unwrap_or_else(|| target().join("bench"));
    let mut bench = Bench::prepare(options, &out)?;
    let known = rows(&mut *bench.reference()?.side)?;
    if options.peers {
        bench.open_peers(&known)?;
    }
    let tasks = options.choose(known)?;
    let mut rows: Vec<Row> = tasks.iter().map(|task| bench.measure(task)).collect();
    if options.suites.contains(&OVERHEAD) && options.row.is_empty() {
        rows.extend(bench.overheads());
    }
    let results = bench.results(rows);
    write(&results, options.baseline.as_ref(), &out)?;
    match results.faults() {
        faults if faults.is_empty() => Ok(()),
        faults => Err(format!("{faults}; see the tables")),
    }
}

/// A benchmark in progress.
struct Bench<'a> {
    options: &'a Options,
    /// Where inputs and results are exchanged.
    folder: PathBuf,
    runner: PathBuf,
    entries: Vec<Entry>,
    launches: Vec<Launch>,
    /// Libraries of the backends that were built.
    plugins: Vec<PathBuf>,
    sides: Vec<About>,
    absent: Vec<Absent>,
    rest: Rest,
}

impl<'a> Bench<'a> {
    /// Builds the runner, writes the inputs, and opens every side.
    fn prepare(options: &'a Options, out: &Path) -> Result<Self, String> {
        let folder = out.join("exchange");
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut bench = Bench {
            options,
            folder,
            runner: artifacts::runner(options.smoke)?,
            entries: Vec::new(),
            launches: Vec::new(),
            plugins: Vec::new(),
            sides: Vec::new(),
            absent: Vec::new(),
            rest: Rest::default(),
        };
        bench.write_inputs()?;
        for wanted in bench.wanted() {
            match bench.build(&wanted).and_then(|()| bench.open(&wanted)) {
                Err(why) if options.named || wanted.spec == REFERENCE => {
                    return Err(format!("{}: {why}", wanted.name));
                }
                Err(reason) => bench.absent.push(Absent { side: wanted.name, reason }),
                Ok(()) => {}
            }
        }
        Ok(bench)
    }

    fn inputs(&self) -> PathBuf {
        self.folder.join("inputs.safetensors")
    }

    fn write_inputs(&self) -> Outcome {
        let mut command = self.command();
        let output = command.arg("--write").output();
        let output = output.map_err(|e| format!("{}: {e}", self.runner.display()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("inputs: {}", String::from_utf8_lossy(&output.stdout).trim())),
        }
    }

    fn command(&self) -> Program {
        let mut command = Program::new(&self.runner);
        command.arg("--inputs").arg(self.inputs());
        command.args(self.options.smoke.then_some("--smoke"));
        command
    }

    /// The backends that were asked for, the reference among them, and for the overheads it once
    /// more as a plugin.
    fn wanted(&mut self) -> Vec<Wanted> {
        let options = self.options;
        let mut wanted = options.backends.clone();
        if !wanted.iter().any(|w| w.spec == REFERENCE) {
            wanted.insert(0, Wanted::new(REFERENCE, Part::Reference));
        }
        if options.suites.contains(&OVERHEAD) && !options.named && !options.smoke {
            match artifacts::plugin("inocula-backend-ndarray", Profile::Release, "") {
                Ok(path) => {
                    wanted.push(Wanted::new(&path.to_string_lossy(), Part::Suite(OVERHEAD)))
                }
                Err(reason) => {
                    self.absent.push(Absent { side: format!("{REFERENCE}@plugin"), reason });
                }
            }
        }
        wanted
    }

    /// Builds the plugin of a backend of this project, so that none that was left from earlier is
    /// measured in its place.
    fn build(&mut self, wanted: &Wanted) -> Outcome {
        let Some(plugin) = PLUGINS.iter().find(|plugin| plugin.name == wanted.backend()) else {
            return Ok(());
        };
        plugin.available()?;
        let profile = if self.options.smoke { Profile::Dev } else { Profile::Release };
        self.plugins.push(artifacts::plugin(plugin.package, profile, "")?);
        Ok(())
    }

    fn open(&mut self, wanted: &Wanted) -> Outcome {
        let (name, part) = (wanted.name.clone(), wanted.part);
        let starter = self.starter(&wanted.spec)?;
        let (process, hello) = Process::start(starter.clone())?;
        if part != Part::Reference {
            self.sides.push(About { side: name.clone(), peer: false, hello });
            self.launches.push(Launch { name: name.clone(), starter });
        }
        self.entries.push(Entry { name, peer: false, part, rows: None, side: Box::new(process) });
        Ok(())
    }

    fn starter(&self, spec: &str) -> Result<Starter, String> {
        let (runner, inputs, spec) = (self.runner.clone(), self.inputs(), spec.to_owned());
        let (threads, smoke) = (self.options.threads, self.options.smoke);
        // What was built here goes before what the user has elsewhere.
        let others = std::env::var_os(PLUGIN_PATH).unwrap_or_default();
        let places = self.plugins.iter().cloned().chain(std::env::split_paths(&others));
        let places = std::env::join_paths(places).map_err(|e| format!("{PLUGIN_PATH}: {e}"))?;
        Ok(Rc::new(move || {
            let mut command = Program::new(&runner);
            command.arg("--inputs").arg(&inputs).args(smoke.then_some("--smoke"));
            command.args(["--device", &spec, "--threads", &threads.to_string()]);
            command.env(PLUGIN_PATH, &places);
            with_threads(command, threads)
        }))
    }

    /// Opens the tools to compare with, in an environment that is made where it is not there yet.
    fn open_peers(&mut self, known: &[Task]) -> Outcome {
        let python = setup::peers::python()?;
        for name in PEERS {
            let starter = peers::starter(&python, name, self.inputs(), self.options.threads);
            let opened = Process::start(starter).and_then(|(mut process, hello)| {
                let rows = peers::rows(&mut process, known)?;
                Ok((process, hello, rows))
            });
            let side = (*name).to_owned();
            match opened {
                Err(reason) => self.absent.push(Absent { side, reason }),
                Ok((process, hello, rows)) => {
                    self.sides.push(About { side: side.clone(), peer: true, hello });
                    let (part, side, name) = (Part::Everywhere, Box::new(process), side);
                    self.entries.push(Entry { name, peer: true, part, rows: Some(rows), side });
                }
            }
        }
        Ok(())
    }

    fn reference(&mut self) -> Result<&mut Entry, String> {
        let found = self.entries.iter_mut().find(|e| e.name == REFERENCE);
        found.ok_or_else(|| format!("{REFERENCE} is not open"))
    }

    fn measure(&mut self, task: &Task) -> Row {
        let rounds = self.options.rounds;
        let method = Method { rounds, folder: &self.folder, reference: REFERENCE };
        let row = measure(task, &mut self.entries, &method, &mut self.rest);
        let cell = |c: &results::Cell| match c.summary() {
            Some(summary) => format!("{} {}", c.side, stats::time(summary.median)),
            None => format!("{} -", c.side),
        };
        let cells: Vec<String> = row.cells.iter().map(cell).collect();
        eprintln!("bench: {}: {}: {}", row.suite, row.name, cells.join(", "));
        row
    }

    fn overheads(&self) -> Vec<Row> {
        eprintln!("bench: {OVERHEAD}: starting processes");
        let mut rows = starts(&self.launches, self.options.rounds);
        rows.push(listing(&artifacts::program(self.options.smoke), self.options.rounds));
        rows
    }

    fn results(self, rows: Vec<Row>) -> Results {
        Results {
            format: FORMAT,
            host: Host::here(),
            threads: self.options.threads,
            rounds: self.options.rounds,
            smoke: self.options.smoke,
            others: self.rest.others(),
            sides: self.sides,
            absent: self.absent,
            rows,
        }
    }
}

/// Limits the pools that read their size from the environment.
fn with_threads(mut command: Program, threads: usize) -> Program {
    for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]
    {
        command.env(name, threads.to_string());
    }
    command
}

/// Writes the report in all its forms, and prints it.
fn write(results: &Results, baseline: Option<&Results>, out: &Path) -> Outcome {
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
    };
    let markdown = report::markdown(results, baseline);
    let json = serde_json::to_string_pretty(results).map_err(|e| format!("bench.json: {e}"))?;
    write("bench.json", &(json + "\n"))?;
    write("bench.md", &markdown)?;
    for suite in results.suites() {
        let curves = match suite {
            "growth" => curves::picture(results, baseline, suite),
            _ => None,
        };
        let picture = curves.unwrap_or_else(|| svg::picture(results, suite));
        write(&format!("bench-{suite}.svg"), &picture)?;
    }
    println!("{markdown}");
    println!("Written: bench.md, bench.json and a picture of each suite in {}", out.display());
    Ok(())
}
