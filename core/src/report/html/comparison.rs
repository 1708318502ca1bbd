//! The comparison: the table, accuracy with and without attack, and the trade-off.

use super::{figure, grid, series, table};
use crate::report::chart::{Bar, BarGroup, Bubble, Pen, bars, scatter};
use crate::report::doubted::MARK;
use crate::report::svg::Esc;
use crate::report::{ModelReport, Report, format};

pub(super) fn body(report: &Report) -> String {
    if report.models.is_empty() {
        return String::new();
    }
    let mut comparison = report.comparison_table();
    // Many figures of few models read better down than across.
    let turned = comparison.columns.len() > WIDE && comparison.rows.len() < NARROW;
    for (row, model) in comparison.rows.iter_mut().zip(report.models_in_order()) {
        if let Some(name) = row.first_mut() {
            // The second line of a row's heading is its remark.
            name.text = name.text.replace('\n', " ");
            if model.baseline && !turned {
                name.text.push_str("\nbaseline");
            } else if model.baseline && model.name != "baseline" {
                name.text.push_str(" (baseline)");
            }
        }
    }
    if turned {
        comparison = comparison.transposed();
    }
    format!(
        "<div class=\"card\">\n{}{}</div>\n{}",
        table(&comparison, "Comparison of models"),
        doubts(report),
        grid(&[trade_off(report), accuracy(report)].map(Option::unwrap_or_default))
    )
}

fn doubts(report: &Report) -> String {
    report.doubts().iter().map(|line| format!("<p class=\"note\">{}</p>\n", Esc(line))).collect()
}

/// Columns beyond which the comparison is turned, if there are fewer models than [`NARROW`].
const WIDE: usize = 9;
const NARROW: usize = 6;

fn accuracy(report: &Report) -> Option<String> {
    let attacked = report.models.iter().any(|m| m.robust_accuracy().is_some());
    let groups: Vec<BarGroup> = (report.models_in_order().into_iter())
        .map(|model| {
            let bar = |kind, value, pale| Bar { kind, value, text: format::percent(value), pale };
            let clean = bar("clean", model.clean.accuracy, true);
            let mut robust = model.robust_accuracy().map(|v| bar("attacked", v, false));
            if let Some(bar) = robust.as_mut().filter(|_| !model.findings.is_empty()) {
                bar.text.push_str(MARK);
            }
            BarGroup {
                name: model.name.clone(),
                series: series(report, &model.name),
                bars: std::iter::once(clean).chain(robust).collect(),
            }
        })
        .collect();
    let title = if attacked { "Accuracy with and without attack" } else { "Accuracy" };
    let text = match attacked {
        true => "Clean test samples above, the worst case over all attacks below.",
        false => "On clean test samples; no attack was run.",
    };
    let description = spoken(report, |m| {
        let robust = m.robust_accuracy().map(|v| format!(", {} attacked", format::percent(v)));
        format!("{} clean{}", format::percent(m.clean.accuracy), robust.unwrap_or_default())
    });
    Some(figure(title, text, &[], &bars(title, &description, &groups, 1.0)))
}

/// So many models can be named in the drawing itself.
const NAMED: usize = 6;

/// Utility against robustness, the membership leak as a halo. Needs a model that was attacked.
fn trade_off(report: &Report) -> Option<String> {
    // Beyond a handful of models, numbers that a list explains stand in for names.
    let numbered = report.models.len() > NAMED;
    let mut legend = Vec::new();
    let bubbles: Vec<Bubble> = (report.models_in_order().into_iter())
        .filter_map(|model| {
            let y = model.robust_accuracy()?;
            let advantage = model.strongest_membership().map(|m| m.advantage);
            // Short, as it stands beside its point on a phone too.
            let note = match (advantage, &model.privacy_budget) {
                (None, _) => "leak not measured".into(),
                (Some(a), None) => format!("advantage {}", format::percent(a)),
                (Some(a), Some(b)) => {
                    format!("advantage {}, ε {}", format::percent(a), format::number(b.epsilon))
                }
            };
            let hint = format!("{}: membership {note}", model.name);
            let series = series(report, &model.name);
            let (name, note) = if numbered {
                let number = (legend.len() + 1).to_string();
                legend.push((Pen::dot(series), format!("{number} {}", model.name)));
                (number, String::new())
            } else {
                (model.name.clone(), note)
            };
            Some(Bubble { name, note, hint, series, x: model.clean.accuracy, y, halo: advantage })
        })
        .collect();
    if bubbles.is_empty() {
        return None;
    }
    let title = "The trade-off";
    let text = "Up is more robust, right is more accurate. The area of a halo is the membership \
                advantage: smaller keeps more private. Axes do not start at 0.";
    let description = spoken(report, |m| {
        let (robust, leak) = (m.robust_accuracy(), m.strongest_membership().map(|a| a.advantage));
        let show = |v: Option<f64>| v.map_or("not measured".into(), format::percent);
        format!(
            "clean {}, attacked {}, membership advantage {}",
            format::percent(m.clean.accuracy),
            show(robust),
            show(leak)
        )
    });
    let axes = ["Clean accuracy", "Worst-case accuracy under attack"];
    Some(figure(title, text, &legend, &scatter(title, &description, axes, &bubbles)))
}

/// A description for readers who do not see the drawing: each model with its figures.
fn spoken(report: &Report, of: impl Fn(&ModelReport) -> String) -> String {
    let each = report.models_in_order().into_iter().map(|m| format!("{}: {}.", m.name, of(m)));
    each.collect::<Vec<String>>().join(" ")
}
