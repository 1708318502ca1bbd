//! Reliability: whether models are right as often as they say.

use super::{figure, series};
use crate::report::chart::{Axis, Line, LineChart, Pen};
use crate::report::{Report, format};

/// Accuracy over confidence, a line a model.
pub(super) fn figure_of(report: &Report) -> Option<String> {
    let known =
        report.models_in_order().into_iter().filter_map(|m| Some((m, m.calibration.as_ref()?)));
    let bins = known.clone().next()?.1.bins;
    let lines: Vec<Line> = known
        .enumerate()
        .map(|(at, (model, found))| Line {
            name: format!("{} (error {})", model.name, format::percent(found.expected_error)),
            pen: Pen { series: series(report, &model.name), dash: at % 4, markers: true },
            points: found.diagram.iter().map(|p| (p.confidence, p.accuracy)).collect(),
        })
        .collect();
    let legend: Vec<(Pen, String)> = lines.iter().map(|l| (l.pen, l.name.clone())).collect();
    let names: Vec<&str> = lines.iter().map(|l| l.name.as_str()).collect();
    let title = "Confidence and accuracy";
    let drawing = LineChart {
        title,
        description: &format!("Expected calibration error. {}.", names.join(", ")),
        x: Axis::unit("Confidence"),
        y: Axis::unit("Accuracy, clean samples"),
        lines,
        at_x: Vec::new(),
        at_y: Vec::new(),
        diagonal: true,
    }
    .draw();
    let text = format!(
        "Predictions in {bins} bins of equal width by their confidence. On the diagonal a model is right \
         as often as it says; below it is too sure of itself."
    );
    Some(figure(title, &text, &legend, &drawing))
}
