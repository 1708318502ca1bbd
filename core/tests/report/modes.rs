//! The modes of evaluation in a report: what each adds to JSON, table and page.

use inocula_core::metrics::{CALIBRATION_BINS, Norm, calibration, clopper_pearson};
use inocula_core::report::html::render;
use inocula_core::report::{
    Access, AttackReport, AttackedClass, CalibrationReport, CertificateReport, OtherData,
    OtherDataModel, QueryCounts, Report, SizeDistribution, StepsCurve, StepsPoint, WrongClass,
};

use crate::markup::{check_numbers, parse};
use crate::sample::{BASELINE, PGD, report};

/// The sample with every mode.
fn full() -> Report {
    let mut report = report();
    let classes = report.dataset.classes.clone();
    for (at, model) in report.models.iter_mut().enumerate() {
        let by = at as f64;
        let logits: Vec<f64> =
            (0..60).map(|i| f64::from((i * 7 + at as u32 * 3) % 11) / 3.0).collect();
        let labels: Vec<i64> = (0..30).map(|i| i % 2).collect();
        let found = calibration(&logits, &labels, CALIBRATION_BINS).unwrap();
        model.calibration = Some(CalibrationReport::from(&found));
        let strongest = &mut model.attacks[2];
        let class = |(i, name): (usize, &String)| AttackedClass {
            name: name.clone(),
            support: 36,
            robust_accuracy: Some((0.05 * i as f64 + 0.2 * by).min(1.0)),
            success_rate: (i != 3).then_some(0.5),
            taken_for: (i != 4).then(|| WrongClass { name: "7".into(), share: 0.25 }),
        };
        strongest.per_class = classes.iter().enumerate().map(class).collect();
        let asked = (0..300u64).map(|i| (1 + i * 7 % 400, i % 3 > 0));
        model.attacks[3].queries_each = QueryCounts::new(asked);
        let aimed = AttackReport {
            targeted: true,
            target: Some("to the next class".into()),
            ..model.attacks[1].clone()
        };
        model.attacks.push(aimed);
        let sizes: Vec<Option<f64>> =
            (0..300).map(|i| (i % 10 > at).then_some(0.01 * i as f64 * (by + 1.0))).collect();
        let ddn = SizeDistribution::new("DDN-300".into(), Access::WhiteBox, Norm::L2, &sizes);
        model.distributions.extend(ddn);
        model.certificates = vec![CertificateReport {
            method: "crown".into(),
            norm: Norm::Linf,
            epsilon: 0.1,
            samples: 360,
            certified_accuracy: 0.02 + 0.3 * by,
            interval: clopper_pearson(7, 360, 0.05).unwrap(),
            attacked_accuracy: 0.03 + 0.4 * by,
            seconds: 1.5,
        }];
        let point = |steps: u64| StepsPoint { steps, accuracy: 0.9 / (steps as f64).sqrt() };
        report.steps.push(StepsCurve {
            model: model.name.clone(),
            attack: "pgd".into(),
            norm: Norm::Linf,
            epsilon: 0.1,
            points: [1, 2, 5, 10, 20, 50, 100].map(point).to_vec(),
        });
    }
    let on = |m: &inocula_core::report::ModelReport| OtherDataModel {
        model: m.name.clone(),
        clean_accuracy: 0.81,
        robust_accuracy: Some(0.4),
    };
    report.also.push(OtherData {
        name: "another hand".into(),
        source: "hand.npz".into(),
        samples: 120,
        attacked: 100,
        attack: "PGD-40 L∞ 0.1".into(),
        models: report.models.iter().map(on).collect(),
        transfer: report.transfer.first().cloned(),
    });
    report
}

#[test]
fn every_mode_is_on_the_page() {
    let page = render(&full());
    if let Some(path) = std::env::var_os("INOCULA_REPORT_SAMPLE") {
        let path = std::path::PathBuf::from(path).with_extension("modes.html");
        std::fs::write(path, &page).unwrap();
    }
    let tags = parse(&page).unwrap();
    check_numbers(&tags).unwrap();
    // Besides the fourteen: steps, certificates, sizes, classes, other data and transfer there, calibration.
    let drawings = tags.iter().filter(|t| t.name == "svg" && t.get("role").is_some()).count();
    assert_eq!(drawings, 21);
    for part in [
        "Accuracy as pgd L∞ 0.1 takes more steps",
        "Certified against attacked, crown L∞ 0.1",
        "Samples fooled within a size, DDN-300 L2",
        "Accuracy under attack, class by class",
        "PGD-40 L∞ 0.1 on other data",
        " on another hand",
        "Confidence and accuracy",
        "Attacks by what they see",
        "Members that an attack is sure of",
        "Mostly taken for",
        "PGD-40 L∞ 0.1 to the next class",
        "white box",
        "7 (25.0%)",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn the_table_compares_what_the_modes_measured() {
    let report = full();
    let table = report.comparison_table();
    let cell = |heading: &str, row: usize| {
        let at = table.columns.iter().position(|c| c.heading == heading);
        let at = at.unwrap_or_else(|| panic!("{heading}"));
        table.rows[row][at].clone()
    };
    assert_eq!(cell("Certified, crown L∞ 0.1", 1).text, "32.0%");
    assert_eq!(cell("Certified, crown L∞ 0.1", 1).delta.unwrap().better, Some(true));
    for heading in ["Calibration error", "Brier score"] {
        let known = cell(heading, 1).delta.unwrap();
        assert_eq!(known.better, Some(known.text.starts_with('-')), "{heading}: less is better");
    }
    // Fewer than 30 % of the third model's samples hold, so its median is known too.
    assert!(cell("Median size to fool, DDN-300 L2", 2).delta.unwrap().better.unwrap());
    assert_eq!(cell("Membership TPR at 1% FPR", 0).delta, None);
    assert!(table.columns.iter().any(|c| c.heading == "Accuracy, Square L∞ 0.1 (scores)"));
    // With 360 non-members no rate of a thousandth can be shown.
    assert!(!table.columns.iter().any(|c| c.heading.contains("0.1% FPR")));
}

#[test]
fn all_of_it_survives_the_way_through_json() {
    let report = full();
    let text = report.to_json_pretty().unwrap();
    assert_eq!(Report::from_json(&text).unwrap(), report);
    for key in ["\"steps\"", "\"also\"", "\"certificates\"", "\"distributions\"", "\"per_class\""] {
        assert!(text.contains(key), "{key}");
    }
}

#[test]
fn what_is_broken_leaves_gaps() {
    let mut report = full();
    report.also[0].models.truncate(1);
    report.also[0].name = "<script>alert(1)</script>".into();
    report.steps[0].points.clear();
    report.steps[1].points[0] = StepsPoint { steps: 0, accuracy: f64::NAN };
    for model in &mut report.models {
        model.certificates[0].certified_accuracy = f64::NAN;
        model.distributions[0].curve = vec![[f64::NAN, f64::INFINITY]];
        model.distributions[0].quantiles.truncate(1);
        model.calibration.as_mut().unwrap().diagram.clear();
        model.attacks[2].per_class.truncate(2);
        model.attacks[2].per_class[0].robust_accuracy = Some(f64::NAN);
        model.attacks[2].per_class[0].name = "\"><b>".into();
        model.attacks[3].queries_each.as_mut().unwrap().mean = f64::INFINITY;
        model.membership[0].roc = vec![[f64::NAN, 0.5], [0.0, 0.0], [1.0, 1.0]];
        model.membership[0].non_members = 0;
    }
    let page = render(&report);
    let tags = parse(&page).unwrap();
    check_numbers(&tags).unwrap();
    assert!(tags.iter().all(|t| t.name != "script"));
    for word in [">NaN", "NaN%", ">inf", "inf%"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains(BASELINE) && page.contains(PGD));
}
