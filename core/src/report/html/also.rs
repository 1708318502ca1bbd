//! The models on other data sets.

use super::{figure, table};
use crate::report::chart::{HeatMap, Shade, heatmap};
use crate::report::format::{self, ABSENT};
use crate::report::table::{Cell, Column, Table};
use crate::report::{OtherDataModel, Report};

/// Accuracy under attack by data set and model.
pub(super) fn figure_of(report: &Report) -> Option<String> {
    let first = report.also.first().filter(|data| !data.attack.is_empty())?;
    let rows: Vec<String> = report.also.iter().map(|data| data.name.clone()).collect();
    let columns: Vec<String> = first.models.iter().map(|m| m.model.clone()).collect();
    let cell = |row: usize, column: usize| {
        let value = report.also.get(row)?.models.get(column)?.robust_accuracy?;
        Some(Shade { level: 1.0 - value, text: format::percent(value) })
    };
    let title = format!("{} on other data", first.attack);
    let text = "Accuracy of a column's model on a row's data, attacked by itself. The stronger the colour, \
                the worse for the defender.";
    let drawing = heatmap(&HeatMap {
        title: &title,
        description: text,
        sides: ["data", "model"],
        rows: &rows,
        columns: &columns,
        cell: &cell,
    });
    Some(figure(&title, text, &[], &drawing))
}

pub(super) fn table_of(report: &Report) -> Option<String> {
    let row = |name: &str, samples: u64, attacked: u64, model: &OtherDataModel| {
        vec![
            Cell::text(name.replace('\n', " ")),
            Cell::text(model.model.replace('\n', " ")),
            Cell::text(format::percent(model.clean_accuracy)),
            Cell::text(model.robust_accuracy.map_or(ABSENT.into(), format::percent)),
            Cell::text(format::count(samples)),
            Cell::text(format::count(attacked)),
        ]
    };
    let rows: Vec<Vec<Cell>> = (report.also.iter())
        .flat_map(|d| d.models.iter().map(move |m| row(&d.name, d.samples, d.attacked, m)))
        .collect();
    if rows.is_empty() {
        return None;
    }
    let columns = ["Data", "Model"].map(Column::left).into_iter();
    let figures = ["Clean accuracy", "Under attack", "Samples", "Attacked"].map(Column::right);
    let html = table(
        &Table { columns: columns.chain(figures).collect(), rows },
        "Accuracy on other data sets",
    );
    let attacks = report.also.iter().map(|d| d.attack.as_str()).find(|a| !a.is_empty());
    let by = attacks.map_or(String::new(), |a| format!(" Attacked by {a}."));
    let by = crate::report::svg::Esc(&by).to_string();
    Some(format!(
        "<div class=\"card\"><h3>On other data</h3>\n{html}<p class=\"note\">The same models on data that \
         they were not trained on.{by}</p></div>\n"
    ))
}
