//! Leakage: what attacks got out of the models beside membership.

use super::{pictures, table};
use crate::report::format::{self, ABSENT};
use crate::report::table::{Cell, Column, Table};
use crate::report::{AttributeFigures, Lift, ModelReport, Rate, Report, Spread};

pub(super) fn body(report: &Report) -> String {
    let tables = [reconstruction(report), inversion(report), attributes(report)];
    let grids = report.models_in_order().into_iter().flat_map(|m| {
        let reconstruction = m.reconstruction.as_ref().and_then(|r| r.pictures.as_ref());
        let inversion = m.inversion.as_ref().and_then(|r| r.pictures.as_ref());
        reconstruction.into_iter().chain(inversion)
    });
    let grids: String = grids.map(pictures::grid).collect();
    format!("{}{grids}", tables.into_iter().flatten().collect::<String>())
}

/// A card with a table and a sentence for each attack; nothing without attacks.
fn card(
    label: &str,
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    findings: &[String],
) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let html = table(&Table { columns, rows }, label);
    let notes: String = findings
        .iter()
        .map(|f| format!("<p class=\"note\">{}.</p>", crate::report::svg::Esc(f)))
        .collect();
    Some(format!("<div class=\"card\">\n{html}{notes}</div>\n"))
}

fn columns(left: &[&str], right: &[&str]) -> Vec<Column> {
    let texts = left.iter().map(|&c| Column::left(c));
    texts.chain(right.iter().map(|&c| Column::right(c))).collect()
}

fn name(model: &ModelReport) -> Cell {
    Cell::text(model.name.replace('\n', " "))
}

fn of_model(model: &ModelReport, finding: &str) -> String {
    format!("{}: {finding}", model.name.replace('\n', " "))
}

fn rate(rate: &Rate) -> Cell {
    let [low, high] = [rate.interval.low, rate.interval.high].map(format::percent);
    Cell::text(format!("{} ({low} to {high})", format::percent(rate.rate)))
}

fn lift(lift: &Lift) -> Cell {
    let [value, low, high] =
        [lift.value, lift.low, lift.high].map(|v| format::signed(100.0 * v, 1));
    Cell::text(format!("{value} ({low} to {high})"))
}

fn mean(spread: &Spread) -> Cell {
    Cell::text(format::number(spread.mean))
}

fn optional(spread: Option<&Spread>) -> Cell {
    spread.map_or_else(|| Cell::text(ABSENT), mean)
}

fn reconstruction(report: &Report) -> Option<String> {
    let (mut rows, mut findings) = (Vec::new(), Vec::new());
    for model in report.models_in_order() {
        for a in model.reconstruction.iter().flat_map(|r| &r.attacks) {
            let defence = a.defence.map_or(ABSENT.into(), |d| {
                let [clip, noise] = [d.clipping_norm, d.noise_multiplier].map(format::number);
                format!("clip {clip}, noise {noise}")
            });
            rows.push(vec![
                name(model),
                Cell::text(a.method.clone()),
                Cell::text(a.leak.clone()),
                Cell::text(defence),
                rate(&a.recovered),
                mean(&a.psnr),
                mean(&a.baseline_psnr),
                optional(a.ssim.as_ref()),
                a.labels.as_ref().map_or_else(|| Cell::text(ABSENT), rate),
            ]);
            findings.push(of_model(model, &a.finding));
        }
    }
    let columns = columns(
        &["Model", "Reconstruction", "Seen", "Defence"],
        &["Recovered", "PSNR, dB", "PSNR of the mean record", "SSIM", "Labels right"],
    );
    card("Data reconstruction", columns, rows, &findings)
}

fn inversion(report: &Report) -> Option<String> {
    let (mut rows, mut findings) = (Vec::new(), Vec::new());
    for model in report.models_in_order() {
        for a in model.inversion.iter().flat_map(|r| &r.attacks) {
            rows.push(vec![
                name(model),
                Cell::text(a.attack.clone()),
                rate(&a.recognised),
                Cell::text(format::percent(a.recognised_noise.rate)),
                mean(&a.confidence),
                mean(&a.feature_distance),
                mean(&a.psnr_to_mean),
                mean(&a.psnr_to_nearest),
                optional(a.ssim_to_mean.as_ref()),
                optional(a.ssim_to_nearest.as_ref()),
            ]);
            findings.push(of_model(model, &a.finding));
        }
    }
    let columns = columns(
        &["Model", "Inversion"],
        &[
            "Recognised",
            "Noise recognised",
            "Confidence",
            "Feature distance",
            "PSNR to the mean",
            "PSNR to the nearest",
            "SSIM to the mean",
            "SSIM to the nearest",
        ],
    );
    card("Model inversion", columns, rows, &findings)
}

fn attributes(report: &Report) -> Option<String> {
    let (mut rows, mut findings) = (Vec::new(), Vec::new());
    let over = |figures: &AttributeFigures| {
        figures.best_baseline().map_or_else(|| Cell::text(ABSENT), |b| lift(&b.lift))
    };
    for model in report.models_in_order() {
        let Some(found) = &model.attributes else { continue };
        let fields: Vec<&str> = found.fields.iter().map(|f| f.name.as_str()).collect();
        for a in &found.attacks {
            rows.push(vec![
                name(model),
                Cell::text(a.attack.clone()),
                Cell::text(fields.join(", ")),
                rate(&a.members.right),
                over(&a.members),
                rate(&a.non_members.right),
                over(&a.non_members),
                lift(&a.member_gap),
            ]);
            findings.push(of_model(model, &a.finding));
        }
    }
    let columns = columns(
        &["Model", "Attribute inference", "Masked"],
        &[
            "Right, members",
            "Over the better baseline, points",
            "Right, non-members",
            "Over the better baseline, points",
            "Members over non-members, points",
        ],
    );
    card("Attribute inference", columns, rows, &findings)
}
