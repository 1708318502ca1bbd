//! The commands on small work, as a user runs them.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

mod common;

use std::fs;
use std::path::Path;

use common::{fails, names, run, succeeds, train};
use inocula_core::report::Report;
use ndarray::{Array1, ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::NpzReader;

const RUN: [&str; 4] = ["config.toml", "metrics.json", "model.safetensors", "model.toml"];

#[test]
fn a_run_is_whole_and_can_be_repeated_to_the_bit() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let flags = ["--seed", "5", "--backend", "ndarray?threads=2", "--model", "small-cnn"];
    succeeds(folder, &[&["train", "--epochs", "2", "--out", "a"], &flags[..]].concat());
    assert_eq!(names(&folder.join("a")), RUN);
    let metrics = fs::read_to_string(folder.join("a/metrics.json")).unwrap();
    for part in ["\"seed\": 5", "ndarray?threads=2", "\"version\": \"0.1.0\"", "\"accuracy\""] {
        assert!(metrics.contains(part), "{part} in {metrics}");
    }
    succeeds(folder, &[&["train", "--epochs", "2", "--out", "b"], &flags[..]].concat());
    succeeds(folder, &["train", "--config", "a/config.toml", "--out", "c"]);
    let weights = |run: &str| fs::read(folder.join(run).join("model.safetensors")).unwrap();
    assert!(weights("a") == weights("b"), "the same command gave other weights");
    assert!(weights("a") == weights("c"), "the written configuration gave other weights");
    assert_eq!(
        fs::read(folder.join("a/config.toml")).unwrap(),
        fs::read(folder.join("c/config.toml")).unwrap()
    );
}

#[test]
fn an_earlier_run_is_replaced_only_by_force() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    let weights = || fs::read(folder.join("run/model.safetensors")).unwrap();
    let before = weights();
    let again = ["train", "--model", "logistic", "--epochs", "2", "--out", "run"];
    fails(folder, &again, &["of an earlier run", "--force"]);
    assert_eq!(weights(), before);
    succeeds(folder, &[&again[..], &["--force"]].concat());
    assert_ne!(weights(), before);
}

#[test]
fn rules_and_optimisers_are_chosen_by_flags() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let cases: [(&str, &[&str], &[&str]); 4] = [
        (
            "mixed",
            &["--rule", "mixed", "--ratio", "0.25", "--eps", "0.1"],
            &["ratio = 0.25", "fgsm"],
        ),
        ("madry", &["--rule", "madry", "--eps", "0.1", "--steps", "3"], &["steps = 3", "pgd"]),
        ("rms", &["--optimizer", "rmsprop", "--lr", "0.01"], &["type = \"rmsprop\"", "lr = 0.01"]),
        ("momentum", &["--optimizer", "momentum"], &["momentum = 0.9"]),
    ];
    for (name, flags, expected) in cases {
        train(folder, name, flags);
        let config = fs::read_to_string(folder.join(name).join("config.toml")).unwrap();
        for part in expected {
            assert!(config.contains(part), "{name}: {part} in {config}");
        }
    }
}

#[test]
fn flags_change_what_they_name_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let text = "[model]\npreset = \"logistic\"\n[train]\nepochs = 1\n\
        optimizer = { type = \"adam\", lr = 0.01, weight_decay = 0.001 }\n\
        [train.rule]\ntype = \"mixed\"\nratio = 0.5\n\
        attacks = [{ type = \"fgsm\", eps = 0.1 }, { type = \"pgd\", eps = 0.1, steps = 2 }]\n";
    fs::write(folder.join("run.toml"), text).unwrap();
    let flags = ["--ratio", "0.75", "--optimizer", "adam", "--lr", "0.02"];
    succeeds(folder, &[&["train", "-c", "run.toml", "-o", "run"], &flags[..]].concat());
    let config = fs::read_to_string(folder.join("run/config.toml")).unwrap();
    for part in ["ratio = 0.75", "weight_decay = 0.001", "lr = 0.02", "\"fgsm\"", "\"pgd\""] {
        assert!(config.contains(part), "{part} in {config}");
    }
}

/// The network of the README, layer by layer.
#[test]
fn a_network_can_be_written_down() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let readme = include_str!("../../README.md");
    let toml = readme.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    let short = toml.replace("epochs = 20", "epochs = 1");
    fs::write(folder.join("run.toml"), short).unwrap();
    let out = succeeds(folder, &["train", "--config", "run.toml", "--out", "runs/mine"]);
    assert!(out.contains("robust accuracy"), "{out}");
}

#[test]
fn the_smallest_change_needs_no_budget() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    let text = succeeds(folder, &["attack", "run", "--attack", "ddn", "--samples", "50"]);
    assert!(
        text.contains("DDN-300 L2\n") && text.contains("success rate       100.00 %"),
        "{text}"
    );
    let record = fs::read(folder.join("run/attack-ddn-l2/attack.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    assert!(record["result"].get("epsilon").is_none() && record["config"].get("eps").is_none());
    assert!(record["result"]["mean_perturbation"].as_f64().unwrap() > 0.0, "{record}");
}

#[test]
fn an_attack_without_gradients_counts_its_queries() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    for (name, access) in [("nes", "score"), ("boundary", "decision"), ("substitute", "decision")] {
        let budget = ["--eps", "0.1", "--queries", "12", "--samples", "30", "--out", name];
        succeeds(folder, &[&["attack", "run", "--attack", name], &budget[..]].concat());
        let record = fs::read(folder.join(name).join("attack.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let result = &record["result"];
        assert_eq!(result["access"], access);
        assert_eq!(result["gradient_calls"], 0);
        let queries = result["queries"].as_u64().unwrap();
        assert!(queries > 0 && queries <= 12 * 30, "{name}: {queries} queries");
    }
    let refused = ["attack", "run", "--attack", "pgd", "--eps", "0.1", "--queries", "12"];
    fails(folder, &refused, &["pgd", "queries"]);
}

/// The examples and places that an attack wrote.
fn examples(folder: &Path) -> (ArrayD<f32>, Array1<i64>) {
    let file = fs::File::open(folder.join("adversarial.npz")).unwrap();
    let mut npz = NpzReader::new(file).unwrap();
    (npz.by_name::<OwnedRepr<f32>, IxDyn>("x").unwrap(), npz.by_name("row").unwrap())
}

#[test]
fn an_attack_in_parts_finds_what_one_run_does() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    let attack =
        ["attack", "run", "--attack", "apgd", "--eps", "0.1", "--batch-size", "20", "--rows"];
    let part = |rows| {
        succeeds(folder, &[&attack[..], &[rows]].concat());
        examples(&folder.join(format!("run/attack-apgd-linf-0.1-{rows}")))
    };
    let ((whole, rows), (head, _), (tail, last)) = (part("10..50"), part("10..30"), part("30..50"));
    assert_eq!(rows.to_vec(), (10..50).collect::<Vec<i64>>());
    assert_eq!(last.to_vec(), (30..50).collect::<Vec<i64>>());
    assert_eq!(ndarray::concatenate![ndarray::Axis(0), head, tail], whole);
    let few = ["--samples", "5", "--out", "few"];
    succeeds(folder, &[&attack[..], &["30..50"], &few[..]].concat());
    let (_, few) = examples(&folder.join("few"));
    assert!(few.len() == 5 && few.iter().all(|row| (30..50).contains(row)), "{few}");
    fails(folder, &[&attack[..], &["0..5000"]].concat(), &["--rows 0..5000", "test samples"]);
    let refused = run(folder, &[&attack[..], &["5..5"]].concat());
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("as in 0..1000"));
}

#[test]
fn an_attack_keeps_to_its_budget() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    let cases: [(&str, &[&str], f64); 4] = [
        ("plain", &["--attack", "pgd", "--eps", "0.1", "--steps", "5"], 0.1),
        ("next", &["--attack", "pgd", "--eps", "0.2", "--steps", "5", "--target", "next"], 0.2),
        ("three", &["--attack", "fgsm", "--eps", "0.2", "--target", "3"], 0.2),
        ("blind", &["--attack", "square", "--eps", "0.2", "--queries", "40"], 0.2),
    ];
    for (out, flags, eps) in cases {
        let args = [&["attack", "run", "--samples", "50", "--out", out], flags].concat();
        let text = succeeds(folder, &args);
        assert!(text.contains("robust accuracy") && text.contains("success rate"), "{text}");
        assert_eq!(names(&folder.join(out)), ["adversarial.npz", "attack.json"]);
        let (x, row) = examples(&folder.join(out));
        assert_eq!(x.shape(), [50, 1, 8, 8]);
        // The test part of the run, again.
        let rng = inocula_core::rng::Rng::new(1).child("split");
        let (_, test) = inocula_core::data::digits().unwrap().split_stratified(0.2, &rng);
        for (sample, &row) in x.outer_iter().zip(&row) {
            let clean = &test.features[row as usize * 64..][..64];
            for (a, b) in sample.iter().zip(clean) {
                assert!(f64::from((a - b).abs()) <= eps + 1e-6 && (0.0..=1.0).contains(a));
            }
        }
    }
}

#[test]
fn models_are_compared_with_the_first() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "plain", &[]);
    train(folder, "hardened", &["--rule", "mixed", "--eps", "0.1"]);
    let args = ["evaluate", "plain", "hardened", "--eps", "0.6", "--samples", "40"];
    let text = succeeds(folder, &[&args[..], &["--attacks", "fgsm", "--out", "report"]].concat());
    for part in ["Clean accuracy", "Precision", "Recall", "Success", "Membership", "hardened"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(names(&folder.join("report")), ["report.html", "report.json"]);
    let json = fs::read_to_string(folder.join("report/report.json")).unwrap();
    let report = Report::from_json(&json).unwrap();
    let models: Vec<(&str, bool)> =
        report.models.iter().map(|m| (m.name.as_str(), m.baseline)).collect();
    assert_eq!(models, [("plain", true), ("hardened", false)]);
    assert_eq!(report.summary.len(), 3);
    let page = fs::read_to_string(folder.join("report/report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("hardened"));
}

#[test]
fn weights_from_elsewhere_become_a_run() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    let weights = ["import", "run/model.safetensors", "--model", "logistic", "--out", "theirs"];
    succeeds(folder, &weights);
    assert_eq!(names(&folder.join("theirs")), RUN);
    succeeds(folder, &["attack", "theirs", "--attack", "fgsm", "--eps", "0.1"]);
    let other = ["import", "run/model.safetensors", "--model", "mlp", "--out", "other"];
    fails(folder, &other, &["fc1.weight is [10, 64] where the model needs [128, 64]"]);
}
