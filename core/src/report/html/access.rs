//! Attacks by what they see of a model, and what each asks of it for a sample.

use super::table;
use crate::report::format::{self, ABSENT};
use crate::report::table::{Cell, Column, Table};
use crate::report::{Access, AttackReport, ModelReport, Report};

/// Rows in the order of what an attack sees, the most first.
const ORDER: [Access; 4] = [Access::WhiteBox, Access::Score, Access::Decision, Access::Transfer];

pub(super) fn table_of(report: &Report) -> Option<String> {
    let models = report.models_in_order();
    let of = |access: Access| {
        let all = models.iter().flat_map(|m| m.attacks.iter().map(move |a| (*m, a)));
        let mut mine: Vec<(&ModelReport, &AttackReport)> =
            all.filter(|(_, a)| a.access == access).collect();
        // Models next to each other under each attack, attacks as the first model has them.
        let mut labels: Vec<String> = Vec::new();
        for (_, attack) in &mine {
            let label = attack.label();
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        mine.sort_by_key(|(_, a)| labels.iter().position(|l| *l == a.label()));
        mine
    };
    let rows: Vec<Vec<Cell>> = ORDER.into_iter().flat_map(of).map(|(m, a)| row(m, a)).collect();
    if rows.is_empty() {
        return None;
    }
    let columns = ["Attack", "Sees", "Model"].map(Column::left).into_iter();
    let figures = ["Accuracy left", "Success", "Queries", "If fooled, mean", "median", "most"];
    let columns = columns.chain(figures.map(Column::right)).collect();
    let html = table(&Table { columns, rows }, "Attacks by what they see");
    Some(format!(
        "<div class=\"card\"><h3>Attacks by what they see</h3>\n{html}<p class=\"note\">Queries are \
         forward passes a sample, a mean over all; the last three columns are of the samples fooled, \
         where an attack asks a different number for each. Success of a targeted attack is the share led \
         to its target.</p></div>\n"
    ))
}

fn row(model: &ModelReport, attack: &AttackReport) -> Vec<Cell> {
    let or_absent = |value: Option<String>| Cell::text(value.unwrap_or_else(|| ABSENT.into()));
    let each = attack.queries_each;
    let mean = each.map(|e| e.mean).or_else(|| {
        let asked = attack.queries > 0 && attack.samples > 0;
        asked.then(|| attack.queries as f64 / attack.samples as f64)
    });
    let fooled = each.and_then(|e| e.fooled);
    vec![
        Cell::text(name(attack)),
        Cell::text(attack.access.label()),
        Cell::text(model.name.replace('\n', " ")),
        Cell::text(format::percent(attack.robust_accuracy)),
        or_absent(attack.success_rate.map(format::percent)),
        or_absent(mean.map(format::number)),
        or_absent(fooled.map(|f| format::number(f.mean))),
        or_absent(fooled.map(|f| format::number(f.median))),
        or_absent(fooled.map(|f| format::count(f.max))),
    ]
}

/// The label without the access, which has a column of its own.
fn name(attack: &AttackReport) -> String {
    let label = attack.label().replace('\n', " ");
    let access = format!(" ({})", attack.access.label());
    label.strip_suffix(&access).map_or(label.clone(), str::to_owned)
}
