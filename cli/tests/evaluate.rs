//! The modes of evaluation, as a user asks for them: by flags, by a file, and wrongly.

// The lints spare functions marked as tests, but not what these call.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{fails, names, succeeds, train};
use inocula_core::report::{Access, Report, TransferQuantity};

fn report(folder: &Path, out: &str) -> Report {
    let text = fs::read_to_string(folder.join(out).join("report.json")).unwrap();
    Report::from_json(&text).unwrap()
}

/// Two models that are compared, and two more runs.
fn models(folder: &Path) {
    train(folder, "plain", &[]);
    train(folder, "hardened", &["--rule", "mixed", "--eps", "0.1"]);
    train(folder, "source", &["--seed", "2"]);
    train(folder, "target", &["--seed", "3"]);
}

#[test]
fn flags_ask_for_every_mode() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    models(folder);
    let shifted = ["attack", "source", "--attack", "fgsm", "--eps", "0.05", "--out", "shifted"];
    succeeds(folder, &shifted);
    let text = succeeds(
        folder,
        &[
            "evaluate",
            "plain",
            "hardened",
            "--eps",
            "0.1",
            "--samples",
            "40",
            "--out",
            "report",
            "--attacks",
            "fgsm,square,hop_skip_jump,pgd",
            "--queries",
            "30",
            "--target",
            "next,3,others",
            "--minimal",
            "ddn",
            "--steps-curve=1,3",
            "--certify",
            "crown,interval",
            "--also",
            "shifted/adversarial.npz",
            "--transfer-from",
            "source",
            "--transfer-to",
            "target",
        ],
    );
    for part in ["Calibration error", "Certified, crown", "(scores)", "(decisions)", "to class 3"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let report = report(folder, "report");
    for model in &report.models {
        let own = |a: &&inocula_core::report::AttackReport| a.access != Access::Transfer;
        let labels: Vec<String> = model.attacks.iter().filter(own).map(|a| a.label()).collect();
        assert_eq!(
            labels,
            [
                "FGSM L∞ 0.1",
                "Square-30 L∞ 0.1 (scores)",
                "HopSkipJump-30 L∞ 0.1 (decisions)",
                "PGD-40 L∞ 0.1",
                "PGD-40 L∞ 0.1 to the next class",
                "PGD-40 L∞ 0.1 to class 3",
                "PGD-40 L∞ 0.1 to every other class",
            ]
        );
        let asked = model.attacks.iter().filter_map(|a| a.queries_each);
        let asked: Vec<u64> = asked.map(|each| each.max).collect();
        assert!(asked.len() >= 2 && asked.iter().all(|&most| most <= 30), "{asked:?}");
        let pgd = model.attacks.iter().find(|a| a.label() == "PGD-40 L∞ 0.1").unwrap();
        let others =
            model.attacks.iter().find(|a| a.label().ends_with("every other class")).unwrap();
        assert!(others.success_rate.unwrap() <= pgd.success_rate.unwrap());
        // Class by class it is the same count.
        let held =
            pgd.per_class.iter().map(|c| c.robust_accuracy.unwrap_or(0.0) * c.support as f64);
        assert!((held.sum::<f64>() / 40.0 - pgd.robust_accuracy).abs() < 1e-9);
        let sizes: Vec<String> = model.distributions.iter().map(|d| d.label()).collect();
        assert_eq!(sizes, ["DDN-300 L2", "PGD-40 at growing budgets L∞"]);
        assert_eq!(model.certificates.len(), 2);
        let worst = model.worst_case_accuracy.unwrap();
        assert!(model.certificates.iter().all(|c| c.certified_accuracy <= worst));
        let calibration = model.calibration.as_ref().unwrap();
        let samples: u64 = calibration.diagram.iter().map(|p| p.samples).sum();
        assert_eq!((calibration.bins, samples), (15, model.clean.samples));
    }
    let matrix = &report.transfer[3];
    assert_eq!(matrix.sources, ["plain", "hardened", "source"]);
    assert_eq!(matrix.targets, ["plain", "hardened", "target"]);
    // A model's own column is what the attack left of it.
    let pgd = |i: usize| report.models[i].attacks.iter().find(|a| a.name == "PGD-40").unwrap();
    for i in 0..2 {
        assert_eq!(matrix.values[i][i], pgd(i).robust_accuracy);
    }
    assert_eq!(report.transfer[4].quantity, TransferQuantity::TargetedRate);
    assert_eq!(report.steps.len(), 2);
    let steps: Vec<u64> = report.steps[0].points.iter().map(|p| p.steps).collect();
    assert_eq!(steps, [1, 3]);
    assert_eq!(report.also[0].name, "adversarial");
    assert_eq!((report.also[0].attacked, report.also[0].models.len()), (40, 2));
    // The same on the further data.
    let there = report.also[0].transfer.as_ref().unwrap();
    assert_eq!((&there.sources, &there.targets), (&matrix.sources, &matrix.targets));
    for (i, model) in report.also[0].models.iter().enumerate() {
        assert_eq!(Some(there.values[i][i]), model.robust_accuracy);
    }
    let page = fs::read_to_string(folder.join("report/report.html")).unwrap();
    assert!(page.contains(" on adversarial</h3>"));
    assert!(page.contains("Attacks by what they see") && !page.contains("<script"));
}

#[test]
fn a_file_can_say_everything_and_repeats_to_the_bit() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    models(folder);
    succeeds(
        folder,
        &["attack", "source", "--attack", "fgsm", "--eps", "0.05", "--out", "shifted"],
    );
    let plan = r#"
        samples = 30
        pictures = 2
        radii = [0.05, 0.1]
        steps = [1, 2]
        transfer_from = ["source"]
        transfer_to = ["target"]
        threat = { norm = "linf", eps = 0.1 }
        [[attacks]]
        type = "square"
        eps = 0.1
        queries = 10
        [[attacks]]
        type = "pgd"
        eps = 0.1
        steps = 3
        [[attacks]]
        type = "pgd"
        eps = 0.1
        steps = 4
        target = "next"
        [[minimal]]
        type = "deep_fool"
        norm = "l2"
        [[certify]]
        method = "crown"
        eps = 0.02
        [[also]]
        kind = "npz"
        path = "shifted/adversarial.npz"
    "#;
    fs::write(folder.join("plan.toml"), plan).unwrap();
    let mut reports = Vec::new();
    for out in ["a", "b"] {
        succeeds(folder, &["evaluate", "plain", "hardened", "-c", "plan.toml", "--out", out]);
        let mut report = report(folder, out);
        report.created.clear();
        for model in &mut report.models {
            model.attacks.iter_mut().for_each(|a| a.seconds = None);
            model.certificates.iter_mut().for_each(|c| c.seconds = 0.0);
        }
        reports.push(report);
    }
    assert!(reports[0] == reports[1], "the same plan gave other figures");
    let report = &reports[0];
    assert_eq!((report.steps.len(), report.also.len(), report.transfer.len()), (2, 1, 3));
    assert_eq!(report.models[0].certificates[0].epsilon, 0.02);
    assert_eq!(report.config["plan"]["attacks"][2]["target"], "next");
    assert!(report.config["runs"].get("target").is_some());
}

#[test]
fn mistakes_are_told_before_anything_is_computed() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    succeeds(folder, &["train", "--model", "small-cnn", "--epochs", "1", "--out", "pooled"]);
    fs::write(folder.join("narrow.csv"), "a,b,y\n0,1,0\n1,0,1\n").unwrap();
    let cases: [(&[&str], &[&str]); 15] = [
        (&["--queries", "9"], &["--queries 9", "--attacks pgd,square"]),
        (&["--attacks", "square", "--queries", "0"], &["queries = 0", "at least 1"]),
        (&["--attacks", "fgsm", "--steps-curve"], &["fgsm has no steps", "pgd"]),
        (&["--steps-curve=0,5"], &["steps [0, 5]", "at least 1"]),
        (&["--steps-curve=5,5"], &["[5, 5]", "increase"]),
        (&["--certify", "crwn"], &["did you mean crown?"]),
        (&["--certify", "crown", "--norm", "l2"], &["linf", "an eps of its own"]),
        (&["--minimal", "pgd"], &["--minimal pgd", "needs a budget", "ddn"]),
        (&["--minimal", "deepfool"], &["did you mean deep_fool?"]),
        (&["--target", "10"], &["class 10", "0 to 9"]),
        (&["--attacks", "pgd,pgd"], &["PGD-40", "twice"]),
        (&["--also", "digits"], &["trained and measured on that data already"]),
        (&["--also", "narrow.csv"], &["narrow", "shape"]),
        (&["--also", "nowhere"], &["--also", "nowhere"]),
        (&["--transfer-from", "run"], &["two models are called", "rename one"]),
    ];
    for (flags, parts) in cases {
        let args = [&["evaluate", "run", "--eps", "0.1", "--out", "report"], flags].concat();
        fails(folder, &args, parts);
        assert_eq!(names(&folder.join("report")), [""; 0], "{flags:?} left files");
    }
    let args = ["evaluate", "pooled", "--eps", "0.1", "--out", "report", "--certify", "crown"];
    fails(folder, &args, &["crown of pooled", "interval"]);
    let within = "[threat]\nnorm = \"linf\"\neps = 0.1\n";
    for (text, parts) in [
        ("[[attacks]]\ntype = \"deep_fool\"\nnorm = \"linf\"\n", &["list it under `minimal`"][..]),
        ("[[minimal]]\ntype = \"ddn\"\neps = 0.1\n", &["has a budget", "`attacks`"]),
        ("[[attacks]]\ntype = \"pgd\"\neps = 0.2\n", &["a comparison has one budget"]),
        ("[[attacks]]\ntype = \"pgd\"\neps = 0.1\ntarget = \"nxt\"\n", &["use next, others"]),
        (
            "[[attacks]]\ntype = \"pgd\"\neps = 0.1\nstep_count = 3\n",
            &["unknown field `step_count`"],
        ),
        ("[[certify]]\nmethod = \"crown\"\nepsilon = 1\n", &["unknown field `epsilon`", "`eps`"]),
    ] {
        fs::write(folder.join("plan.toml"), format!("{text}{within}")).unwrap();
        fails(folder, &["evaluate", "run", "-c", "plan.toml", "--out", "report"], parts);
        assert_eq!(names(&folder.join("report")), [""; 0], "{text} left files");
    }
}
