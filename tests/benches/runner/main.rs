//! Measures one backend, row by row, at the word of `cargo xtask bench`.
//!
//! A process holds one backend, so that two pools of threads never fight, and a backend that crashes
//! takes no other with it. It stays alive and answers one line of JSON to each line of JSON, so that
//! the caller can interleave the rounds of several backends and of other tools, which then meet the
//! same state of the machine. The peers (`tests/peers`) speak the same lines:
//!
//! | request | reply |
//! |---|---|
//! | (start) | `{"hello": {"name", "version", "device", "threads", "open_seconds"}}` |
//! | `{"do": "rows"}` | `{"rows": [{"suite", "name", "flops", "relative", "outliers"}]}` |
//! | `{"do": "warm", "row": R}` | `{"repeats": N}`: prepared, run until warm, N runs make a round |
//! | `{"do": "measure", "row": R}` | `{"seconds": S}`: one round, seconds per run, device waited for |
//! | `{"do": "result", "row": R, "file": F}` | `{"outputs": [{"name", "shape"}]}`, their values in F |
//!
//! Any reply can be `{"error": "one line"}` instead. The end of the input ends the process.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the protocol is on these streams")]

mod attacks;
mod dp;
mod growth;
mod inputs;
mod ops;
mod overhead;
mod reached;
mod row;
mod scale;
mod subject;
mod timing;
mod trades;
mod train;

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use inocula_core::{Device, Error, ErrorKind, Result, bail};
use inocula_tests::rows::registry;
use serde_json::{Value, json};

use inputs::Inputs;
use row::{Context, ROWS, Row, Work};
use scale::{FULL, SMOKE, Scale};
use timing::Timer;

fn main() -> ExitCode {
    match Args::parse(std::env::args().skip(1)).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            say(&json!({ "error": err.to_string() }));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    if args.write {
        return inputs::write(&args.inputs, args.scale);
    }
    let start = Instant::now();
    let device = open(&args.device, args.threads)?;
    let open_seconds = start.elapsed().as_secs_f64();
    let info = device.info().clone();
    say(&json!({ "hello": {
        "name": info.backend,
        "version": info.version,
        "device": info.device,
        "threads": info.threads,
        "open_seconds": open_seconds,
    } }));
    let inputs = Inputs::open(&args.inputs)?;
    let context = Context { device, inputs, scale: args.scale };
    serve(&mut Runner { context, timer: Timer::new(args.scale), held: None })
}

/// Opens a device with `threads` threads unless `spec` has options of its own, or the device knows
/// no such option, as those of graphics cards may not.
fn open(spec: &str, threads: usize) -> Result<Device> {
    let registry = registry();
    if !spec.contains('?')
        && let Ok(device) = registry.open(&format!("{spec}?threads={threads}"))
    {
        return Ok(device);
    }
    registry.open(spec)
}

fn serve(runner: &mut Runner) -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Error::io(Path::new("stdin"), "read", &e))?;
        let reply = runner.answer(&line);
        say(&reply.unwrap_or_else(|err| json!({ "error": err.to_string() })));
    }
    Ok(())
}

fn say(reply: &Value) {
    // Nobody is left to tell when this fails: the reader of these lines is gone.
    let _ = writeln!(std::io::stdout().lock(), "{reply}");
}

/// Answers requests; holds the work of the row that was asked for last.
struct Runner {
    context: Context,
    timer: Timer,
    held: Option<Held>,
}

struct Held {
    row: &'static str,
    work: Box<dyn Work>,
    repeats: usize,
}

impl Runner {
    fn answer(&mut self, line: &str) -> Result<Value> {
        let request: Value = serde_json::from_str(line)
            .map_err(|e| Error::new(ErrorKind::Usage, format!("request {line:?}: {e}")))?;
        let text = |key: &str| request[key].as_str().unwrap_or_default();
        match text("do") {
            "rows" => Ok(json!({ "rows": self.describe() })),
            "warm" => {
                let held = self.prepare(text("row"))?;
                let repeats = held.repeats;
                Ok(json!({ "repeats": repeats }))
            }
            "measure" => {
                let held = self.held(text("row"))?;
                held.work.reset()?;
                let seconds = timing::round(&mut *held.work, held.repeats)?;
                Ok(json!({ "seconds": seconds }))
            }
            "result" => {
                let row = Row::find(text("row"))?;
                self.held = None;
                let outputs = (row.prepare)(&self.context)?.result()?;
                row::write(Path::new(text("file")), &outputs)?;
                let about: Vec<Value> = outputs.iter().map(row::Output::about).collect();
                Ok(json!({ "outputs": about }))
            }
            other => bail!(Usage, "request {other:?} is not one of rows, warm, measure, result"),
        }
    }

    fn describe(&self) -> Vec<Value> {
        let scale = self.context.scale;
        let about = |row: &Row| {
            json!({
                "suite": row.suite,
                "name": row.name,
                "flops": (row.flops)(scale),
                "relative": row.tolerance.relative,
                "outliers": row.tolerance.outliers,
            })
        };
        ROWS.iter().flat_map(|rows| rows.iter()).map(about).collect()
    }

    fn prepare(&mut self, name: &str) -> Result<&mut Held> {
        let row = Row::find(name)?;
        // What the last row holds goes first: two rows need not fit into memory together.
        self.held = None;
        let mut work = (row.prepare)(&self.context)?;
        let repeats = self.timer.warm(&mut *work)?;
        Ok(self.held.insert(Held { row: row.name, work, repeats }))
    }

    fn held(&mut self, name: &str) -> Result<&mut Held> {
        match &mut self.held {
            Some(held) if held.row == name => Ok(held),
            _ => bail!(Usage, "row {name:?} was not warmed last; send warm first"),
        }
    }
}

struct Args {
    device: String,
    inputs: PathBuf,
    threads: usize,
    scale: &'static Scale,
    write: bool,
}

impl Args {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let (mut device, mut inputs) = (None, None);
        let (mut threads, mut smoke, mut write) = (2, false, false);
        while let Some(arg) = args.next() {
            let mut value = || match args.next() {
                Some(value) => Ok(value),
                None => bail!(Usage, "{arg} needs a value"),
            };
            match arg.as_str() {
                "--device" => device = Some(value()?),
                "--inputs" => inputs = Some(value()?),
                "--threads" => {
                    let text = value()?;
                    threads = match text.parse() {
                        Ok(n) if n > 0 => n,
                        _ => bail!(Usage, "--threads {text} must be a whole number of at least 1"),
                    };
                }
                "--smoke" => smoke = true,
                "--write" => write = true,
                // Cargo itself passes `--bench` when it runs this.
                "--bench" => bail!(Usage, "this measures on request; run `cargo xtask bench`"),
                other => bail!(Usage, "argument {other:?} is unknown; run `cargo xtask bench`"),
            }
        }
        let (Some(inputs), true) = (inputs, write || device.is_some()) else {
            bail!(Usage, "--inputs FILE and one of --write, --device SPEC are needed");
        };
        Ok(Args {
            device: device.unwrap_or_default(),
            inputs: inputs.into(),
            threads,
            scale: if smoke { &SMOKE } else { &FULL },
            write,
        })
    }
}
