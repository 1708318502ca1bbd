//! `inocula train --dp-...`: what a private run leaves, and what bad arguments get.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

mod common;

use std::fs;
use std::path::Path;

use common::{fails, names, succeeds};
use serde_json::Value;

/// A small private run with more flags.
fn private(folder: &Path, name: &str, flags: &str) -> String {
    let usual = ["train", "--model", "logistic", "--epochs", "2", "--out", name];
    let more: Vec<&str> = flags.split_whitespace().collect();
    succeeds(folder, &[&usual[..], &more].concat())
}

fn metrics(folder: &Path, name: &str) -> Value {
    let text = fs::read_to_string(folder.join(name).join("metrics.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_guarantee_is_recorded_with_its_grounds() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let text = private(folder, "run", "--dp-sigma 1.5 --dp-clip 0.7 --dp-micro-batch 50");
    assert!(text.contains("claimed epsilon ") && text.contains("poisson"), "{text}");
    assert!(!text.contains("not private"), "{text}");
    let metrics = metrics(folder, "run");
    let training = &metrics["training"];
    let budget = &training["privacy"];
    let epsilon = budget["epsilon"].as_f64().unwrap();
    assert!(epsilon > 0.0 && epsilon <= budget["rdp_epsilon"].as_f64().unwrap(), "{budget}");
    for (key, value) in [
        ("accountant", "pld"),
        ("neighbours", "one sample added or removed"),
        ("sampling", "poisson"),
        ("accounted_as", "poisson"),
        ("clipping", "flat"),
    ] {
        assert_eq!(budget[key], value, "{budget}");
    }
    assert_eq!((&budget["clipping_norm"], &budget["noise_multiplier"]), (&0.7.into(), &1.5.into()));
    assert_eq!(budget["delta"], 1e-5);
    for record in training["history"].as_array().unwrap() {
        assert!(record.get("loss").is_none() && record["epsilon"].is_f64(), "{record}");
    }
    // The same by the command that accounts.
    let args = format!(
        "dp epsilon --sampling-rate {} --noise-multiplier 1.5 --steps {} --delta 1e-5 --json",
        budget["sampling_rate"], budget["steps"]
    );
    let args: Vec<&str> = args.split(' ').collect();
    let told: Value = serde_json::from_str(&succeeds(folder, &args)).unwrap();
    assert_eq!(told["epsilon"], budget["epsilon"]);
    // Nobody can repeat the noise.
    succeeds(folder, &["train", "--config", "run/config.toml", "--out", "again"]);
    let weights = |name: &str| fs::read(folder.join(name).join("model.safetensors")).unwrap();
    assert_ne!(weights("run"), weights("again"));
    // Unless it was asked for, which has to be said.
    let text = private(folder, "seeded", "--dp-sigma 1.5 --dp-seeded");
    assert!(text.contains("warning: not private"), "{text}");
    succeeds(folder, &["train", "--config", "seeded/config.toml", "--out", "same"]);
    assert_eq!(weights("seeded"), weights("same"));
}

#[test]
fn a_file_says_more_and_flags_override_it() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let text = "[train.private]\nnoise_multiplier = 2.0\naverage = 0.9\n\
                schedule = { type = \"exponential\", factor = 0.5 }\n\
                clipping = { type = \"quantile\", bound = 0.5, quantile = 0.3 }\n";
    fs::write(folder.join("run.toml"), text).unwrap();
    private(folder, "run", "--config run.toml --dp-epsilon 4 --dp-delta 1e-4 --dp-clip 0.2");
    let metrics = metrics(folder, "run");
    let budget = &metrics["training"]["privacy"];
    let epsilon = budget["epsilon"].as_f64().unwrap();
    assert!(epsilon <= 4.0 && epsilon > 3.9, "{budget}");
    assert_eq!((&budget["clipping"], &budget["delta"]), (&"quantile".into(), &1e-4.into()));
    assert_eq!(budget["phases"].as_array().unwrap().len(), 2, "{budget}");
    let config = fs::read_to_string(folder.join("run/config.toml")).unwrap();
    assert!(config.contains("quantile = 0.3") && config.contains("bound = 0.2"), "{config}");
}

#[test]
fn a_report_has_the_claim() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    common::train(folder, "plain", &[]);
    private(folder, "private", "--dp-sigma 1");
    let args =
        ["evaluate", "plain", "private", "--eps", "0.05", "--samples", "20", "--out", "report"];
    let text = succeeds(folder, &args);
    assert!(text.contains("Claimed epsilon"), "{text}");
    let page = fs::read_to_string(folder.join("report/report.html")).unwrap();
    assert!(page.contains("one sample added or removed"));
}

#[test]
fn bad_input_is_named_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let cases: [(&str, &[&str]); 17] = [
        ("--dp-sigma 0", &["noise_multiplier = 0", "positive"]),
        ("--dp-sigma -1", &["noise_multiplier = -1"]),
        ("--dp-epsilon 0", &["epsilon = 0"]),
        ("--dp-clip 1", &["how much noise?"]),
        ("--dp-sigma 1 --dp-clip 0", &["bound = 0"]),
        ("--dp-sigma 1 --dp-delta 0", &["delta = 0", "(0, 1)"]),
        ("--dp-sigma 1 --dp-delta 1", &["delta = 1", "(0, 1)"]),
        ("--dp-sigma 1 --dp-clipping flatt", &["flat, per-layer, automatic, quantile"]),
        ("--dp-sigma 1 --dp-micro-batch 0", &["micro_batch = 0"]),
        ("--dp-sigma 1 --batch-size 5000", &["batch_size = 5000", "training samples"]),
        ("--dp-sigma 1 --rule free --eps 0.1", &["rule free", "choose"]),
        ("--dp-sigma 1 --rule madry --eps 0.1 --awp 0.01", &["rule awp", "choose"]),
        ("--dp-sigma 1 --rule mixup", &["it mixes samples", "choose"]),
        // What takes the shape or the number of the samples to know.
        ("--dp-sigma 1e-200", &["no finite epsilon", "raise it"]),
        ("--dp-sigma 1 --rule certified --eps 0.1", &["per-sample gradients"]),
        ("--dp-epsilon 0.05 --dp-clipping quantile --batch-size 8", &["count_noise", "set it"]),
        ("--dp-sigma 1 --rule madry --eps 500", &["eps = 500"]),
    ];
    for (flags, parts) in cases {
        let usual = ["train", "--model", "logistic", "--out", "run"];
        let more: Vec<&str> = flags.split_whitespace().collect();
        fails(folder, &[&usual[..], &more].concat(), parts);
        assert_eq!(names(folder), [""; 0], "{flags} left files");
    }
}

/// All files of a folder within `folder`, with their contents.
fn contents(folder: &Path, name: &str) -> Vec<(String, Vec<u8>)> {
    let within = folder.join(name);
    let files = names(&within).into_iter();
    files.map(|file| (file.clone(), fs::read(within.join(file)).unwrap())).collect()
}

#[test]
fn a_mistake_does_not_cost_an_unfinished_run() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let unfinished = folder.join("run/unfinished");
    fs::create_dir_all(&unfinished).unwrap();
    for file in ["config.toml", "ledger", "state.safetensors"] {
        fs::write(unfinished.join(file), format!("the {file} of an earlier run")).unwrap();
    }
    let before = contents(folder, "run/unfinished");
    for flags in ["--dp-sigma 1e-200", "--dp-sigma 1 --batch-size 5000", "--dp-sigma 0"] {
        let usual = ["train", "--model", "logistic", "--epochs", "1", "--force", "--out", "run"];
        let more: Vec<&str> = flags.split_whitespace().collect();
        fails(folder, &[&usual[..], &more].concat(), &[]);
        assert_eq!(names(&folder.join("run")), ["unfinished"], "{flags}");
        assert!(contents(folder, "run/unfinished") == before, "{flags}");
    }
    // Without a mistake it is replaced.
    private(folder, "run", "--dp-sigma 1 --force");
    assert!(!unfinished.exists());
}

#[test]
fn a_scale_that_was_learnt_from_the_data_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let line = |i: usize| format!("{},{},{}\n", (i * 7) % 10, (i * 3) % 11, i % 2);
    fs::write(folder.join("t.csv"), (0..60).map(line).collect::<String>()).unwrap();
    let warning = "the range that each column of t.csv was scaled by was learnt from the data";
    let flags = "--data t.csv --batch-size 10";
    let text = private(folder, "scaled", &format!("{flags} --dp-sigma 1"));
    assert!(text.contains(warning) && text.contains("scale = \"none\""), "{text}");
    let budget = &metrics(folder, "scaled")["training"]["privacy"];
    assert!(budget["warnings"].to_string().contains("was learnt from the data"), "{budget}");
    // Of private training alone, and where the range was not learnt it was not.
    assert!(!private(folder, "plain", flags).contains(warning));
    let config =
        "[data]\nkind = \"csv\"\npath = \"t.csv\"\nscale = \"none\"\nbounds = [0.0, 10.0]\n";
    fs::write(folder.join("run.toml"), config).unwrap();
    let text = private(folder, "declared", "--config run.toml --batch-size 10 --dp-sigma 1");
    assert!(!text.contains(warning), "{text}");
    // In clients as well.
    let flags = "federate simulate --model logistic --data t.csv --clients 2 --rounds 1 \
                 --client-dp-sigma 1 --out clients";
    assert!(succeeds(folder, &flags.split(' ').collect::<Vec<_>>()).contains(warning));
}
