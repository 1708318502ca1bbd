//! The check of attacks and evaluations, as a user runs it, on a model and on its double that hides its
//! gradients.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

mod common;

use std::fs;
use std::path::Path;

use common::{fails, run, succeeds};
use inocula_core::report::Report;
use serde_json::Value;

/// A plain run, and one whose logits are 100,000 times as large: it decides alike, but the cross-entropy
/// has no slope left in f32.
fn models(folder: &Path) {
    succeeds(folder, &["train", "--model", "logistic", "--epochs", "12", "--out", "plain"]);
    fs::create_dir(folder.join("masked")).unwrap();
    for entry in fs::read_dir(folder.join("plain")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join("masked").join(path.file_name().unwrap())).unwrap();
    }
    let weights = folder.join("masked/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for value in bytes[header..].chunks_exact_mut(4) {
        let scaled = 1e5 * f32::from_le_bytes((&*value).try_into().unwrap());
        value.copy_from_slice(&scaled.to_le_bytes());
    }
    fs::write(weights, bytes).unwrap();
}

fn kinds(findings: &Value) -> Vec<&str> {
    let list = findings.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

#[test]
fn an_attack_is_checked_on_request_and_looked_at_always() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    models(folder);
    let record = |out: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.join(out).join("attack.json")).unwrap()).unwrap()
    };
    let attack = |model: &str, out: &str, more: &[&str]| {
        let usual = ["attack", model, "--attack", "pgd", "--eps", "0.15", "--samples", "150"];
        let output = run(folder, &[&usual[..], &["--out", out], more].concat());
        assert!(output.status.success(), "{output:?}");
        (String::from_utf8(output.stderr).unwrap(), record(out))
    };
    for more in [&[][..], &["--check"]] {
        let (notes, record) = attack("plain", &format!("plain{}", more.len()), more);
        assert_eq!((notes.as_str(), record.get("findings")), ("", None));
    }
    let (notes, glanced) = attack("masked", "glance", &[]);
    assert_eq!(kinds(&glanced["findings"]), ["zero_gradients"]);
    assert!(
        notes.starts_with("do not trust this figure: masked, PGD-40 L∞ 0.15: the gradient"),
        "{notes}"
    );
    let (notes, checked) = attack("masked", "check", &["--check"]);
    let found = kinds(&checked["findings"]);
    for kind in
        ["zero_gradients", "black_box_beats_white_box", "unadapted_loss", "holds_at_any_size"]
    {
        assert!(found.contains(&kind), "{kind} in {found:?}");
    }
    assert_eq!(notes.lines().count(), found.len(), "{notes}");
    let first = &checked["findings"][0];
    assert_eq!((&first["model"], &first["figure"]), (&"masked".into(), &"PGD-40 L∞ 0.15".into()));
    assert!(first["evidence"]["samples"].as_f64().is_some(), "{first}");
    assert_eq!(glanced["result"]["robust_accuracy"], checked["result"]["robust_accuracy"]);
}

#[test]
fn an_evaluation_marks_what_it_doubts() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    models(folder);
    let evaluate = |out: &str, more: &[&str]| {
        let usual = ["evaluate", "plain", "masked", "--eps", "0.15", "--samples", "120"];
        let text = succeeds(folder, &[&usual[..], &["--out", out], more].concat());
        let json = fs::read_to_string(folder.join(out).join("report.json")).unwrap();
        (text, Report::from_json(&json).unwrap(), json)
    };
    let (text, report, _) = evaluate("checked", &[]);
    assert!(report.models[0].findings.is_empty(), "{:?}", report.models[0].findings);
    let names: Vec<&str> = report.models[1].findings.iter().map(|f| f.kind.name()).collect();
    assert!(names.contains(&"transfer_beats_white_box"), "{names:?}");
    let lines: Vec<&str> =
        text.lines().filter(|line| line.starts_with("† masked, PGD-40")).collect();
    assert_eq!(lines.len(), names.len(), "{text}");
    // The attack's own figure, the worst case, and the sentence about it.
    let marked = |line: &&str| line.contains("%†");
    assert!(text.lines().filter(marked).count() >= 1 && text.matches("%†").count() == 2, "{text}");
    assert!(text.contains("the check doubts this figure (†)"), "{text}");
    let page = fs::read_to_string(folder.join("checked/report.html")).unwrap();
    assert!(page.contains("† masked, PGD-40 L∞ 0.15: ") && page.matches("%†").count() >= 3);

    let (text, report, json) = evaluate("unchecked", &["--no-check"]);
    assert!(!text.contains('†') && report.models.iter().all(|m| m.findings.is_empty()), "{text}");
    assert!(json.contains("\"check\": 0") && !json.contains("\"findings\""), "{json}");
}

#[test]
fn what_cannot_be_checked_is_refused_before_the_attack() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    common::train(folder, "run", &[]);
    let attack = |flags: &[&str], parts: &[&str]| {
        let usual = ["attack", "run", "--check", "--samples", "20", "--out", "out"];
        fails(folder, &[&usual[..], flags].concat(), parts);
        assert!(!folder.join("out").exists());
    };
    attack(&["--attack", "square", "--eps", "0.1"], &["Square-5000", "uses none", "leave it out"]);
    attack(&["--attack", "pgd", "--eps", "0.1", "--target", "next"], &["--target"]);
    attack(&["--attack", "ddn"], &["--check", "--eps SIZE"]);
}
