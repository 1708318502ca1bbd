//! What is asked for: suites, sides, rounds. Mistakes are found here, before anything is built.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches};

use super::agree::Tolerance;
use super::measure::Part;
use super::results::Results;

/// The suites, in the order of the report.
pub(super) const SUITES: &[&str] = &["ops", "attacks", "train", "dp", "overhead", "growth"];

/// Suites that are measured only where they are named: they take longer than all others.
const BY_NAME: &[&str] = &["growth"];

/// The suite of what is not arithmetic.
pub(super) const OVERHEAD: &str = "overhead";

/// Whose results are taken to be right.
pub(super) const REFERENCE: &str = "ndarray";

/// Backends that are measured unless the user says which.
const USUAL: &[&str] = &[REFERENCE, "tch", "burn"];

/// Fewer rounds say little about the middle of the times of two tools.
const PEER_ROUNDS: usize = 7;

/// A row to be measured.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) suite: String,
    pub(super) name: String,
    pub(super) flops: f64,
    pub(super) tolerance: Tolerance,
}

/// A backend to be measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    /// Name in the tables.
    pub(super) name: String,
    /// Device spec, or path of a plugin.
    pub(super) spec: String,
    pub(super) part: Part,
}

impl Wanted {
    pub(super) fn new(spec: &str, part: Part) -> Self {
        Wanted { name: name_of(spec), spec: spec.into(), part }
    }

    /// Name of the backend, or the path of its library.
    pub(super) fn backend(&self) -> &str {
        self.spec.split([':', '?']).next().unwrap_or_default()
    }
}

/// What the user asked for.
pub(super) struct Options {
    pub(super) suites: Vec<&'static str>,
    pub(super) backends: Vec<Wanted>,
    /// Whether the user named the backends: then each must open.
    pub(super) named: bool,
    /// Part of the names of the rows that are measured.
    pub(super) row: String,
    pub(super) baseline: Option<Results>,
    pub(super) peers: bool,
    pub(super) smoke: bool,
    pub(super) rounds: usize,
    pub(super) threads: usize,
    pub(super) out: Option<PathBuf>,
}

/// The arguments of the command.
pub(super) fn arguments(command: clap::Command) -> clap::Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    command
        .arg(
            option(
                "suite",
                "SUITES",
                "ops, attacks, train, dp, overhead, growth, or several of them; all but growth",
            )
            .default_value("all"),
        )
        .arg(option(
            "backends",
            "SPECS",
            "Device specs or paths of plugins, with commas between \
            them [default: ndarray, tch, burn, as far as they can be opened]",
        ))
        .arg(option("row", "TEXT", "Only rows whose name has this in it").default_value(""))
        .arg(option("baseline", "FILE", "Compare with the bench.json of an earlier run"))
        .arg(flag("peers", "Also measure PyTorch, torchattacks, Foolbox, ART and Opacus"))
        .arg(flag("smoke", "Small sizes in the development build: only shows that it runs"))
        .arg(option("rounds", "N", "Rounds of each row [default: 7, or 2 with --smoke]"))
        .arg(option("threads", "N", "Threads of each side").default_value("2"))
        .arg(option("out", "FOLDER", "Where the report goes [default: bench in the target folder]"))
}

impl Options {
    /// Reads and checks the arguments.
    ///
    /// # Errors
    /// In one line, what is wrong with which.
    pub(super) fn of(args: &ArgMatches) -> Result<Self, String> {
        let text = |name: &str| args.get_one::<String>(name).map(String::as_str);
        let smoke = args.get_flag("smoke");
        let peers = args.get_flag("peers");
        let baseline = text("baseline").map(|path| Results::read(Path::new(path))).transpose()?;
        if let Some(baseline) = &baseline
            && baseline.smoke != smoke
        {
            let is = if baseline.smoke { "was" } else { "was not" };
            return Err(format!("the baseline {is} made with --smoke; compare like with like"));
        }
        let rounds = match text("rounds") {
            Some(n) => count("--rounds", n)?,
            None if smoke => 2,
            None => PEER_ROUNDS,
        };
        if peers && !smoke && rounds < PEER_ROUNDS {
            return Err(format!(
                "--rounds {rounds}: with --peers at least {PEER_ROUNDS} are needed"
            ));
        }
        Ok(Options {
            suites: suites(text("suite").unwrap_or("all"))?,
            backends: backends(text("backends"))?,
            named: text("backends").is_some(),
            row: text("row").unwrap_or_default().into(),
            baseline,
            peers,
            smoke,
            rounds,
            threads: count("--threads", text("threads").unwrap_or("2"))?,
            out: text("out").map(PathBuf::from),
        })
    }

    /// The rows to be measured, of those that there are.
    ///
    /// # Errors
    /// None is left, or one is of a suite that this program does not know.
    pub(super) fn choose(&self, rows: Vec<Task>) -> Result<Vec<Task>, String> {
        if let Some(odd) = rows.iter().find(|r| !SUITES.contains(&r.suite.as_str())) {
            return Err(format!(
                "row {:?} is of suite {:?}, add it to SUITES",
                odd.name, odd.suite
            ));
        }
        let chosen =
            |r: &Task| self.suites.contains(&r.suite.as_str()) && r.name.contains(&self.row);
        let mut tasks: Vec<Task> = rows.into_iter().filter(chosen).collect();
        if tasks.is_empty() {
            let suites = self.suites.join(", ");
            return Err(format!("no row of {suites} has {:?} in its name", self.row));
        }
        tasks.sort_by_key(|task| SUITES.iter().position(|suite| *suite == task.suite));
        Ok(tasks)
    }
}

fn count(what: &str, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("{what} {text} must be a whole number of at least 1")),
    }
}

fn suites(list: &str) -> Result<Vec<&'static str>, String> {
    let mut chosen = Vec::new();
    for name in list.split(',').map(str::trim) {
        match SUITES.iter().find(|suite| **suite == name) {
            Some(suite) => chosen.push(*suite),
            None if name == "all" => chosen.extend(SUITES.iter().filter(|s| !BY_NAME.contains(s))),
            None => {
                let all = SUITES.join(", ");
                return Err(format!("there is no suite {name:?}; there are {all}, and all"));
            }
        }
    }
    chosen.dedup();
    Ok(chosen)
}

fn backends(list: Option<&str>) -> Result<Vec<Wanted>, String> {
    let specs: Vec<&str> = match list {
        None => USUAL.to_vec(),
        Some(list) => list.split(',').map(str::trim).collect(),
    };
    let wanted: Vec<Wanted> = specs.iter().map(|s| Wanted::new(s, Part::Everywhere)).collect();
    for (i, one) in wanted.iter().enumerate() {
        if one.spec.is_empty() {
            return Err("--backends has an empty spec; write for example ndarray,tch:cuda:0".into());
        }
        if wanted[..i].iter().any(|other| other.name == one.name) {
            return Err(format!("--backends names {} twice", one.name));
        }
    }
    Ok(wanted)
}

/// Name in the tables: the spec, or of a plugin's path `ndarray@plugin`.
fn name_of(spec: &str) -> String {
    let (place, options) = spec.split_at(spec.find('?').unwrap_or(spec.len()));
    if !place.contains(['/', '\\']) {
        return spec.to_owned();
    }
    let stem = Path::new(place).file_stem().unwrap_or_default().to_string_lossy();
    let stem = stem.strip_prefix("lib").unwrap_or(&stem);
    format!("{}@plugin{options}", stem.strip_prefix("inocula_backend_").unwrap_or(stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> Result<Options, String> {
        let command = arguments(clap::Command::new("bench"));
        let args = ["bench"].iter().chain(args);
        Options::of(&command.try_get_matches_from(args).unwrap())
    }

    fn refusal(args: &[&str]) -> String {
        let why = options(args).err().unwrap();
        assert_eq!(why.lines().count(), 1, "{why}");
        why
    }

    #[test]
    fn all_suites_and_the_usual_backends_unless_told_otherwise() {
        let usual = options(&[]).unwrap();
        let but_growth = &SUITES[..SUITES.len() - 1];
        assert_eq!((usual.suites.as_slice(), usual.rounds, usual.threads), (but_growth, 7, 2));
        assert_eq!(usual.backends[0].name, REFERENCE);
        assert!(!usual.named && !usual.smoke && !usual.peers);
        let chosen = options(&["--suite", "train,ops", "--backends", "tch:cuda:0", "--smoke"]);
        let chosen = chosen.unwrap();
        assert_eq!((chosen.suites.as_slice(), chosen.rounds), (&["train", "ops"][..], 2));
        assert!(chosen.named);
    }

    #[test]
    fn mistakes_are_one_line() {
        assert_eq!(
            refusal(&["--suite", "opz"]),
            "there is no suite \"opz\"; there are ops, attacks, train, dp, overhead, growth, and all"
        );
        assert!(refusal(&["--backends", "tch,,burn"]).contains("an empty spec"));
        assert!(refusal(&["--backends", "tch,tch"]).contains("tch twice"));
        assert!(refusal(&["--rounds", "0"]).contains("at least 1"));
        assert!(refusal(&["--threads", "two"]).contains("--threads two"));
        assert!(refusal(&["--peers", "--rounds", "3"]).contains("at least 7"));
        assert!(refusal(&["--baseline", "no/such/file"]).starts_with("no/such/file: "));
    }

    #[test]
    fn plugins_are_named_after_their_files() {
        for (spec, name) in [
            ("ndarray?threads=1", "ndarray?threads=1"),
            ("tch:cuda:0", "tch:cuda:0"),
            ("/x/libinocula_backend_ndarray.so", "ndarray@plugin"),
            ("./libmine.dylib?threads=1", "mine@plugin?threads=1"),
        ] {
            assert_eq!(name_of(spec), name);
        }
    }

    #[test]
    fn rows_are_chosen_by_suite_and_name() {
        let tolerance = Tolerance { relative: 0.0, outliers: 0.0 };
        let task = |suite: &str, name: &str| {
            let (suite, name) = (suite.into(), name.into());
            Task { suite, name, flops: 0.0, tolerance }
        };
        let rows = || vec![task("dp", "sum"), task("ops", "sum 1M"), task("ops", "add")];
        let names = |args: &[&str]| -> Result<Vec<String>, String> {
            Ok(options(args)?.choose(rows())?.into_iter().map(|t| t.name).collect())
        };
        assert_eq!(names(&["--row", "sum"]).unwrap(), ["sum 1M", "sum"]);
        assert_eq!(names(&["--suite", "dp"]).unwrap(), ["sum"]);
        assert!(names(&["--row", "mul"]).unwrap_err().contains("has \"mul\" in its name"));
        let odd = options(&[]).unwrap().choose(vec![task("more", "x")]).unwrap_err();
        assert!(odd.contains("add it to SUITES"), "{odd}");
    }
}
