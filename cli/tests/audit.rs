//! `inocula audit dp` and `inocula dp ledger`: figures, exit status, and what bad arguments get.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

mod common;

use common::{error_line, fails, run, succeeds};
use inocula_core::dp::accounting::Mechanism;
use inocula_core::dp::ledger::{Entry, Ledger, Terms};
use serde_json::Value;

/// Arguments in one line, behind a mechanism that a few hundred canaries see leak.
fn audit(flags: &str) -> Vec<&str> {
    let usual = "audit dp --sampling-rate 1 --noise-multiplier 1 --steps 1 --delta 1e-5 \
                 --canaries 300";
    usual.split_whitespace().chain(flags.split_whitespace()).collect()
}

#[test]
fn an_audit_reports_claim_bound_and_confidence() {
    let temp = tempfile::tempdir().unwrap();
    let text = succeeds(temp.path(), &audit(""));
    assert!(text.starts_with("claimed epsilon 4.3"), "{text}");
    for part in ["audited lower bound", "95% confidence", "300 canaries", "1 steps", "not refuted"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(text, succeeds(temp.path(), &audit("--seed 1")));
    let json: Value = serde_json::from_str(&succeeds(temp.path(), &audit("--json"))).unwrap();
    let bound = json["audited"]["epsilon"].as_f64().unwrap();
    assert!(bound > 0.0 && bound < json["claimed"]["epsilon"].as_f64().unwrap(), "{json}");
    assert_eq!(json["audited"]["confidence"], 0.95);
    assert_eq!(json["audited"]["exceeded"], false);
    assert_eq!(json["seed"], 1);
}

#[test]
fn a_claim_that_is_refuted_fails() {
    let usual = audit("");
    let loud = |flags| overriding(&usual, flags);
    let temp = tempfile::tempdir().unwrap();
    let output = run(temp.path(), &loud("--noise-multiplier 0.2 --claim 0.5 --json"));
    let line = error_line(&output);
    assert!(line.contains("claimed epsilon 0.5") && line.contains("exceeds"), "{line}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["audited"]["exceeded"], true);
    assert_eq!(json["claimed"]["epsilon"], 0.5);
    let output = run(temp.path(), &loud("--noise-multiplier 0.2 --claim 0.5"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("audited lower bound"));
}

#[test]
fn bad_arguments_of_an_audit_are_told_apart() {
    let temp = tempfile::tempdir().unwrap();
    let cases: [(&str, &[&str]); 8] = [
        ("--canaries 0", &["0 canaries", "1000"]),
        ("--sampling-rate 1.5", &["sampling rate 1.5"]),
        ("--noise-multiplier -1", &["noise multiplier -1"]),
        ("--noise-multiplier inf", &["noise_multiplier = inf"]),
        ("--delta 0", &["delta 0", "(0, 1)"]),
        ("--confidence 1", &["confidence 1", "0.95"]),
        ("--claim -2", &["claim -2", "at least 0"]),
        ("--backend nosuch", &["nosuch"]),
    ];
    for (flags, parts) in cases {
        fails(temp.path(), &overriding(&audit(""), flags), parts);
    }
}

/// `args` without those that `flags` give anew.
fn overriding<'a>(args: &[&'a str], flags: &'a str) -> Vec<&'a str> {
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let pairs = args[2..].chunks(2).filter(|pair| pair[0] != flags[0]);
    args[..2].iter().copied().chain(pairs.flatten().copied()).chain(flags.iter().copied()).collect()
}

/// A ledger of a thousand steps in `folder`.
fn ledger(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("ledger");
    let mut ledger = Ledger::create(&path, Terms { samples: 60_000, delta: 1e-5 }).unwrap();
    for half in [0, 500] {
        let mechanism = Mechanism::new(0.01, 1.1, 500).unwrap();
        ledger.append(Entry { step: half, mechanism }).unwrap();
    }
    path
}

#[test]
fn a_ledger_has_the_epsilon_of_its_steps() {
    let temp = tempfile::tempdir().unwrap();
    let path = ledger(temp.path());
    let text = succeeds(temp.path(), &["dp", "ledger", "ledger"]);
    assert!(text.starts_with("epsilon 1.5153"), "{text}");
    for part in ["60000", "1000 in 2 records", "0.00001", "Doroshenko", "poisson", "not recorded"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let json =
        |args: &[&str]| -> Value { serde_json::from_str(&succeeds(temp.path(), args)).unwrap() };
    let usual = json(&["dp", "ledger", "ledger", "--json"]);
    let accounted = json(&[
        "dp",
        "epsilon",
        "--sampling-rate",
        "0.01",
        "--noise-multiplier",
        "1.1",
        "--steps",
        "1000",
        "--delta",
        "1e-5",
        "--json",
    ]);
    assert_eq!(usual["epsilon"], accounted["epsilon"]);
    assert_eq!((&usual["steps"], &usual["torn"]), (&Value::from(1000), &Value::from(0)));
    let other = json(&["dp", "ledger", "ledger", "--json", "--delta", "1e-6"]);
    assert!(other["epsilon"].as_f64() > usual["epsilon"].as_f64(), "{other}");

    // Killed while it wrote: the step counts, and looking at it repairs nothing.
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&bytes[..], &[7; 10]].concat()).unwrap();
    let torn = json(&["dp", "ledger", "ledger", "--json"]);
    assert_eq!((&torn["steps"], &torn["torn"]), (&Value::from(1001), &Value::from(1)));
    assert_eq!(std::fs::read(&path).unwrap().len(), bytes.len() + 10);
}

#[test]
fn files_that_are_no_ledgers_are_told_apart() {
    let temp = tempfile::tempdir().unwrap();
    let path = ledger(temp.path());
    fails(temp.path(), &["dp", "ledger", "nosuch"], &["nosuch", "no such file"]);
    std::fs::write(temp.path().join("notes"), "epoch,loss\n".repeat(20)).unwrap();
    fails(temp.path(), &["dp", "ledger", "notes"], &["notes", "not a privacy ledger"]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    fails(temp.path(), &["dp", "ledger", "ledger"], &["ledger", "damaged", "restore"]);
}

#[test]
fn the_audit_of_a_run_stands_in_the_report_beside_its_claim() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let words = |line: &'static str| line.split_whitespace().collect::<Vec<_>>();
    fails(folder, &words("audit dp missing"), &["missing"]);
    let train = "train --model logistic --epochs 2 --out";
    succeeds(folder, &[&words(train)[..], &["plain"]].concat());
    fails(folder, &words("audit dp plain"), &["plain", "without noise", "--dp-epsilon"]);
    let output = run(folder, &words("audit dp plain --steps 3"));
    assert_eq!(output.status.code(), Some(2), "a run has its own steps");

    let private = [&words(train)[..], &words("private --dp-epsilon 3")].concat();
    succeeds(folder, &private);
    let text = succeeds(folder, &words("audit dp private --canaries 300"));
    assert!(text.contains("claimed epsilon 2.99") || text.contains("claimed epsilon 3"), "{text}");
    fails(folder, &words("audit dp private"), &["dp.json", "--force"]);
    succeeds(folder, &words("audit dp private --canaries 400 --force"));

    succeeds(
        folder,
        &words("evaluate plain private --eps 0.1 --attacks fgsm --samples 20 --out both"),
    );
    let read = |name: &str| std::fs::read_to_string(folder.join("both").join(name)).unwrap();
    let report: Value = serde_json::from_str(&read("report.json")).unwrap();
    let [plain, private] = [0, 1].map(|at| &report["models"][at]);
    assert!(plain.get("audited_epsilon").is_none());
    let audited = &private["audited_epsilon"];
    assert_eq!(audited["canaries"], 400);
    assert_eq!(audited["exceeded"], false);
    let claimed = audited["claimed"].as_f64().unwrap();
    assert!((claimed - private["privacy_budget"]["epsilon"].as_f64().unwrap()).abs() < 1e-9);
    assert!(audited["epsilon"].as_f64().unwrap() <= claimed);
    let page = read("report.html");
    for part in ["Audited epsilon, at least", "not refuted", "Audits of the noisy steps"] {
        assert!(page.contains(part), "{part}");
    }
}

/// What makes an epsilon worth less is told at training, and must not be lost by those who read what the
/// run left.
#[test]
fn marks_of_a_run_are_in_its_ledger_and_its_audit() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let words = |line: &'static str| line.split_whitespace().collect::<Vec<_>>();
    for (name, extra, shuffled, seeded) in [
        ("both", "sampling = \"shuffled\"\nseeded = true\n", true, true),
        ("fixed", "sampling = \"shuffled\"\n", true, false),
        ("known", "seeded = true\n", false, true),
        ("none", "", false, false),
    ] {
        let text = format!("[train.private]\nnoise_multiplier = 2.0\n{extra}");
        std::fs::write(folder.join("run.toml"), text).unwrap();
        let train = words("train --config run.toml --model logistic --epochs 1 --out");
        succeeds(folder, &[&train[..], &[name]].concat());
        let path = format!("{name}/ledger");
        let audit = ["audit", "dp", name, "--canaries", "300", "--force"];
        for args in [&["dp", "ledger", &path][..], &audit] {
            let output = run(folder, args);
            assert!(output.status.success(), "{args:?}");
            let warnings = String::from_utf8(output.stderr).unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(warnings.contains("warning: not private"), seeded, "{args:?}: {warnings}");
            assert_eq!(warnings.contains("batches were shuffled"), shuffled, "{warnings}");
            assert_eq!(text.contains("shuffled, accounted as poisson"), shuffled, "{text}");
        }
        let recorded = succeeds(folder, &["dp", "ledger", &path, "--json"]);
        let recorded: Value = serde_json::from_str(&recorded).unwrap();
        assert_eq!(recorded["seeded"], seeded);
        let sampling = if shuffled { "shuffled" } else { "poisson" };
        assert_eq!(recorded["sampling"], sampling, "{recorded}");
        let count = recorded["warnings"].as_array().unwrap().len();
        assert_eq!(count, usize::from(shuffled) + usize::from(seeded), "{recorded}");
    }
}
