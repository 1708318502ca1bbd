//! `inocula certify` and the rule that trains for it, as a user runs them.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

mod common;

use std::fs;
use std::path::Path;

use common::{fails, succeeds};
use serde_json::Value;

fn record(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("certificate.json")).unwrap()).unwrap()
}

fn train(folder: &Path, out: &str, flags: &str) {
    let flags: Vec<&str> = flags.split(' ').collect();
    succeeds(folder, &[&["train", "--out", out], &flags[..]].concat());
}

#[test]
fn a_certificate_says_how_it_was_made() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let flags = "--model mlp --epochs 4 --rule certified --eps 0.03 --crown true --clean 0.25";
    train(folder, "run", flags);
    let config = fs::read_to_string(folder.join("run/config.toml")).unwrap();
    for part in ["type = \"certified\"", "crown = true", "clean = 0.25", "ramp = ["] {
        assert!(config.contains(part), "{part} in {config}");
    }
    let mut certified = Vec::new();
    for method in ["interval", "crown_ibp", "crown"] {
        let args = ["certify", "run", "--method", method, "--eps", "0.02", "--samples", "80"];
        let text = succeeds(folder, &args);
        assert!(text.contains("certified accuracy") && text.contains("linf 0.02"), "{text}");
        let record = record(&folder.join(format!("run/certify-{method}-0.02")));
        assert_eq!(record["method"], method);
        assert_eq!(record["rows"].as_array().unwrap().len(), 80);
        certified.push(record["certified"].as_u64().unwrap());
        assert!(record["certified"].as_u64() <= record["correct"].as_u64());
    }
    assert!(certified[0] > 0 && certified[1] <= certified[2], "{certified:?}");
    let smoothing = ["certify", "run", "--method", "smoothing", "--sigma", "0.1", "--draws", "500"];
    succeeds(folder, &[&smoothing[..], &["--eps", "0.05", "--samples", "10"]].concat());
    let record = record(&folder.join("run/certify-smoothing-0.05"));
    assert_eq!((&record["norm"], &record["smoothing"]["estimation"]), (&"l2".into(), &500.into()));
}

#[test]
fn mistakes_are_named_and_write_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", "--model small-cnn --epochs 1");
    let base = ["certify", "run", "--out", "found"];
    for (flags, words) in [
        ("--eps -1", ["--eps", "-1"]),
        ("--eps 0.1 --method croon", ["croon", "crown_ibp"]),
        ("--eps 0.1 --sigma 0.5", ["--sigma", "smoothing"]),
        ("--eps 0.1 --method smoothing", ["--sigma", "noise"]),
        ("--eps 0.1 --method smoothing --sigma 0", ["sigma", "positive"]),
        ("--eps 0.1 --samples 0", ["--samples", "nothing"]),
        // The network has a max-pool.
        ("--eps 0.1 --method crown", ["max_pool2d", "interval"]),
    ] {
        let flags: Vec<&str> = flags.split(' ').collect();
        fails(folder, &[&base[..], &flags].concat(), &words);
        assert!(!folder.join("found").join("certificate.json").exists());
    }
    let sample = ["train", "--rule", "madry", "--eps", "0.1", "--crown", "true", "--out", "other"];
    fails(folder, &sample, &["--crown", "certified"]);
}
