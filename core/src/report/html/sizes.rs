//! How far samples have to be moved: the distribution of the smallest perturbations found.

use super::robustness::describe;
use super::{figure, series, table};
use crate::report::chart::{Axis, Line, LineChart, Pen, Ticks, extent};
use crate::report::format::{self, ABSENT};
use crate::report::table::{Cell, Column, Table};
use crate::report::{ModelReport, Report, SizeDistribution};

/// What was measured, in order of first appearance.
fn labels(report: &Report) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for found in report.models_in_order().iter().flat_map(|m| &m.distributions) {
        let label = found.label();
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    labels
}

/// The models that have a distribution of this label.
fn having<'a>(
    report: &'a Report,
    label: &'a str,
) -> impl Iterator<Item = (&'a ModelReport, &'a SizeDistribution)> {
    let of = move |m: &'a ModelReport| m.distributions.iter().find(|d| d.label() == label);
    report.models_in_order().into_iter().filter_map(move |m| Some((m, of(m)?)))
}

/// A figure an attack: the share of samples that are fooled within a size.
pub(super) fn figures(report: &Report) -> Vec<String> {
    labels(report).iter().map(|label| one(report, label)).collect()
}

fn one(report: &Report, label: &str) -> String {
    let lines: Vec<Line> = having(report, label)
        .enumerate()
        .map(|(at, (model, found))| Line {
            name: model.name.clone(),
            pen: Pen { series: series(report, &model.name), dash: at % 4, markers: false },
            points: std::iter::once([0.0, 0.0])
                .chain(found.curve.iter().copied())
                .map(|[x, y]| (x, y))
                .collect(),
        })
        .collect();
    let legend: Vec<(Pen, String)> = lines.iter().map(|l| (l.pen, l.name.clone())).collect();
    let sizes = lines.iter().flat_map(|l| l.points.iter().map(|p| p.0));
    let norm = having(report, label).next().map(|(_, d)| d.norm);
    let threat = report.threat.as_ref().filter(|t| Some(t.norm) == norm);
    let at_x = threat.map(|t| (t.epsilon, format!("ε = {}", format::number(t.epsilon))));
    let title = format!("Samples fooled within a size, {label}");
    // Few of many points are said aloud.
    let spoken: Vec<Line> = lines
        .iter()
        .map(|l| Line {
            name: l.name.clone(),
            pen: l.pen,
            points: l.points.iter().copied().step_by(l.points.len().div_ceil(5).max(1)).collect(),
        })
        .collect();
    let drawing = LineChart {
        title: &title,
        description: &describe(&spoken),
        x: Axis {
            title: format!("Size ({})", norm.map_or("", crate::metrics::Norm::symbol)),
            domain: extent(sizes).unwrap_or((0.0, 1.0)),
            ticks: Ticks::Number,
        },
        y: Axis::unit("Fooled, of those right before"),
        lines,
        at_x: at_x.into_iter().collect(),
        at_y: Vec::new(),
        diagonal: false,
    }
    .draw();
    let text = "Farther to the right is harder to fool. A curve that ends below 100% leaves samples that \
                the attack could not fool at all.";
    figure(&title, text, &legend, &drawing)
}

/// Quantiles of every distribution.
pub(super) fn table_of(report: &Report) -> Option<String> {
    let labels = labels(report);
    let all: Vec<(&ModelReport, &SizeDistribution)> =
        labels.iter().flat_map(|label| having(report, label)).collect();
    let mut fractions: Vec<f64> =
        all.iter().flat_map(|(_, d)| d.quantiles.iter().map(|q| q.fraction)).collect();
    fractions.sort_by(f64::total_cmp);
    fractions.dedup();
    let rows: Vec<Vec<Cell>> = (all.iter())
        .map(|(model, found)| {
            let mut row = vec![
                Cell::text(found.label().replace('\n', " ")),
                Cell::text(found.access.label()),
                Cell::text(model.name.replace('\n', " ")),
            ];
            row.extend(fractions.iter().map(|fraction| {
                let known = found.quantiles.iter().find(|q| q.fraction == *fraction);
                Cell::text(known.map_or(ABSENT.into(), |q| format::number(q.size)))
            }));
            row.push(Cell::text(found.mean.map_or(ABSENT.into(), format::number)));
            row.push(Cell::text(format::percent(found.unfooled)));
            row
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    let columns = ["Attack", "Sees", "Model"].map(Column::left).into_iter();
    let quantiles = fractions.iter().map(|f| Column::right(format!("{}% within", f * 100.0)));
    let rest = ["Mean of fooled", "Not fooled"].map(Column::right);
    let columns = columns.chain(quantiles).chain(rest).collect();
    let html = table(&Table { columns, rows }, "Sizes of the smallest perturbations");
    Some(format!(
        "<div class=\"card\"><h3>The smallest perturbations that fool</h3>\n{html}<p class=\"note\">Of the \
         samples that a model had right. A size is what the attack needed, so the truth is at most that. \
         A dash stands where fewer samples than that were fooled.</p></div>\n"
    ))
}
