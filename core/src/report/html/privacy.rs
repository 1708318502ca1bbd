//! Privacy: membership inference and guarantees.

use super::{figure, grid, series, table};
use crate::metrics::Interval;
use crate::report::chart::{Axis, Bar, BarGroup, Line, LineChart, Pen, Ticks, bars};
use crate::report::format::{self, ABSENT};
use crate::report::svg::Esc;
use crate::report::table::{Cell, Column, Table};
use crate::report::{MembershipReport, ModelReport, Report};

pub(super) fn body(report: &Report) -> String {
    let figures: Vec<String> =
        [roc(report), low_rates(report), advantages(report)].into_iter().flatten().collect();
    let tables = [attacks(report), budgets(report), audits(report)];
    format!("{}{}", grid(&figures), tables.into_iter().flatten().collect::<String>())
}

/// ROC curves of the strongest attack on each model.
fn roc(report: &Report) -> Option<String> {
    let strongest = (report.models_in_order().into_iter())
        .filter_map(|m| Some((m, m.strongest_membership().filter(|a| !a.roc.is_empty())?)));
    let lines: Vec<Line> = strongest
        .enumerate()
        .map(|(at, (model, attack))| Line {
            name: format!("{} (AUC {:.3})", model.name, attack.auc),
            pen: Pen { series: series(report, &model.name), dash: at % 4, markers: false },
            points: attack.roc.iter().map(|p| (p[0], p[1])).collect(),
        })
        .collect();
    if lines.is_empty() {
        return None;
    }
    let legend: Vec<(Pen, String)> = lines.iter().map(|l| (l.pen, l.name.clone())).collect();
    let names: Vec<&str> = lines.iter().map(|l| l.name.as_str()).collect();
    let title = "Telling members from others";
    let drawing = LineChart {
        title,
        description: &format!("ROC curves. {}.", names.join(", ")),
        x: Axis::unit("False-positive rate"),
        y: Axis::unit("True-positive rate"),
        lines,
        at_x: Vec::new(),
        at_y: Vec::new(),
        diagonal: true,
    }
    .draw();
    let text = "The strongest membership attack on each model. The diagonal is guessing; an attack \
                that stays there found nothing, and another one may.";
    Some(figure(title, text, &legend, &drawing))
}

/// The same curves with logarithmic axes, where the few samples that an attack is sure of show
/// (Carlini et al. 2022, section III); of the attack with the largest true-positive rate at the lowest
/// false-positive rate that the samples can show.
fn low_rates(report: &Report) -> Option<String> {
    let surest = |m: &ModelReport| -> Option<MembershipReport> {
        let drawn = m.membership.iter().filter(|a| !a.roc.is_empty() && !a.tpr_at_fpr.is_empty());
        let rate = |a: &&MembershipReport| {
            let lowest = a.tpr_at_fpr.iter().min_by(|x, y| x.fpr.total_cmp(&y.fpr));
            lowest.map_or((0.0, 0.0), |t| (-t.fpr, t.tpr))
        };
        let order = |x: (f64, f64), y: (f64, f64)| x.0.total_cmp(&y.0).then(x.1.total_cmp(&y.1));
        drawn.max_by(|a, b| order(rate(a), rate(b))).cloned()
    };
    let models = report.models_in_order().into_iter();
    let found: Vec<_> = models.filter_map(|m| Some((m, surest(m)?))).collect();
    let most = found.iter().map(|(_, a)| a.non_members).max()?;
    // From the power of ten below the lowest rate that so many samples show.
    let low = 10f64.powi(-(most.max(10) as f64).log10().ceil() as i32);
    let axis =
        |title: &str| Axis { title: title.into(), domain: (low, 1.0), ticks: Ticks::LogPercent };
    let line = |(at, (model, attack)): (usize, &(&ModelReport, MembershipReport))| Line {
        name: format!("{} ({})", model.name, attack.attack),
        pen: Pen { series: series(report, &model.name), dash: at % 4, markers: false },
        points: attack.roc.iter().map(|p| (p[0], p[1])).collect(),
    };
    let lines: Vec<Line> = found.iter().enumerate().map(line).collect();
    let legend: Vec<(Pen, String)> = lines.iter().map(|l| (l.pen, l.name.clone())).collect();
    let names: Vec<&str> = lines.iter().map(|l| l.name.as_str()).collect();
    let title = "Members that an attack is sure of";
    let drawing = LineChart {
        title,
        description: &format!("ROC curves with logarithmic axes. {}.", names.join(", ")),
        x: axis("False-positive rate"),
        y: axis("True-positive rate"),
        lines,
        at_x: Vec::new(),
        at_y: Vec::new(),
        diagonal: true,
    }
    .draw();
    let text = "On each model the attack that finds most members at the lowest false-positive rate \
                shown. Logarithmic axes; above the diagonal members are found that nobody guesses.";
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
        "The strongest attack on each model; shorter gave less away to it. Full length is {:.0}%.",
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
                Cell::text(with_interval(score(attack.auc), attack.auc_interval, |v| {
                    format!("{v:.3}")
                })),
                Cell::text(format::percent(attack.advantage)),
                Cell::text(format::percent(attack.balanced_accuracy)),
            ];
            row.extend(rates.iter().map(|rate| {
                let found = attack.tpr_at_fpr.iter().find(|t| t.fpr == *rate);
                Cell::text(found.map_or(ABSENT.into(), |t| {
                    with_interval(format::percent(t.tpr), t.interval, format::percent)
                }))
            }));
            row.extend([attack.members, attack.non_members].map(|n| Cell::text(format::count(n))));
            row
        })
        .collect();
    let html = table(&Table { columns, rows }, "Membership-inference attacks");
    let nothing = all.iter().filter(|(_, attack)| !attack.leaks()).count();
    let mut notes = vec![
        "Intervals are of 95 % confidence. A true-positive rate is given only where there are enough \
         non-members to show the false-positive rate."
            .to_owned(),
    ];
    if nothing > 0 {
        let of = all.len();
        notes.push(format!(
            "{nothing} of {of} attacks found nothing beyond chance, within their intervals; that is no \
             guarantee, as another attack may find more."
        ));
    }
    for refused in all.iter().flat_map(|(_, attack)| &attack.refused) {
        let sentence = format!("{refused}.");
        if !notes.contains(&sentence) {
            notes.push(sentence);
        }
    }
    let notes = notes.iter().map(|note| format!("<p class=\"note\">{}</p>", Esc(note)));
    Some(format!("<div class=\"card\">\n{html}{}</div>\n", notes.collect::<String>()))
}

/// `0.731 (0.702 to 0.760)`.
fn with_interval(value: String, interval: Option<Interval>, show: fn(f64) -> String) -> String {
    match interval {
        Some(Interval { low, high }) => format!("{value} ({} to {})", show(low), show(high)),
        None => value,
    }
}

fn score(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { ABSENT.into() }
}

/// What audits of noisy steps showed, beside what is claimed.
fn audits(report: &Report) -> Option<String> {
    let rows: Vec<Vec<Cell>> = (report.models_in_order().into_iter())
        .filter_map(|model| {
            let a = model.audited_epsilon.as_ref()?;
            let verdict = if a.exceeded { "refuted" } else { "not refuted" };
            let mut row = vec![Cell::text(model.name.replace('\n', " ")), Cell::text(verdict)];
            row.extend([a.epsilon, a.claimed, a.delta].map(|v| Cell::text(format::number(v))));
            row.push(Cell::text(format::percent(a.confidence)));
            let counts = [a.canaries, a.guesses, a.correct];
            row.extend(counts.map(|n| Cell::text(format::count(n as u64))));
            Some(row)
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    let numbers = ["At least", "Claimed", "Delta", "Confidence", "Canaries", "Guessed", "Right"];
    let columns = ["Audited epsilon", "The claim is"].map(Column::left).into_iter();
    let columns = columns.chain(numbers.map(Column::right)).collect();
    let html = table(&Table { columns, rows }, "Audits of the noisy steps");
    let note = "The noise, sampling and number of steps of each training, run again by this program on \
                canaries that an auditor tells apart as well as anyone could. A claim that is not refuted \
                is not proved by that.";
    Some(format!("<div class=\"card\">\n{html}<p class=\"note\">{note}</p></div>\n"))
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
