//! Reports that hold little or nothing, and numbers at the ends of what is possible.

use inocula_core::metrics::Confusion;
use inocula_core::report::html::render;
use inocula_core::report::{ClassificationReport, CurvePoint, ModelReport, Report};

use crate::markup::{check_numbers, parse};
use crate::sample::report;

fn sound(report: &Report) -> String {
    let page = render(report);
    let tags = parse(&page).unwrap();
    check_numbers(&tags).unwrap();
    for word in [">NaN", "NaN%", ">inf", "inf%", ">-inf"] {
        assert!(!page.contains(word), "{word}");
    }
    let _ = report.comparison_table().to_text();
    page
}

/// The sample without anything that a report may lack.
fn bare() -> Report {
    let mut report = report();
    report.threat = None;
    report.transfer.clear();
    report.curves.clear();
    report.pictures.clear();
    report.warnings.clear();
    report.models.truncate(1);
    strip(&mut report.models[0]);
    report.summary = report.draft_summary();
    report
}

fn strip(model: &mut ModelReport) {
    model.training = None;
    model.attacks.clear();
    model.worst_case_accuracy = None;
    model.mean_perturbation_to_fool = None;
    model.membership.clear();
    model.privacy_budget = None;
}

#[test]
fn one_model_without_attacks_has_a_page_of_what_there_is() {
    let report = bare();
    assert_eq!(report.summary.len(), 1, "{:?}", report.summary);
    let page = sound(&report);
    for absent in ["id=\"robustness\"", "id=\"privacy\"", "id=\"pictures\"", "class=\"warnings\""] {
        assert!(!page.contains(absent), "{absent}");
    }
    assert!(page.contains("id=\"comparison\"") && page.contains("id=\"setup\""));
}

#[test]
fn no_model_at_all_still_has_a_setup() {
    let mut report = bare();
    report.models.clear();
    report.summary = report.draft_summary();
    assert!(sound(&report).contains("id=\"setup\""));
}

#[test]
fn no_baseline_means_no_differences() {
    let mut report = report();
    report.models.iter_mut().for_each(|m| m.baseline = false);
    assert!(!sound(&report).contains("class=\"delta"));
    assert_eq!(report.draft_summary().len(), 3);
}

#[test]
fn all_zero_values_draw() {
    let mut report = report();
    for model in &mut report.models {
        let confusion = Confusion::new(10);
        let names: Vec<String> = report.dataset.classes.clone();
        model.clean = ClassificationReport::new(&confusion, &names).unwrap();
        model.worst_case_accuracy = Some(0.0);
        for attack in &mut model.attacks {
            attack.robust_accuracy = 0.0;
            attack.epsilon = Some(0.0);
        }
        for membership in &mut model.membership {
            membership.advantage = 0.0;
            membership.roc = vec![[0.0, 0.0]];
        }
        for record in &mut model.training.as_mut().unwrap().history {
            *record = inocula_core::report::EpochRecord {
                epoch: 0,
                loss: Some(0.0),
                clean_accuracy: Some(0.0),
                robust_accuracy: Some(0.0),
                one_step_accuracy: Some(0.0),
                epsilon: Some(0.0),
            };
        }
    }
    for curve in &mut report.curves {
        curve.points = vec![CurvePoint { epsilon: 0.0, accuracy: 0.0 }];
    }
    report.transfer[0].values.iter_mut().flatten().for_each(|v| *v = 0.0);
    sound(&report);
}

/// A caller that breaks the contract gets a page with gaps, not one that does not open.
#[test]
fn nan_and_infinity_leave_gaps() {
    let mut report = report();
    for (at, model) in report.models.iter_mut().enumerate() {
        let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][at];
        model.clean.accuracy = bad;
        model.clean.f1 = bad;
        model.worst_case_accuracy = Some(bad);
        model.mean_perturbation_to_fool.as_mut().unwrap().mean = bad;
        model.attacks.iter_mut().for_each(|a| a.robust_accuracy = bad);
        model.membership.iter_mut().for_each(|m| {
            m.advantage = bad;
            m.auc = bad;
            m.roc.iter_mut().for_each(|p| p[1] = bad);
        });
        let training = model.training.as_mut().unwrap();
        training.seconds = bad;
        training.history.iter_mut().for_each(|e| e.loss = Some(bad));
    }
    report.curves[0].points.iter_mut().for_each(|p| p.epsilon = f64::NAN);
    report.transfer[0].values[0][0] = f64::NAN;
    report.threat.as_mut().unwrap().epsilon = f64::NAN;
    sound(&report);
}

#[test]
fn lists_of_unequal_length_do_not_panic() {
    let mut report = report();
    report.transfer[0].values = vec![vec![0.5]];
    report.models[0].clean.confusion = vec![vec![1], vec![]];
    report.pictures[0].columns.truncate(1);
    report.pictures[0].rows[0].cells[0].pixels.truncate(5);
    report.curves[0].model = "a model that is not listed".into();
    report.curves[1].points.clear();
    assert!(sound(&report).contains("no picture"));
}

#[test]
fn many_models_with_long_names_fit() {
    let mut report = report();
    let one = report.models[1].clone();
    for i in 0..12 {
        let name =
            format!("model {i} with a name that is a good deal longer than most of them are");
        report.models.push(ModelReport { name: name.clone(), ..one.clone() });
        report.transfer[0].sources.push(name.clone());
        report.transfer[0].targets.push(name);
    }
    for row in &mut report.transfer[0].values {
        row.resize(15, 0.25);
    }
    report.transfer[0].values.resize(15, vec![0.75; 15]);
    let page = sound(&report);
    if let Some(path) = std::env::var_os("INOCULA_REPORT_SAMPLE") {
        let path = std::path::PathBuf::from(path).with_extension("many.html");
        std::fs::write(path, page).unwrap();
    }
}
