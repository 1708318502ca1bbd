//! The sandwich: what is certified, what attacks left, and the truth between them.

use super::{figure, series};
use crate::report::chart::{Bar, BarGroup, bars};
use crate::report::{CertificateReport, ModelReport, Report, format};

/// A figure for each method and radius.
pub(super) fn figures(report: &Report) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for certificate in report.models_in_order().iter().flat_map(|m| &m.certificates) {
        let label = certificate.label();
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    labels.iter().map(|label| one(report, label)).collect()
}

fn one(report: &Report, label: &str) -> String {
    let of = |m: &ModelReport| m.certificates.iter().find(|c| c.label() == label).cloned();
    let found: Vec<(&ModelReport, CertificateReport)> =
        report.models_in_order().into_iter().filter_map(|m| Some((m, of(m)?))).collect();
    let groups: Vec<BarGroup> = (found.iter())
        .map(|(model, c)| {
            let bar = |kind, value, pale| Bar { kind, value, text: format::percent(value), pale };
            BarGroup {
                name: model.name.clone(),
                series: series(report, &model.name),
                bars: vec![
                    bar("certified", c.certified_accuracy, false),
                    bar("attacked", c.attacked_accuracy, true),
                ],
            }
        })
        .collect();
    let each = found.iter().map(|(model, c)| {
        let [low, high] = [c.certified_accuracy, c.attacked_accuracy].map(format::percent);
        format!("{}: certified {low}, attacked {high}.", model.name)
    });
    let title = format!("Certified against attacked, {label}");
    let samples = found.first().map_or(0, |(_, c)| c.samples);
    let text = format!(
        "Certified: right whatever is done within the budget, proved. Attacked: right after every attack of \
         this run within it. The robust accuracy of {} samples lies between the two; no sample is on both \
         sides. (Of smoothing: of the vote under noise, up to a small probability of error, and after an \
         attack on the vote.)",
        format::count(samples)
    );
    let description = each.collect::<Vec<_>>().join(" ");
    figure(&title, &text, &[], &bars(&title, &description, &groups, 1.0))
}
