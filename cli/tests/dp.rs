//! `inocula dp`: figures, their provenance, and what bad arguments get.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

mod common;

use common::{fails, run, succeeds};
use serde_json::Value;

/// Arguments in one line, with a thousand usual steps before them.
fn epsilon(flags: &str) -> Vec<&str> {
    let usual = "dp epsilon --sampling-rate 0.01 --steps 1000 --delta 1e-5";
    usual.split(' ').chain(flags.split_whitespace()).collect()
}

fn json(args: &[&str]) -> Value {
    let temp = tempfile::tempdir().expect("a folder for temporary files");
    serde_json::from_str(&succeeds(temp.path(), args)).expect("valid JSON")
}

#[test]
fn the_figure_comes_with_its_provenance() {
    let temp = tempfile::tempdir().unwrap();
    for (accountant, figure, source) in [
        ("rdp", "epsilon 1.7117", "Canonne"),
        ("rdp-classic", "epsilon 2.", "Mironov 2017"),
        ("pld", "epsilon 1.5153", "Doroshenko"),
    ] {
        let flags = format!("--noise-multiplier 1.1 --accountant {accountant}");
        let text = succeeds(temp.path(), &epsilon(&flags));
        assert!(text.starts_with(figure), "{text}");
        for part in [source, accountant, "poisson", "added or removed", "0.00001", "1000 steps"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

#[test]
fn json_has_the_same_fields_always() {
    let usual = json(&epsilon("--noise-multiplier 1.1 --json"));
    let value = usual["epsilon"].as_f64().unwrap();
    assert!((value - 1.515_37).abs() < 1e-3, "{usual}");
    assert_eq!(usual["accountant"], "pld");
    assert_eq!(usual["sampling"], "poisson");
    assert_eq!(usual["delta"], 1e-5);
    assert_eq!(usual["neighbours"], "one sample added or removed");
    assert_eq!(usual["mechanisms"][0]["steps"], 1000);
    assert_eq!(usual["warnings"], Value::Array(Vec::new()));
    // No noise, and no end of it.
    assert_eq!(json(&epsilon("--noise-multiplier 0 --json"))["epsilon"], "inf");
    assert_eq!(json(&epsilon("--noise-multiplier inf --json"))["epsilon"], 0.0);
}

#[test]
fn later_steps_add_to_epsilon() {
    let of = |flags: &str| json(&epsilon(flags))["epsilon"].as_f64().unwrap();
    let alone = of("--noise-multiplier 1.1 --json");
    let same = of("--noise-multiplier 1.1 --json --then 0.01,1.1,0");
    let more = of("--noise-multiplier 1.1 --json --then 0.01,2,500 --then 0.5,9,10");
    assert_eq!(alone, same);
    assert!(more > alone * 1.05, "{alone} {more}");
}

#[test]
fn batches_that_are_not_poisson_get_a_warning() {
    let temp = tempfile::tempdir().unwrap();
    for sampling in ["fixed", "shuffled"] {
        let flags = format!("--noise-multiplier 1.1 --accountant rdp --sampling {sampling}");
        let output = run(temp.path(), &epsilon(&flags));
        let warning = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success());
        assert!(warning.starts_with("warning: ") && warning.contains(sampling), "{warning}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("{sampling}, accounted as poisson")), "{text}");
        let told = json(&epsilon(&format!("{flags} --json")));
        assert!(told["warnings"][0].as_str().unwrap().contains(sampling), "{told}");
    }
}

#[test]
fn noise_is_calibrated_to_a_budget() {
    let args = "dp calibrate --epsilon 3 --sampling-rate 0.01 --steps 1000 --delta 1e-5 --json";
    let found = json(&args.split(' ').collect::<Vec<_>>());
    let spent = found["epsilon"].as_f64().unwrap();
    assert!(spent <= 3.0 && spent > 2.99, "{found}");
    let flags = format!("--noise-multiplier {} --json", found["noise_multiplier"]);
    assert_eq!(json(&epsilon(&flags))["epsilon"], found["epsilon"]);
}

#[test]
fn bad_arguments_are_told_apart() {
    let temp = tempfile::tempdir().unwrap();
    let cases: [(&str, &[&str]); 12] = [
        ("epsilon --sampling-rate 1.5 --noise-multiplier 1", &["sampling rate 1.5", "[0, 1]"]),
        ("epsilon --sampling-rate -0.1 --noise-multiplier 1", &["sampling rate -0.1"]),
        ("epsilon --sampling-rate nan --noise-multiplier 1", &["sampling rate NaN"]),
        ("epsilon --sampling-rate 0.1 --noise-multiplier -1", &["noise multiplier -1", "at least"]),
        ("epsilon --sampling-rate 0.1 --noise-multiplier nan", &["noise multiplier NaN"]),
        (
            "epsilon --sampling-rate 0.1 --noise-multiplier 1 --accountant pdl",
            &["pdl", "did you mean pld?"],
        ),
        (
            "epsilon --sampling-rate 0.1 --noise-multiplier 1 --accountant gaussian",
            &["sampling rate 0.1", "choose pld"],
        ),
        ("epsilon --sampling-rate 0.1 --noise-multiplier 1 --then 1,2", &["--then 1,2", "say"]),
        ("epsilon --sampling-rate 0.1 --noise-multiplier 1 --then 1,x,3", &["\"x\"", "a number"]),
        ("epsilon --sampling-rate 0.1 --noise-multiplier 1 --then 1,2,-3", &["\"-3\"", "a count"]),
        ("calibrate --sampling-rate 0.1 --epsilon 0", &["epsilon 0", "positive"]),
        ("calibrate --sampling-rate 0.1 --epsilon nan", &["epsilon NaN", "positive"]),
    ];
    for (flags, parts) in cases {
        let line = format!("dp {flags} --steps 10 --delta 1e-5");
        fails(temp.path(), &line.split(' ').collect::<Vec<_>>(), parts);
    }
    for delta in ["-1", "1.5", "nan"] {
        let line = format!(
            "dp epsilon --sampling-rate 0.1 --noise-multiplier 1 --steps 10 --delta {delta}"
        );
        fails(temp.path(), &line.split(' ').collect::<Vec<_>>(), &["delta", "[0, 1]"]);
    }
}

#[test]
fn a_negative_count_is_told_by_the_name_of_its_flag() {
    let temp = tempfile::tempdir().unwrap();
    let flags = "dp epsilon --sampling-rate 0.1 --noise-multiplier 1 --delta 1e-5 --steps -10";
    let output = run(temp.path(), &flags.split(' ').collect::<Vec<_>>());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("'-10' for '--steps"), "{text}");
}
