//! Security curves: accuracy as an attack takes more steps.

use super::robustness::describe;
use super::{figure, series};
use crate::report::chart::{Axis, Line, LineChart, Pen, Ticks, extent};
use crate::report::{Report, format};

pub(super) fn figure_of(report: &Report) -> Option<String> {
    let first = report.steps.first()?;
    let lines: Vec<Line> = (report.steps.iter().enumerate())
        .map(|(at, curve)| Line {
            name: curve.model.clone(),
            pen: Pen { series: series(report, &curve.model), dash: at % 4, markers: true },
            points: curve.points.iter().map(|p| (p.steps as f64, p.accuracy)).collect(),
        })
        .collect();
    let legend: Vec<(Pen, String)> = lines.iter().map(|l| (l.pen, l.name.clone())).collect();
    let steps = report.steps.iter().flat_map(|c| c.points.iter().map(|p| p.steps.max(1) as f64));
    let title = format!(
        "Accuracy as {} {} {} takes more steps",
        first.attack,
        first.norm.symbol(),
        format::number(first.epsilon)
    );
    let drawing = LineChart {
        title: &title,
        description: &describe(&lines),
        x: Axis {
            title: "Steps".into(),
            domain: extent(steps).unwrap_or((1.0, 100.0)),
            ticks: Ticks::Log,
        },
        y: Axis::unit("Accuracy under attack"),
        lines,
        at_x: Vec::new(),
        at_y: Vec::new(),
        diagonal: false,
    }
    .draw();
    let text = "A curve that is level at its end says that more steps would find no more; one that still \
                falls, that the attack was stopped too early.";
    Some(figure(&title, text, &legend, &drawing))
}
