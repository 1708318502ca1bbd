//! `cargo xtask crosscheck`: whether attacks are as strong as those of the tools that one would use
//! otherwise, on the same networks and images and with the same budgets.
//!
//! The program attacks first and writes what it found; then a script in the peers' own Python runs the other
//! tools and measures everybody's images, the program's too, with PyTorch. So a figure of the program is
//! never its own. What is compared is image by image ([`verdict`]): means of different images would say
//! little.

mod rows;
mod table;
mod verdict;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};

use clap::{Arg, ArgMatches, value_parser};
use serde_json::{Value, json};

use crate::setup::peers;
use crate::workspace::{cargo, root, run as execute, target};
use crate::{Command, Outcome};
use rows::{ROWS, Row};
use verdict::Found;

pub(crate) const COMMAND: Command = Command {
    name: "crosscheck",
    about: "Compare the strength of attacks with torchattacks, Foolbox and ART",
    args,
    run,
};

/// Name of this side in the script's answers.
const OURS: &str = "inocula";

fn args(command: clap::Command) -> clap::Command {
    command
        .arg(
            Arg::new("samples")
                .long("samples")
                .value_parser(value_parser!(u64).range(1..=10_000))
                .default_value("100")
                .help("Images of each row; those that ask for decisions take a fifth"),
        )
        .arg(
            Arg::new("row")
                .long("row")
                .value_name("PART")
                .default_value("")
                .help("Only rows whose name has this part"),
        )
        .arg(
            Arg::new("out")
                .long("out")
                .value_parser(value_parser!(PathBuf))
                .help("Folder for crosscheck.md and crosscheck.json [default: target/crosscheck]"),
        )
        .arg(
            Arg::new("program")
                .long("program")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("The program inocula, if it is built already"),
        )
}

/// A row with what each side made of it.
struct Answer {
    row: &'static Row,
    sides: BTreeMap<String, Result<Found, String>>,
}

fn run(args: &ArgMatches) -> Outcome {
    let wanted = args.get_one::<String>("row").map_or("", String::as_str);
    let chosen: Vec<&Row> = ROWS.iter().filter(|row| row.name.contains(wanted)).collect();
    if chosen.is_empty() {
        return Err(format!("no row has {wanted:?} in its name; leave --row out to see all"));
    }
    let samples = args.get_one::<u64>("samples").copied().unwrap_or(100);
    let out =
        args.get_one::<PathBuf>("out").cloned().unwrap_or_else(|| target().join("crosscheck"));
    std::fs::create_dir_all(&out).map_err(|err| format!("{}: {err}", out.display()))?;
    let (oracles, mnist) = (
        folder("INOCULA_ORACLES", "../shared/oracles")?,
        folder("INOCULA_MNIST", "../shared/data/mnist")?,
    );
    let python = peers::python()?;
    let ours = Ours { program: program(args)?, out: out.clone(), oracles, mnist };
    let mut requests = Vec::new();
    for row in &chosen {
        requests.push(ours.attack(row, samples)?);
    }
    let answers = asked(&python, &ours, &requests, &chosen)?;
    let report = table::report(&answers, samples);
    write(&out.join("crosscheck.md"), &report)?;
    let data = serde_json::to_string_pretty(&table::data(&answers, samples));
    write(&out.join("crosscheck.json"), &data.map_err(|err| err.to_string())?)?;
    println!("{report}");
    println!("Written: {}", out.display());
    match table::weaker(&answers) {
        0 => Ok(()),
        n => Err(format!("weaker than another tool in {n} comparisons; see the table")),
    }
}

fn write(path: &Path, text: &str) -> Outcome {
    std::fs::write(path, text).map_err(|err| format!("{}: {err}", path.display()))
}

fn folder(variable: &str, usual: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os(variable).map_or_else(|| root().join(usual), PathBuf::from);
    match path.is_dir() {
        true => Ok(path),
        false => Err(format!("there is no folder {}; set {variable} to it", path.display())),
    }
}

fn program(args: &ArgMatches) -> Result<PathBuf, String> {
    if let Some(program) = args.get_one::<PathBuf>("program") {
        let full = program.canonicalize();
        return full.map_err(|err| format!("{}: {err}", program.display()));
    }
    execute(cargo(&["build", "--release", "-p", "inocula-cli"]))?;
    Ok(target().join("release").join(format!("inocula{}", std::env::consts::EXE_SUFFIX)))
}

/// The program under test, and where things are.
struct Ours {
    program: PathBuf,
    out: PathBuf,
    oracles: PathBuf,
    mnist: PathBuf,
}

impl Ours {
    fn run(&self, args: &[&str]) -> Outcome {
        let mut command = Program::new(&self.program);
        command.args(args).args(["--quiet", "--force"]).stdout(Stdio::null());
        let output = command.stderr(Stdio::piped()).output();
        let output = output.map_err(|err| format!("{}: {err}", self.program.display()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }

    /// The network of a row as a run that can be attacked.
    fn imported(&self, row: &Row) -> Result<PathBuf, String> {
        let folder = self.out.join(row.network.preset());
        if !folder.join("metrics.json").is_file() {
            let weights = self.oracles.join(row.network.file()).display().to_string();
            let (data, to) = (self.mnist.display().to_string(), folder.display().to_string());
            let model = row.network.preset();
            self.run(&["import", &weights, "--data", &data, "--model", model, "--out", &to])?;
        }
        Ok(folder)
    }

    /// Runs the row's attack; what the script has to know of it.
    fn attack(&self, row: &Row, samples: u64) -> Result<Value, String> {
        let run = self.imported(row)?;
        let to = self.out.join(row.name.replace([' ', ','], "-"));
        let config = self.out.join("attack.toml");
        write(&config, row.attack)?;
        let samples = row.samples(samples).to_string();
        let paths = [&run, &config, &to].map(|path| path.display().to_string());
        eprintln!("{}: inocula", row.name);
        self.run(&[
            "attack",
            &paths[0],
            "--config",
            &paths[1],
            "--out",
            &paths[2],
            "--samples",
            &samples,
            "--seed",
            "1",
        ])?;
        let path = to.join("attack.json");
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let record: Value = serde_json::from_str(&text).map_err(|err| err.to_string())?;
        let result = &record["result"];
        let count = result["samples"].as_f64().unwrap_or(1.0);
        let queries = result["queries"].as_f64().unwrap_or(0.0) / count;
        Ok(json!({
            "name": row.name,
            "network": row.network.preset(),
            "attack": row.attack,
            "found": to.join("adversarial.npz"),
            "cost": { "queries": queries, "seconds": result["seconds"] },
        }))
    }
}

/// What the script says to the rows.
fn asked(
    python: &Path,
    ours: &Ours,
    requests: &[Value],
    rows: &[&'static Row],
) -> Result<Vec<Answer>, String> {
    let work = json!({
        "oracles": ours.oracles,
        "mnist": ours.mnist,
        "rows": requests,
    });
    let file = ours.out.join("work.json");
    write(&file, &work.to_string())?;
    let mut command = Program::new(python);
    command.arg(root().join("tests/peers/strength.py")).arg(&file);
    command.env("TQDM_DISABLE", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    let mut script = command.stdout(Stdio::piped()).spawn().map_err(|err| err.to_string())?;
    let stdout = script.stdout.take().ok_or("the script has no output")?;
    let mut answers: Vec<Answer> =
        rows.iter().map(|&row| Answer { row, sides: BTreeMap::new() }).collect();
    for line in BufReader::new(stdout).lines() {
        let line = line.map_err(|err| err.to_string())?;
        // Tools print what they like to the same place.
        let Ok(said) = serde_json::from_str::<Value>(&line) else { continue };
        let (Some(row), Some(side)) = (said["row"].as_str(), said["side"].as_str()) else {
            continue;
        };
        if said["absent"] == true {
            continue;
        }
        eprintln!("{row}: {side}");
        let found = match said["error"].as_str() {
            Some(why) => Err(why.to_owned()),
            None => serde_json::from_value(said.clone()).map_err(|err| format!("{side}: {err}")),
        };
        let answer = answers.iter_mut().find(|answer| answer.row.name == row);
        answer.map(|answer| answer.sides.insert(side.to_owned(), found));
    }
    match script.wait() {
        Ok(status) if status.success() => Ok(answers),
        Ok(status) => Err(format!("tests/peers/strength.py: {status}; what it says is above")),
        Err(err) => Err(err.to_string()),
    }
}
