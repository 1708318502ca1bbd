//! Privacy: membership inference and guarantees.

use super::{figure, grid, series, table};
use crate::report::chart::{Axis, Bar, BarGroup, Line, LineChart, Pen, Ticks, bars};
use crate::report::format::{self, ABSENT};
use crate::report::table::{Cell, Column, Table};
use crate::report::{MembershipReport, ModelReport, Report};

pub(super) fn body(report: &Report) -> String {
    let figures: Vec<String> =
        [roc(report, false), roc(report, true), advantages(report)].into_iter().flatten().collect();
    let tables = [attacks(report), budgets(report)];
    format!("{}{}", grid(&figures), tables.into_iter().flatten().collect::<String>())
}

/// ROC curves of the strongest attack on each model, on axes of equal steps, or of equal ratios, which
/// show the few samples that an adversary is sure of.
fn roc(report: &Report, logarithmic: bool) -> Option<String> {
    let strongest = (report.models_in_order().into_iter())
        .filter_map(|m| Some((m, m.strongest_membership().filter(|a| !a.roc.is_empty())?)));
    let most = strongest.clone().map(|(_, a)| a.non_members).max()?;
    let lines: Vec<Line> = strongest
        .enumerate()
        .map(|(at, (model, attack))| Line {
            name: format!("{} (AUC {:.3})", model.name, attack.auc),
            pen: Pen { series: series(report, &model.name), dash: at % 4, markers: false },
            points: attack.roc.iter().map(|p| (p[0], p[1])).collect(),
        })
        .collect();
    let legend: Vec<(Pen, String)> = lines.iter().map(|l| (l.pen, l.name.clone())).collect();
    let names: Vec<&str> = lines.iter().map(|l| l.name.as_str()).collect();
    let axis = |title: &str| match logarithmic {
        // From the power of ten below the lowest rate that so many samples show.
        true => Axis {
            title: title.into(),
            domain: (10f64.powi(-(most.max(10) as f64).log10().ceil() as i32), 1.0),
            ticks: Ticks::LogPercent,
        },
        false => Axis::unit(title),
    };
    let (title, text) = match logarithmic {
        true => (
            "Telling a few members for certain",
            "The same curves on logarithmic axes, where low false-positive rates are seen: left is \
             certainty. A private model stays on the diagonal.",
        ),
        false => (
            "Telling members from others",
            "The strongest membership attack on each model. A private model stays on the diagonal, \
             which is guessing.",
        ),
    };
    let drawing = LineChart {
        title,
        description: &format!("ROC curves. {}.", names.join(", ")),
        x: axis("False-positive rate"),
        y: axis("True-positive rate"),
        lines,
        at_x: Vec::new(),
        at_y: Vec::new(),
        diagonal: true,
    }
    .draw();
    Some(figure(title, text, &legend, &drawing))
}

fn advantages(report: &Report) -> Option<String> {
    let groups: Vec<BarGroup> = (report.models_in_order().into_iter())
        .filter_map(|model| {
            let attack = model.strongest_membership()?;
            Some(BarGroup {
                name: format!("{}, {}", model.name, attack.attack),
                series: series(report, &model.name),
                bars: vec![Bar {
                    kind: "",
                    value: attack.advantage,
                    text: format::percent(attack.advantage),
                    pale: false,
                }],
            })
        })
        .collect();
    if groups.is_empty() {
        return None;
    }
    let title = "Membership advantage";
    let each: Vec<String> =
        groups.iter().map(|g| format!("{}: {}.", g.name, g.bars[0].text)).collect();
    let largest = groups.iter().map(|g| g.bars[0].value).fold(0.1, f64::max).min(1.0);
    let longest = (largest * 20.0).ceil() / 20.0;
    let text = format!(
        "The strongest attack on each model; shorter keeps more private. Full length is {:.0}%.",
        longest * 100.0
    );
    Some(figure(title, &text, &[], &bars(title, &each.join(" "), &groups, longest)))
}

/// All membership attacks with their figures.
fn attacks(report: &Report) -> Option<String> {
    let all: Vec<(&ModelReport, &MembershipReport)> = (report.models_in_order().into_iter())
        .flat_map(|m| m.membership.iter().map(move |a| (m, a)))
        .collect();
    if all.is_empty() {
        return None;
    }
    let mut rates: Vec<f64> =
        all.iter().flat_map(|(_, a)| a.tpr_at_fpr.iter().map(|t| t.fpr)).collect();
    rates.sort_by(|a, b| b.total_cmp(a));
    rates.dedup();
    let mut columns = vec![
        Column::left("Model"),
        Column::left("Attack"),
        Column::right("AUC"),
        Column::right("Advantage"),
        Column::right("Balanced accuracy"),
    ];
    columns.extend(
        rates.iter().map(|r| Column::right(format!("TPR at {}% FPR", format::number(r * 100.0)))),
    );
    columns.extend([Column::right("Members"), Column::right("Non-members")]);
    let rows = all
        .iter()
        .map(|(model, attack)| {
            let mut row = vec![
                Cell::text(model.name.replace('\n', " ")),
                Cell::text(attack.attack.clone()),
                Cell::text(score(attack.auc)),
                Cell::text(format::percent(attack.advantage)),
                Cell::text(format::percent(attack.balanced_accuracy)),
            ];
            row.extend(rates.iter().map(|rate| {
                let found = attack.tpr_at_fpr.iter().find(|t| t.fpr == *rate);
                Cell::text(found.map_or(ABSENT.into(), |t| format::percent(t.tpr)))
            }));
            row.extend([attack.members, attack.non_members].map(|n| Cell::text(format::count(n))));
            row
        })
        .collect();
    let html = table(&Table { columns, rows }, "Membership-inference attacks");
    Some(format!(
        "<div class=\"card\">\n{html}<p class=\"note\">A true-positive rate is given only where there \
         are enough non-members to show the false-positive rate.</p></div>\n"
    ))
}

fn score(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { ABSENT.into() }
}

/// Differential-privacy guarantees.
fn budgets(report: &Report) -> Option<String> {
    let columns =
        ["Epsilon", "Delta", "Noise multiplier", "Clipping norm", "Sampling rate", "Steps"];
    let rows: Vec<Vec<Cell>> = (report.models_in_order().into_iter())
        .filter_map(|model| {
            let b = model.privacy_budget.as_ref()?;
            let numbers =
                [b.epsilon, b.delta, b.noise_multiplier, b.clipping_norm, b.sampling_rate];
            let known = |text: &str| Cell::text(if text.is_empty() { ABSENT } else { text });
            let mut row = vec![Cell::text(model.name.replace('\n', " "))];
            row.extend([&b.accountant, &b.sampling, &b.neighbours].map(|text| known(text)));
            row.extend(numbers.map(|v| Cell::text(format::number(v))));
            row.push(Cell::text(format::count(b.steps)));
            Some(row)
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    let columns = ["Differential privacy", "Accountant", "Sampling", "Neighbours"]
        .map(Column::left)
        .into_iter()
        .chain(columns.map(Column::right))
        .collect();
    let html = table(&Table { columns, rows }, "Differential-privacy guarantees");
    Some(format!("<div class=\"card\">\n{html}</div>\n"))
}
