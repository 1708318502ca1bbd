//! Robustness: accuracy over growing budgets, and how attacks carry over between models.

use super::{access, also, certificates, classes, figure, grid, series, sizes, steps};
use crate::metrics::Norm;
use crate::report::chart::{Axis, HeatMap, Line, LineChart, Pen, Shade, Ticks, extent, heatmap};
use crate::report::{Report, RobustnessCurve, TransferMatrix, TransferQuantity, format};

pub(super) fn body(report: &Report) -> String {
    let curves = kinds(&report.curves).into_iter().map(|kind| curves(report, kind));
    let steps = steps::figure_of(report).into_iter();
    let certificates = certificates::figures(report);
    let sizes = sizes::figures(report);
    let transfers = report.transfer.iter().map(|matrix| transfer(matrix, ""));
    let elsewhere = report.also.iter().filter_map(|data| {
        data.transfer.as_ref().map(|matrix| transfer(matrix, &format!(" on {}", data.name)))
    });
    let transfers = transfers.chain(elsewhere);
    let figures = curves.chain(steps).chain(certificates).chain(sizes);
    let figures = figures.chain(classes::figure_of(report)).chain(also::figure_of(report));
    let tables = [access::table_of(report), sizes::table_of(report), also::table_of(report)];
    let tables: String = tables.into_iter().flatten().collect();
    format!("{}{tables}", grid(&figures.chain(transfers).collect::<Vec<String>>()))
}

/// The attacks and norms for which there are curves, in order of first appearance.
fn kinds(curves: &[RobustnessCurve]) -> Vec<(&str, Norm)> {
    let mut kinds = Vec::new();
    for curve in curves {
        let kind = (curve.attack.as_str(), curve.norm);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

fn curves(report: &Report, (attack, norm): (&str, Norm)) -> String {
    let mine = || report.curves.iter().filter(|c| c.attack == attack && c.norm == norm);
    let lines: Vec<Line> = mine()
        .enumerate()
        .map(|(at, curve)| Line {
            name: curve.model.clone(),
            pen: Pen { series: series(report, &curve.model), dash: at % 4, markers: true },
            points: curve.points.iter().map(|p| (p.epsilon, p.accuracy)).collect(),
        })
        .collect();
    let legend: Vec<(Pen, String)> = lines.iter().map(|l| (l.pen, l.name.clone())).collect();
    let budgets = mine().flat_map(|c| c.points.iter().map(|p| p.epsilon));
    let threat = report.threat.as_ref().filter(|t| t.norm == norm);
    let at_x = threat.map(|t| (t.epsilon, format!("ε = {}", format::number(t.epsilon))));
    let chance = match report.dataset.classes.len() {
        0 => None,
        n => Some((1.0 / n as f64, "guessing".to_owned())),
    };
    let title = format!("Accuracy as the budget of {attack} grows");
    let drawing = LineChart {
        title: &title,
        description: &describe(&lines),
        x: Axis {
            title: format!("Budget ε ({})", norm.symbol()),
            domain: extent(budgets).unwrap_or((0.0, 1.0)),
            ticks: Ticks::Number,
        },
        y: Axis::unit("Accuracy under attack"),
        lines,
        at_x: at_x.into_iter().collect(),
        at_y: chance.into_iter().collect(),
        diagonal: false,
    }
    .draw();
    let text = "A sound attack reaches 0% for a large enough budget; a curve that stays up is a \
                sign of masked gradients.";
    figure(&title, text, &legend, &drawing)
}

pub(super) fn describe(lines: &[Line]) -> String {
    let each = lines.iter().map(|line| {
        let points = line.points.iter().map(|(epsilon, accuracy)| {
            format!("{} at {}", format::percent(*accuracy), format::number(*epsilon))
        });
        format!("{}: {}.", line.name, points.collect::<Vec<String>>().join(", "))
    });
    each.collect::<Vec<String>>().join(" ")
}

fn transfer(matrix: &TransferMatrix, place: &str) -> String {
    let (quantity, deep) = match matrix.quantity {
        TransferQuantity::RobustAccuracy => ("accuracy of the target", false),
        TransferQuantity::SuccessRate => ("success rate on the target", true),
        TransferQuantity::TargetedRate => ("share led to the class aimed at", true),
    };
    let title = format!(
        "Transfer of {} {} {}{place}",
        matrix.attack,
        matrix.norm.symbol(),
        format::number(matrix.epsilon)
    );
    let text = format!(
        "Examples made on a row's model, shown to a column's: {quantity}. The stronger the colour, \
         the worse for the defender."
    );
    let cell = |row: usize, column: usize| {
        let value = *matrix.values.get(row)?.get(column)?;
        Some(Shade { level: if deep { value } else { 1.0 - value }, text: format::percent(value) })
    };
    let drawing = heatmap(&HeatMap {
        title: &title,
        description: &text,
        sides: ["made on", "shown to"],
        rows: &matrix.sources,
        columns: &matrix.targets,
        cell: &cell,
    });
    figure(&title, &text, &[], &drawing)
}
