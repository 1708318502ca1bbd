//! The comparison and the findings.

use inocula_core::doubt::{Finding, Kind};
use inocula_core::report::{Report, Table, html};

use crate::sample::{BASELINE, PGD, TRADES, report};

fn column(table: &Table, heading: &str) -> usize {
    table.columns.iter().position(|c| c.heading == heading).unwrap()
}

#[test]
fn the_baseline_comes_first_and_differences_know_their_direction() {
    let mut report = report();
    report.models.rotate_left(1);
    let table = report.comparison_table();
    let names: Vec<&str> = table.rows.iter().map(|r| r[0].text.as_str()).collect();
    assert_eq!(names, [BASELINE, PGD, TRADES]);
    assert!(table.rows[0].iter().all(|c| c.delta.is_none()));
    let delta = |row: usize, heading: &str| {
        let cell = table.rows[row][column(&table, heading)].clone();
        (cell.text, cell.delta.map(|d| (d.text, d.better)))
    };
    let apgd = delta(1, "Accuracy, APGD L∞ 0.1");
    assert_eq!(apgd, ("90.3%".into(), Some(("+87.2".into(), Some(true)))));
    let fool = delta(1, "Mean size to fool, DeepFool L2");
    assert_eq!(fool, ("2.87".into(), Some(("+1.460".into(), Some(true)))));
    // More leakage is worse, less is better.
    assert_eq!(delta(1, "Membership advantage").1.unwrap().1, Some(false));
    assert_eq!(delta(2, "Membership advantage").1.unwrap().1, Some(true));
    // Costs are stated, not judged, and what a model lacks is a dash.
    assert_eq!(delta(1, "Training"), ("5 min 12 s".into(), None));
    assert_eq!(delta(0, "Claimed epsilon"), ("–".into(), None));
    assert_eq!(delta(2, "Claimed epsilon"), ("7.93".into(), None));
}

#[test]
fn a_figure_in_doubt_is_marked_wherever_it_stands() {
    let mut report = report();
    assert_eq!(report.doubts(), Vec::<String>::new());
    let finding = Finding {
        kind: Kind::ZeroGradients,
        model: PGD.into(),
        figure: "APGD L∞ 0.1".into(),
        sentence: "the gradient is zero; attack <otherwise>".into(),
        evidence: [("zero".to_owned(), 40.0)].into(),
    };
    let at = report.models.iter().position(|m| m.name == PGD).unwrap();
    report.models[at].findings.push(finding);
    let table = report.comparison_table();
    let row = table.rows.iter().find(|r| r[0].text == PGD).unwrap();
    for (heading, marked) in [
        ("Accuracy, APGD L∞ 0.1", true),
        ("Accuracy, worst case", true),
        ("Clean accuracy", false),
        ("Success, APGD L∞ 0.1", false),
    ] {
        assert_eq!(row[column(&table, heading)].text.ends_with('†'), marked, "{heading}");
    }
    assert_eq!(table.to_text().matches('†').count(), 2, "no other model is marked");
    let line =
        format!("† {PGD}, APGD L∞ 0.1: the gradient is zero; attack <otherwise> (zero_gradients)");
    assert_eq!(report.doubts(), [line]);
    assert!(report.draft_summary()[0].ends_with("; the check doubts this figure (†)."));
    let page = html::render(&report);
    assert!(page.contains("attack &lt;otherwise&gt; (zero_gradients)"));
    // The comparison has two, a bar one and its hint one, the list of the model's attacks one.
    assert_eq!(page.matches("%†").count(), 5);
    let read = Report::from_json(&report.to_json_pretty().unwrap()).unwrap();
    assert_eq!(read, report);
}

#[test]
fn the_terminal_gets_a_table_that_fits() {
    let table = report().comparison_table();
    assert!(table.to_text().lines().any(|l| l.chars().count() > 120));
    let text = table.to_text_within(120);
    assert!(text.lines().all(|l| l.chars().count() <= 120), "{text}");
    assert!(text.starts_with("Model"));
    let line = text.lines().find(|l| l.starts_with("Accuracy, APGD")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        words,
        ["Accuracy,", "APGD", "L∞", "0.1", "3.1%", "90.3%", "(+87.2)", "84.2%", "(+81.1)"]
    );
}

#[test]
fn the_findings_speak_of_one_model() {
    let summary = report().draft_summary();
    assert_eq!(summary.len(), 3);
    assert!(summary.iter().all(|line| line.contains(PGD) && line.contains(BASELINE)));
    assert_eq!(
        summary[0],
        "Robustness: PGD adversarial training gets 89.5% right under the worst of the attacks, \
         Standard training 2.3% (+87.2 points)."
    );
}
