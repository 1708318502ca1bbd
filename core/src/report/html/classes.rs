//! Class by class under the strongest attack.

use super::{figure, table};
use crate::report::chart::{HeatMap, Shade, heatmap};
use crate::report::format::ABSENT;
use crate::report::svg::Esc;
use crate::report::table::{Cell, Column, Table};
use crate::report::{Access, AttackReport, ModelReport, Report, format};

/// The untargeted attack on a model itself that leaves the least, if its classes were counted.
pub(super) fn strongest(model: &ModelReport) -> Option<&AttackReport> {
    let own = model.attacks.iter().filter(|a| !a.targeted && a.access != Access::Transfer);
    let counted = own.filter(|a| !a.per_class.is_empty() && a.robust_accuracy.is_finite());
    counted.min_by(|a, b| a.robust_accuracy.total_cmp(&b.robust_accuracy))
}

/// Accuracy under attack by model and class.
pub(super) fn figure_of(report: &Report) -> Option<String> {
    let rows: Vec<(&ModelReport, &AttackReport)> =
        (report.models_in_order().into_iter()).filter_map(|m| Some((m, strongest(m)?))).collect();
    let columns: Vec<String> = rows.first()?.1.per_class.iter().map(|c| c.name.clone()).collect();
    let names: Vec<String> = rows.iter().map(|(m, _)| m.name.clone()).collect();
    let cell = |row: usize, column: usize| {
        let value =
            rows.get(row)?.1.per_class.get(column)?.robust_accuracy.filter(|v| v.is_finite())?;
        Some(Shade { level: 1.0 - value, text: format!("{:.0}", value * 100.0) })
    };
    let title = "Accuracy under attack, class by class";
    let text = "In percent, under the strongest attack on each model. The stronger the colour, the worse \
                for the defender.";
    let drawing = heatmap(&HeatMap {
        title,
        description: &describe(&rows),
        sides: ["model", "class"],
        rows: &names,
        columns: &columns,
        cell: &cell,
    });
    Some(figure(title, text, &[], &drawing))
}

fn describe(rows: &[(&ModelReport, &AttackReport)]) -> String {
    let each = rows.iter().map(|(model, attack)| {
        let known = attack.per_class.iter().filter_map(|c| Some((&c.name, c.robust_accuracy?)));
        match known.min_by(|a, b| a.1.total_cmp(&b.1)) {
            Some((name, least)) => {
                format!("{}: the least is {} for {name}.", model.name, format::percent(least))
            }
            None => format!("{}: no class was attacked.", model.name),
        }
    });
    each.collect::<Vec<_>>().join(" ")
}

/// What the strongest attack did to each class of a model.
pub(super) fn table_of(model: &ModelReport) -> Option<String> {
    let attack = strongest(model)?;
    let columns = std::iter::once(Column::left("Class"))
        .chain(["Accuracy", "Success"].map(Column::right))
        .chain([Column::left("Mostly taken for"), Column::right("Attacked")])
        .collect();
    let shown = |v: Option<f64>| Cell::text(v.map_or(ABSENT.into(), format::percent));
    let rows = (attack.per_class.iter())
        .map(|c| {
            let wrong = c.taken_for.as_ref().map_or(ABSENT.into(), |wrong| {
                format!("{} ({})", wrong.name.replace('\n', " "), format::percent(wrong.share))
            });
            vec![
                Cell::text(c.name.replace('\n', " ")),
                shown(c.robust_accuracy),
                shown(c.success_rate),
                Cell::text(wrong),
                Cell::text(format::count(c.support)),
            ]
        })
        .collect();
    let label = attack.label();
    let html = table(&Table { columns, rows }, &format!("Classes of {} attacked", model.name));
    Some(format!("<div class=\"card\"><h3>Under {}</h3>{html}</div>\n", Esc(&label)))
}
