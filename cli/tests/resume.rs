//! Runs that are killed or stopped, and go on: to the same bits, with the same epsilon.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{error_line, fails, inocula, names, succeeds};
use inocula_core::dp::accounting::{Accountant, Mechanism, Sampling};
use inocula_core::dp::ledger;
use inocula_core::rng::Rng;
use serde_json::Value;

const KILLS: usize = 55;

fn start(folder: &Path, flags: &str) -> Child {
    let args: Vec<&str> = flags.split(' ').collect();
    let mut command = inocula(folder, &args);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs `run` to its end with `more` flags; or goes on with it, if it was begun.
fn begin_or_resume(folder: &Path, flags: &str) -> Child {
    match folder.join("run/unfinished/config.toml").is_file() {
        true => start(folder, "train --resume --out run"),
        false => start(folder, flags),
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// Waits until the file changes its length, or for as long as a start may take.
fn wait_for_growth(path: &Path, child: &mut Child) {
    let (before, began) = (length(path), Instant::now());
    while length(path) == before && began.elapsed() < Duration::from_secs(60) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended by itself");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn metrics(folder: &Path, run: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(run).join("metrics.json")).unwrap()).unwrap()
}

fn weights(folder: &Path, run: &str) -> Vec<u8> {
    fs::read(folder.join(run).join("model.safetensors")).unwrap()
}

#[test]
fn killed_runs_come_to_the_same_bits() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let flags = "train --model mlp --epochs 30 --rule madry --eps 0.1 --attack pgd --steps 2 \
                 --optimizer momentum --lr 0.05 --checkpoint-every 0 --out";
    succeeds(folder, &format!("{flags} whole").split(' ').collect::<Vec<_>>());
    assert_eq!(names(&folder.join("whole")), FILES);
    let mut rng = Rng::new(5);
    let state = folder.join("run/unfinished/state.safetensors");
    for _ in 0..6 {
        let mut child = begin_or_resume(folder, &format!("{flags} run"));
        let began = Instant::now();
        while !state.is_file() && began.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(20 + rng.below(60) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    fails(folder, &["attack", "run", "--attack", "fgsm", "--eps", "0.1"], &["--resume --out run"]);
    assert!(begin_or_resume(folder, &format!("{flags} run")).wait().unwrap().success());
    assert!(weights(folder, "run") == weights(folder, "whole"), "other weights");
    assert_eq!(
        metrics(folder, "run")["training"]["history"],
        metrics(folder, "whole")["training"]["history"]
    );
    assert_eq!(names(&folder.join("run")), FILES);
}

const FILES: [&str; 4] = ["config.toml", "metrics.json", "model.safetensors", "model.toml"];

/// A private training that is killed at random points again and again: while it starts, draws, writes
/// its ledger or its state. No noisy step that it took is uncounted, and a kill adds one at most.
#[test]
fn whatever_is_killed_epsilon_counts_every_step() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let flags = "train --model logistic --epochs 20 --batch-size 32 --dp-sigma 2 --out run";
    let path = folder.join("run/unfinished/ledger");
    let mut rng = Rng::new(8);
    let mut kills = 0;
    while kills < KILLS {
        let mut child = begin_or_resume(folder, flags);
        match rng.bernoulli(0.8) {
            true => wait_for_growth(&path, &mut child),
            false => std::thread::sleep(Duration::from_micros(rng.below(30_000) as u64)),
        }
        std::thread::sleep(Duration::from_micros(rng.below(6000) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        let finished = folder.join("run/metrics.json").is_file();
        assert!(!finished, "{kills} kills were too few: it came to its end");
    }
    let recorded = ledger::read(&path).unwrap().steps();
    assert!(recorded > 10, "{recorded} steps in {kills} lives are too few to say anything");
    let output = begin_or_resume(folder, flags).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let budget = &metrics(folder, "run")["training"]["privacy"];
    let recorded = ledger::read(folder.join("run/ledger")).unwrap();
    let rate = budget["sampling_rate"].as_f64().unwrap();
    let taken = 20 * (1.0 / rate).ceil() as u64;
    let counted = budget["steps"].as_u64().unwrap();
    assert_eq!(counted, recorded.steps());
    assert!((taken..=taken + KILLS as u64).contains(&counted), "{counted} for {taken}");
    let epsilon = |steps| {
        let steps = [Mechanism::new(rate, 2.0, steps).unwrap()];
        let accountant = Accountant::named("pld").unwrap();
        accountant.spent(&steps, 1e-5, Sampling::Poisson).unwrap().epsilon
    };
    assert_eq!(budget["epsilon"].as_f64().unwrap(), epsilon(counted));
    assert!(!folder.join("run/unfinished").exists());
}

/// Stopped between two steps nothing is lost, so nothing counts twice.
#[test]
fn a_run_that_is_stopped_in_order_spends_no_more() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let flags = "train --model logistic --epochs 6 --batch-size 32 --dp-sigma 2 --out run";
    let path = folder.join("run/unfinished/ledger");
    for _ in 0..4 {
        let mut child = begin_or_resume(folder, flags);
        wait_for_growth(&path, &mut child);
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{text}");
        assert!(text.contains("go on with `inocula train --resume --out run`"), "{text}");
    }
    assert!(begin_or_resume(folder, flags).wait().unwrap().success());
    let budget = &metrics(folder, "run")["training"]["privacy"];
    let rate = budget["sampling_rate"].as_f64().unwrap();
    assert_eq!(budget["steps"].as_u64().unwrap(), 6 * (1.0 / rate).ceil() as u64);
    assert_eq!(budget["warnings"], Value::Null, "{budget}");
    let recorded = succeeds(folder, &["dp", "ledger", "run/ledger", "--json"]);
    let recorded: Value = serde_json::from_str(&recorded).unwrap();
    assert_eq!(recorded["epsilon"], budget["epsilon"]);
}

#[test]
fn an_unfinished_run_is_neither_overwritten_nor_mistaken() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let flags = "train --model logistic --epochs 400 --dp-sigma 2 --out run";
    let mut child = start(folder, flags);
    wait_for_growth(&folder.join("run/unfinished/ledger"), &mut child);
    // While it runs, nobody else may.
    let resume = ["train", "--resume", "--out", "run"];
    fails(folder, &resume, &["another process"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = fs::read(folder.join("run/unfinished/ledger")).unwrap();
    let args: Vec<&str> = flags.split(' ').collect();
    fails(folder, &args, &["unfinished run", "--resume", "--force"]);
    for (more, parts) in [
        (&["--epochs", "3"][..], ["another configuration", "--out"]),
        (&["--force"], ["--force", "--resume"]),
        (&["--checkpoint-every", "-1"], ["--checkpoint-every", "seconds"]),
    ] {
        fails(folder, &[&resume, more].concat(), &parts);
    }
    fails(
        folder,
        &["evaluate", "run", "--eps", "0.1", "--out", "report"],
        &["not finished", "--resume"],
    );
    assert_eq!(fs::read(folder.join("run/unfinished/ledger")).unwrap(), before);
    // Its weights are gone, its steps are not: that cannot be taken up.
    fs::remove_file(folder.join("run/unfinished/state.safetensors")).unwrap();
    fails(folder, &resume, &["state.safetensors", "ledger"]);
    // To start anew has to be asked for.
    let fresh = "train --model logistic --epochs 1 --out run --force";
    succeeds(folder, &fresh.split(' ').collect::<Vec<_>>());
    assert_eq!(names(&folder.join("run")), FILES);
    fails(folder, &resume, &["finished", "without --resume"]);
    let output = inocula(folder, &["train", "--resume", "--out", "nothing"]).output().unwrap();
    assert!(error_line(&output).contains("no unfinished run"));
    assert!(!folder.join("nothing").exists());
}

/// Every file of the unfinished run, with its bytes.
fn kept(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let unfinished = folder.join("run/unfinished");
    let file = |name: String| {
        let bytes = fs::read(unfinished.join(&name)).unwrap();
        (name, bytes)
    };
    names(&unfinished).into_iter().map(file).collect()
}

/// Epsilon counts what the ledger has, so a ledger that lost steps must not be gone on with.
#[test]
fn a_ledger_that_lost_steps_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let flags = "train --model logistic --epochs 20 --batch-size 32 --dp-sigma 2 --out run";
    let path = folder.join("run/unfinished/ledger");
    let mut child = start(folder, flags);
    while length(&path) < 14 * RECORD {
        wait_for_growth(&path, &mut child);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let resume = ["train", "--resume", "--out", "run"];
    let whole = fs::read(&path).unwrap();
    let recorded = ledger::read(&path).unwrap().steps();

    // The state is behind the ledger by one step at most, so without two of them it knows of more.
    for (records, part) in [(recorded - 2, "has"), (9, "has 9 of them"), (0, "has 0 of them")] {
        let length = (records + 1) * RECORD;
        fs::write(&path, &whole[..usize::try_from(length).unwrap()]).unwrap();
        refused(folder, &resume, part);
    }
    fs::write(&path, "").unwrap();
    refused(folder, &resume, "has no steps");
    fs::remove_file(&path).unwrap();
    refused(folder, &resume, "is missing");
    assert!(!path.exists());

    // Of another run with the same terms, which did a step again.
    fs::write(&path, &whole[..usize::try_from(2 * RECORD).unwrap()]).unwrap();
    let mut other = ledger::Ledger::open(&path).unwrap();
    let first = other.contents().entries[0];
    (0..2 * recorded).for_each(|_| other.append(first).unwrap());
    drop(other);
    refused(folder, &resume, "as they were");

    // As it was left, it is gone on with.
    fs::write(&path, &whole).unwrap();
    succeeds(folder, &resume);
    let budget = &metrics(folder, "run")["training"]["privacy"];
    let taken = 20 * (1.0 / budget["sampling_rate"].as_f64().unwrap()).ceil() as u64;
    let counted = budget["steps"].as_u64().unwrap();
    assert!((taken..=taken + 1).contains(&counted), "{counted} for {taken}");
    assert_eq!(counted, ledger::read(folder.join("run/ledger")).unwrap().steps());
}

/// Bytes of a record, and of the header.
const RECORD: u64 = 64;

/// Resuming must fail because of the ledger, and leave everything as it is.
fn refused(folder: &Path, resume: &[&str], part: &str) {
    let before = kept(folder);
    fails(folder, resume, &["unfinished/ledger", "noisy steps", part, "under-counted", "--force"]);
    assert!(kept(folder) == before, "{part}: files were changed");
}
