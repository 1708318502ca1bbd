//! Attacks whose threat is more than a ball, and what is told of a result besides its figures.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

mod common;

use std::fs;
use std::path::Path;

use common::{fails, succeeds, train};
use serde_json::Value;

fn record(folder: &Path, name: &str) -> Value {
    let path = folder.join(name).join("attack.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn threats_of_every_kind_are_asked_for_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    let attack = ["attack", "run", "--samples", "40"];
    let asked: [(&str, &[&str], f64); 3] = [
        ("universal", &["--eps", "0.2"], 0.2),
        ("patch", &["--eps", "16"], 16.0),
        ("universal_patch", &["--eps", "16", "--target", "3"], 16.0),
    ];
    for (name, flags, eps) in asked {
        let args = [&attack[..], &["--attack", name, "--out", name], flags].concat();
        let text = succeeds(folder, &args);
        assert!(text.contains("robust accuracy"), "{text}");
        let result = record(folder, name)["result"].clone();
        assert_eq!(result["epsilon"], eps);
        assert!(result["gradient_calls"].as_u64().unwrap() > 0, "{result}");
    }
    let text = succeeds(folder, &[&attack[..], &["--attack", "spatial"]].concat());
    assert!(text.contains("Spatial ±30°, ±3 px, 775 of 775"), "{text}");
    let spatial = record(folder, "run/attack-spatial-l2");
    assert!(spatial["result"].get("epsilon").is_none(), "{spatial}");
    assert!(spatial["result"]["success_rate"].as_f64().unwrap() > 0.3, "{spatial}");
    let budget = [&attack[..], &["--attack", "spatial", "--eps", "0.1"]].concat();
    fails(folder, &budget, &["no norm bounds spatial", "leave it out"]);
    let norm = [&attack[..], &["--attack", "patch", "--eps", "4", "--norm", "l2"]].concat();
    fails(folder, &norm, &["patch", "choose l0"]);
    let plan = ["evaluate", "run", "--eps", "0.1", "--attacks", "spatial", "--samples", "5"];
    fails(folder, &plan, &["no norm bounds spatial"]);
}

#[test]
fn training_can_rotate() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let config = "[train]\nepochs = 1\n[train.rule]\ntype = \"madry\"\nattack = { type = \"spatial\", \
                  pixels = 1.0, angles = 5, shifts = 3, random = 3 }\n[model]\npreset = \"mlp\"\n";
    fs::write(folder.join("run.toml"), config).unwrap();
    succeeds(folder, &["train", "--config", "run.toml", "--out", "run"]);
    let metrics = fs::read_to_string(folder.join("run/metrics.json")).unwrap();
    assert!(metrics.contains("robust_accuracy"), "{metrics}");
    let plan = "threat = { norm = \"linf\", eps = 0.1 }\nradii = []\nsamples = 5\n\
                attacks = [{ type = \"spatial\" }]\n";
    fs::write(folder.join("plan.toml"), plan).unwrap();
    fails(folder, &["evaluate", "run", "--config", "plan.toml"], &["has no budget", "minimal"]);
}

#[test]
fn autoattack_tells_what_each_member_left() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    let config = "type = \"autoattack\"\neps = 0.02\nsteps = 5\nqueries = 20\n";
    fs::write(folder.join("attack.toml"), config).unwrap();
    let args = ["attack", "run", "--config", "attack.toml", "--samples", "40", "--out", "aa"];
    let text = succeeds(folder, &args);
    assert!(text.contains("  APGD-CE-5") && text.contains("% left"), "{text}");
    let record = record(folder, "aa");
    let left: Vec<u64> =
        record["stages"].as_array().unwrap().iter().map(|s| s["left"].as_u64().unwrap()).collect();
    assert!(left.len() >= 2 && left.is_sorted_by(|a, b| a >= b), "{left:?}");
    let robust = record["result"]["robust_accuracy"].as_f64().unwrap();
    assert_eq!(*left.last().unwrap() as f64 / 40.0, robust);
    let saved = record["eight_bits"]["robust_accuracy"].as_f64().unwrap();
    assert!(saved >= robust && saved <= 1.0, "{saved} in 8 bits, {robust} in floats");
}
