//! `inocula federate simulate`: what a federation leaves, how it goes on, and what bad arguments get.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{fails, inocula, names, succeeds};
use inocula_core::dp::ledger;
use serde_json::Value;

/// A small federation with more flags; what it printed.
fn simulate(folder: &Path, name: &str, flags: &str) -> String {
    let usual = ["federate", "simulate", "--model", "logistic", "--clients", "5", "--out", name];
    let more: Vec<&str> = flags.split_whitespace().collect();
    succeeds(folder, &[&usual[..], &more].concat())
}

fn metrics(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(name).join("metrics.json")).unwrap()).unwrap()
}

fn weights(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name).join("model.safetensors")).unwrap()
}

#[test]
fn a_federation_learns_and_its_folder_is_a_run() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let flags = "--rounds 6 --epochs 3 --batch-size 8 --partition dirichlet --alpha 5 --attack \
                 fgsm --eps 0.05";
    let text = simulate(folder, "run", &format!("{flags} --jobs 1"));
    assert!(text.contains("FedAvg") && text.contains("dirichlet 5"), "{text}");
    assert_eq!(
        names(&folder.join("run")),
        ["config.toml", "metrics.json", "model.safetensors", "model.toml"]
    );
    let metrics = metrics(folder, "run");
    assert!(metrics["test"]["accuracy"].as_f64().unwrap() > 0.85, "{}", metrics["test"]);
    let rounds = metrics["federation"]["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 6);
    let last = &rounds[5];
    assert_eq!(last["clean_accuracy"], metrics["test"]["accuracy"]);
    assert!(last["robust_accuracy"].as_f64() < last["clean_accuracy"].as_f64(), "{last}");
    // The other commands take it, and its configuration repeats it with any number of jobs.
    succeeds(folder, &["attack", "run", "--attack", "fgsm", "--eps", "0.1", "--samples", "20"]);
    let again =
        ["federate", "simulate", "--config", "run/config.toml", "--jobs", "3", "--out", "same"];
    succeeds(folder, &again);
    assert!(weights(folder, "run") == weights(folder, "same"), "other weights with three jobs");
    fails(folder, &["train", "--config", "run/config.toml", "--out", "t"], &["federate simulate"]);
}

#[test]
fn a_killed_federation_goes_on_to_the_same_bits() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let flags = "federate simulate --model mlp --clients 6 --rounds 12 --epochs 2 --dropout 0.2 \
                 --server fedadam --jobs 2 --out";
    let args = |name: &str| -> Vec<String> {
        flags.split_whitespace().chain([name]).map(str::to_owned).collect()
    };
    let start = |args: &[String]| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = inocula(folder, &args);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    assert!(start(&args("whole")).wait().unwrap().success());
    let mut child = start(&args("run"));
    let state = folder.join("run/unfinished/federation.safetensors");
    let began = Instant::now();
    while !state.is_file() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(30));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.join("run/metrics.json").exists(), "it came to its end before it was killed");
    fails(folder, &args("run").iter().map(String::as_str).collect::<Vec<_>>(), &["--resume"]);
    fails(folder, &["train", "--resume", "--out", "run"], &["federate simulate --resume"]);
    let other = ["federate", "simulate", "--resume", "--rounds", "3", "--out", "run"];
    fails(folder, &other, &["another configuration"]);
    succeeds(folder, &["federate", "simulate", "--resume", "--jobs", "1", "--out", "run"]);
    assert!(weights(folder, "run") == weights(folder, "whole"), "other weights");
    assert!(!folder.join("run/unfinished").exists());
    fails(folder, &["federate", "simulate", "--resume", "--out", "run"], &["it is finished"]);
}

#[test]
fn private_federations_leave_ledgers() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let text = simulate(folder, "clients", "--rounds 3 --per-round 2 --client-dp-sigma 1.5");
    assert!(text.contains("one client added or removed"), "{text}");
    let budget = &metrics(folder, "clients")["training"]["privacy"];
    assert_eq!(ledger::read(folder.join("clients/ledger")).unwrap().steps(), 3);
    assert_eq!((&budget["steps"], &budget["sampling_rate"]), (&3.into(), &0.4.into()));
    let recorded = succeeds(folder, &["dp", "ledger", "clients/ledger", "--json"]);
    let recorded: Value = serde_json::from_str(&recorded).unwrap();
    assert_eq!(recorded["epsilon"], budget["epsilon"]);
    // In the clients: a ledger for each.
    let text = simulate(folder, "samples", "--rounds 2 --dp-sigma 1.5 --batch-size 16");
    assert!(text.contains("claimed for the samples of each of 5 clients"), "{text}");
    assert_eq!(names(&folder.join("samples/ledgers")).len(), 5);
    let metrics = metrics(folder, "samples");
    assert_eq!(metrics["federation"]["clients"].as_array().unwrap().len(), 5);
    let text =
        simulate(folder, "hidden", "--rounds 2 --secure --client-dp-sigma 1 --client-dp-seeded");
    assert!(text.contains("warning: not private"), "{text}");
}

#[test]
fn bad_input_is_named_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let cases: [(&str, &[&str]); 22] = [
        ("--clients 0", &["clients = 0"]),
        ("--rounds 0", &["rounds = 0"]),
        ("--clients 5 --per-round 6", &["per_round = 6", "1..=5"]),
        ("--clients 5 --server krum --byzantine 2", &["n >= 2 f + 3", "at least 7"]),
        ("--clients 5 --server bulyan", &["n >= 4 f + 3", "at least 7"]),
        ("--clients 4 --server trimmed_mean --byzantine 2", &["n >= 2 f + 1"]),
        ("--server krumm", &["did you mean krum?"]),
        ("--server median --byzantine 1", &["Byzantine", "choose"]),
        ("--partition dirichlett", &["iid, dirichlet, dirichlet_by_class"]),
        ("--partition dirichlet --alpha 0", &["alpha = 0"]),
        ("--alpha 0.1", &["--alpha", "--partition"]),
        ("--attackers 2", &["--attacker NAME"]),
        ("--attacker gaussian", &["--attackers COUNT"]),
        ("--attackers 2 --attacker signflip", &["did you mean sign_flip?"]),
        ("--dropout 1", &["dropout = 1"]),
        ("--late partial", &["--stragglers"]),
        ("--client-dp-clip 1", &["how much noise?"]),
        ("--client-dp-sigma 1 --server median", &["choose the mean"]),
        ("--secure --server krum", &["nothing but a sum"]),
        ("--dp-epsilon 3", &["noise_multiplier", "calibrate"]),
        ("--jobs 0", &["--jobs 0"]),
        ("--clients 5000", &["5000 clients", "training samples"]),
    ];
    for (flags, parts) in cases {
        let usual = ["federate", "simulate", "--model", "logistic", "--out", "run"];
        let more: Vec<&str> = flags.split_whitespace().collect();
        fails(folder, &[&usual[..], &more].concat(), parts);
        assert!(!folder.join("run").exists(), "{flags}");
    }
    // What only the network tells: nothing is left to go on with.
    let far = ["federate", "simulate", "--model", "logistic", "--attack", "fgsm", "--eps", "500"];
    fails(folder, &[&far[..], &["--out", "run"]].concat(), &["eps = 500"]);
    assert!(!folder.join("run").exists());
    // Nor does it cost what was there.
    let unfinished = folder.join("before/unfinished");
    fs::create_dir_all(&unfinished).unwrap();
    fs::write(unfinished.join("ledger"), "of an earlier run").unwrap();
    for flags in ["--client-dp-sigma 1e-200", "--dp-sigma 1e-200"] {
        let usual = ["federate", "simulate", "--model", "logistic", "--force", "--out", "before"];
        let more: Vec<&str> = flags.split_whitespace().collect();
        fails(folder, &[&usual[..], &more].concat(), &["no finite epsilon"]);
        assert_eq!(fs::read_to_string(unfinished.join("ledger")).unwrap(), "of an earlier run");
    }
    fs::write(folder.join("f.toml"), "[federation]\nclient = 3\n").unwrap();
    let args = ["federate", "simulate", "--config", "f.toml", "--out", "run"];
    fails(folder, &args, &["f.toml:2", "did you mean clients?"]);
}

/// Rounds whose ledger is gone would cost nothing, so they are not gone on with.
#[test]
fn a_federation_whose_ledger_lost_rounds_is_refused() {
    const RECORD: u64 = 64;
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let flags = "federate simulate --model logistic --clients 5 --rounds 20000 \
                 --client-dp-sigma 1.5 --out run";
    let mut command = inocula(folder, &flags.split_whitespace().collect::<Vec<_>>());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let path = folder.join("run/unfinished/ledger");
    let began = Instant::now();
    while fs::metadata(&path).map_or(0, |m| m.len()) < 6 * RECORD {
        assert!(child.try_wait().unwrap().is_none(), "the federation ended by itself");
        assert!(began.elapsed() < Duration::from_secs(60), "it took no five rounds in a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let resume = ["federate", "simulate", "--resume", "--out", "run"];
    let whole = fs::read(&path).unwrap();
    let state = || fs::read(folder.join("run/unfinished/federation.safetensors")).unwrap();
    let before = state();
    // Two rounds where at least four were taken.
    let short = &whole[..usize::try_from(3 * RECORD).unwrap()];
    fs::write(&path, short).unwrap();
    fails(folder, &resume, &["unfinished/ledger", "2 noisy rounds", "restore"]);
    assert_eq!(fs::read(&path).unwrap(), short);
    fs::write(&path, "").unwrap();
    fails(folder, &resume, &["unfinished/ledger", "under-counted", "--force"]);
    assert_eq!(fs::read(&path).unwrap(), b"");
    fs::remove_file(&path).unwrap();
    fails(folder, &resume, &["unfinished/ledger", "under-counted", "--force"]);
    assert!(!path.exists() && state() == before);
}
