//! `inocula audit membership` and `inocula audit exposure`, as a user runs them.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{fails, inocula, names, succeeds, train};
use serde_json::Value;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn audit(flags: &str) -> Vec<&str> {
    "audit membership run".split(' ').chain(flags.split_whitespace()).collect()
}

#[test]
fn an_audit_is_taken_up_by_the_evaluation_of_the_same_weights() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    let flags = "--attacks thresholds,class_thresholds,lira,rmia --shadows 4 --members 300";
    let text = succeeds(folder, &audit(flags));
    for part in [
        "300 members, 288 non-members, 71 of a population",
        "4 shadow models of 898 samples",
        "LiRA online, variance per example",
        "95 % interval",
        "TPR at 0.1 % FPR refused: with 288 non-members",
        "thresholds learnt on the shadow models",
        "Written: run/membership.json",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("private"), "{text}");
    let found = json(&folder.join("run/membership.json"));
    let attacks = found["attacks"].as_array().unwrap();
    assert_eq!(attacks.len(), 4 + 4 + 6 + 2);
    assert!(attacks.iter().all(|a| a["auc_interval"]["low"].is_number()), "{found}");

    // The same again from the files, whatever the jobs: the same figures.
    let again = format!("{flags} --jobs 1 --force");
    succeeds(folder, &audit(&again));
    let second = json(&folder.join("run/membership.json"));
    assert_eq!(found["attacks"], second["attacks"]);
    fails(folder, &audit(flags), &["membership.json", "--force"]);

    let evaluate = ["evaluate", "run", "--eps", "0.1", "--samples", "20", "--attacks", "fgsm"];
    succeeds(folder, &[&evaluate[..], &["--out", "report"]].concat());
    let report = json(&folder.join("report/report.json"));
    let listed = report["models"][0]["membership"].as_array().unwrap();
    assert!(listed.iter().any(|a| a["attack"] == "RMIA offline"), "{listed:?}");
    assert!(listed.iter().any(|a| a["attack"] == "loss threshold at PGD-10 L∞ 0.1"));

    // Of other weights it is left out, and said so.
    train(folder, "run", &["--lr", "0.1", "--force"]);
    succeeds(folder, &[&evaluate[..], &["--out", "second"]].concat());
    let report = json(&folder.join("second/report.json"));
    let listed = report["models"][0]["membership"].as_array().unwrap();
    assert!(listed.iter().all(|a| a["attack"] != "RMIA offline"));
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("membership.json is about other weights"), "{warnings}");
    // Its shadow models are of another training.
    fails(folder, &audit(&again), &["shadow-0000", "another configuration"]);
}

#[test]
fn ctrl_c_keeps_finished_shadow_models() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    let flags = "--attacks lira --shadows 4000 --jobs 2";
    let child = inocula(folder, &audit(flags)).stderr(Stdio::piped()).spawn().unwrap();
    let shadows = folder.join("run/shadows");
    let started = Instant::now();
    while names(&shadows).len() < 2 && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("finished shadow models are kept"), "{text}");
    let left = names(&shadows);
    assert!(left.len() >= 2 && left.iter().all(|n| n.starts_with("shadow-")), "{left:?}");
    assert!(!folder.join("run/membership.json").exists());
}

#[test]
fn bad_arguments_are_told_apart() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    for (flags, parts) in [
        ("--attacks lyra", &["lyra", "did you mean lira?"][..]),
        ("--attacks robust", &["--eps"]),
        ("--attacks lira --shadows 5", &["even number"]),
        ("--attacks lira --jobs 0", &["--jobs 0"]),
        ("--attacks thresholds --members 9999", &["9999", "no more than there are"]),
        ("--attacks rmia --population 0", &["population is empty"]),
        ("--attacks robust --eps -1", &["eps"]),
    ] {
        fails(folder, &audit(flags), parts);
        assert!(!folder.join("run/membership.json").exists(), "{flags}");
    }
    fails(folder, &["audit", "membership", "nosuch"], &["nosuch", "metrics.json"]);
    let exposure = |flags: &'static str| {
        "audit exposure run".split(' ').chain(flags.split(' ')).collect::<Vec<_>>()
    };
    for (flags, parts) in [
        ("--digits 0", &["0 digits"][..]),
        ("--digits 7 --encoding one-hot", &["features 0 to 70", "64"]),
        ("--encoding words", &["words", "one-hot, level"]),
        ("--canaries 0", &["--canaries 0"]),
        ("--sampled 0", &["--sampled 0"]),
    ] {
        fails(folder, &exposure(flags), parts);
    }
}

#[test]
fn exposure_is_reported_against_chance() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    let args = ["audit", "exposure", "run", "--digits", "2", "--canaries", "4", "--controls", "4"];
    let text = succeeds(folder, &args);
    for part in [
        "ranked among all 100", // log2 100 - log2(100!) / 100.
        "a model that knows nothing gives 1.40",
        "p <= ",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let found = json(&folder.join("run/exposure.json"));
    assert_eq!(found["inserted"]["each"].as_array().unwrap().len(), 4);
    assert_eq!(found["field"]["encoding"], "one-hot");
    fails(folder, &args, &["exposure.json", "--force"]);
}
