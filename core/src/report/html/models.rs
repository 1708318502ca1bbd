//! Each model by itself: how training went, every attack, and every class.

use std::fmt::Write as _;

use super::{calibration, classes, figure, grid, series, table};
use crate::report::chart::{Axis, HeatMap, Line, LineChart, Pen, Shade, Ticks, extent, heatmap};
use crate::report::doubted::MARK;
use crate::report::format::{self, ABSENT};
use crate::report::svg::Esc;
use crate::report::table::{Cell, Column, Table};
use crate::report::{EpochRecord, ModelReport, Report};

pub(super) fn body(report: &Report) -> String {
    let models = report.models_in_order();
    let mut figures: Vec<String> = models.iter().filter_map(|m| training(report, m)).collect();
    figures.extend(losses(report));
    figures.extend(calibration::figure_of(report));
    let details = models.iter().map(|m| details(m));
    format!("{}{}", grid(&figures), details.collect::<String>())
}

fn history(model: &ModelReport) -> &[EpochRecord] {
    model.training.as_ref().map_or(&[], |t| &t.history)
}

fn epochs<'a>(models: impl IntoIterator<Item = &'a ModelReport>) -> Axis {
    let all = models.into_iter().flat_map(|m| history(m).iter().map(|e| e.epoch as f64));
    Axis { title: "Epoch".into(), domain: extent(all).unwrap_or((0.0, 1.0)), ticks: Ticks::Count }
}

/// Clean and robust accuracy of a model after each epoch, over the epochs of the longest training.
fn training(report: &Report, model: &ModelReport) -> Option<String> {
    let series = series(report, &model.name);
    let line = |name: &str, dash: usize, of: fn(&EpochRecord) -> Option<f64>| {
        let points: Vec<(f64, f64)> =
            history(model).iter().filter_map(|e| Some((e.epoch as f64, of(e)?))).collect();
        let pen = Pen { series, dash, markers: false };
        (!points.is_empty()).then(|| Line { name: name.into(), pen, points })
    };
    let clean = line("clean", 0, |e| e.clean_accuracy);
    let robust = line("attacked", 1, |e| e.robust_accuracy);
    let lines: Vec<Line> = clean.into_iter().chain(robust).collect();
    if lines.is_empty() {
        return None;
    }
    let legend: Vec<(Pen, String)> = lines.iter().map(|l| (l.pen, l.name.clone())).collect();
    let title = format!("Learning curve of {}", model.name);
    let ends = lines.iter().filter_map(|l| Some((&l.name, l.points.last()?.1)));
    let ends: Vec<String> =
        ends.map(|(name, v)| format!("{name} {}", format::percent(v))).collect();
    let drawing = LineChart {
        title: &title,
        description: &format!("Accuracy after each epoch, at the end {}.", ends.join(", ")),
        x: epochs(&report.models),
        y: Axis::unit("Accuracy, held-out samples"),
        lines,
        at_x: Vec::new(),
        at_y: Vec::new(),
        diagonal: false,
    }
    .draw();
    let text = model.training.as_ref().map_or("", |t| t.description.as_str());
    Some(figure(&title, text, &legend, &drawing))
}

fn losses(report: &Report) -> Option<String> {
    let lines: Vec<Line> = (report.models_in_order().into_iter())
        .filter(|m| history(m).iter().any(|e| e.loss.is_some()))
        .enumerate()
        .map(|(at, model)| Line {
            name: model.name.clone(),
            pen: Pen { series: series(report, &model.name), dash: at % 4, markers: false },
            points: history(model).iter().filter_map(|e| Some((e.epoch as f64, e.loss?))).collect(),
        })
        .collect();
    let legend: Vec<(Pen, String)> = lines.iter().map(|l| (l.pen, l.name.clone())).collect();
    let (low, high) = extent(lines.iter().flat_map(|l| l.points.iter().map(|p| p.1)))?;
    let title = "Training loss";
    let drawing = LineChart {
        title,
        description: "Mean loss per sample in each epoch, a line a model.",
        x: epochs(&report.models),
        y: Axis {
            title: "Mean loss per sample".into(),
            domain: (low.min(0.0), high),
            ticks: Ticks::Number,
        },
        lines,
        at_x: Vec::new(),
        at_y: Vec::new(),
        diagonal: false,
    }
    .draw();
    let text = "Losses of different training rules do not compare in height, only in course.";
    Some(figure(title, text, &legend, &drawing))
}

fn details(model: &ModelReport) -> String {
    let mut facts = vec![format!("{} parameters", format::count(model.parameters))];
    if let Some(training) = &model.training {
        facts.push(format!("trained in {}", format::duration(training.seconds)));
    }
    let mut html = format!(
        "<details>\n<summary>{}<span>{}</span></summary>\n<div>\n",
        Esc(&model.name),
        Esc(&facts.join(", "))
    );
    if let Some(training) = &model.training {
        let _ = writeln!(html, "<p class=\"note\">{}</p>", Esc(&training.description));
    }
    if let Some(p) = &model.mean_perturbation_to_fool {
        let _ = writeln!(
            html,
            "<p class=\"note\">{}: mean distance {}, median {}; {} of the samples fooled.</p>",
            Esc(&p.label()),
            format::number(p.mean),
            format::number(p.median),
            format::percent(p.fooled_fraction)
        );
    }
    if !model.attacks.is_empty() {
        html.push_str(&table(&attacks(model), &format!("Attacks on {}", model.name)));
    }
    html.push_str(&utility(model));
    html.push_str("</div>\n</details>\n");
    html
}

fn attacks(model: &ModelReport) -> Table {
    let columns = [Column::left("Attack"), Column::left("Access")]
        .into_iter()
        .chain(
            [
                "Accuracy under attack",
                "Success rate",
                "Mean perturbation",
                "Samples",
                "Queries",
                "Gradients",
                "Time",
            ]
            .map(Column::right),
        )
        .collect();
    let or_absent = |value: Option<f64>, show: fn(f64) -> String| value.map_or(ABSENT.into(), show);
    let rows = (model.attacks.iter())
        .map(|a| {
            [
                a.label().replace('\n', " "),
                a.access.label().to_owned(),
                format::percent(a.robust_accuracy)
                    + if model.is_doubted(&a.label()) { MARK } else { "" },
                or_absent(a.success_rate, format::percent),
                or_absent(a.mean_perturbation, format::number),
                format::count(a.samples),
                format::count(a.queries),
                format::count(a.gradient_calls),
                or_absent(a.seconds, format::duration),
            ]
            .map(Cell::text)
            .into()
        })
        .collect();
    Table { columns, rows }
}

fn utility(model: &ModelReport) -> String {
    let clean = &model.clean;
    let interval = clean.accuracy_interval.map_or(String::new(), |i| {
        format!(" (95% interval {} to {})", format::percent(i.low), format::percent(i.high))
    });
    let mut html = format!(
        "<p class=\"note\">On {} clean samples: accuracy {}{interval}, balanced accuracy {}, macro \
         precision {}, recall {}, F1 {}.</p>\n",
        format::count(clean.samples),
        format::percent(clean.accuracy),
        format::percent(clean.balanced_accuracy),
        format::percent(clean.precision),
        format::percent(clean.recall),
        format::percent(clean.f1)
    );
    if clean.per_class.is_empty() {
        return html;
    }
    let columns = std::iter::once(Column::left("Class"))
        .chain(["Precision", "Recall", "F1", "Samples"].map(Column::right))
        .collect();
    let rows = (clean.per_class.iter())
        .map(|c| {
            let mut row = vec![Cell::text(c.name.replace('\n', " "))];
            row.extend([c.precision, c.recall, c.f1].map(|v| Cell::text(format::percent(v))));
            row.push(Cell::text(format::count(c.support)));
            row
        })
        .collect();
    let scores = table(&Table { columns, rows }, &format!("Classes of {}", model.name));
    let mut parts = vec![format!("<div class=\"card\">{scores}</div>\n"), confusion(model)];
    parts.extend(classes::table_of(model));
    html.push_str(&grid(&parts));
    html
}

/// The confusion matrix; a cell is shaded by its share of the true class.
fn confusion(model: &ModelReport) -> String {
    let names: Vec<String> = model.clean.per_class.iter().map(|c| c.name.clone()).collect();
    let cell = |row: usize, column: usize| {
        let counts = model.clean.confusion.get(row)?;
        let count = *counts.get(column)?;
        let total: u64 = counts.iter().sum();
        let level = if total == 0 { 0.0 } else { count as f64 / total as f64 };
        Some(Shade { level, text: if count == 0 { String::new() } else { count.to_string() } })
    };
    let title = "Confusion";
    let drawing = heatmap(&HeatMap {
        title: &format!("Confusion matrix of {}", model.name),
        description: "Counts of samples by true class (rows) and predicted class (columns).",
        sides: ["true class", "predicted class"],
        rows: &names,
        columns: &names,
        cell: &cell,
    });
    figure(title, "Samples of a row's class predicted as a column's.", &[], &drawing)
}
