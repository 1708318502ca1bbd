//! What the run was made of: data, threat model, machine, configuration.

use super::{grid, pairs};
use crate::report::svg::Esc;
use crate::report::{Report, format};

pub(super) fn body(report: &Report) -> String {
    let mut cards = vec![data(report)];
    cards.extend(threat(report));
    cards.push(machine(report));
    // A value that came from JSON goes back to JSON.
    let config = serde_json::to_string_pretty(&report.config).unwrap_or_default();
    format!(
        "{}<details>\n<summary>Exact configuration</summary>\n<div><pre tabindex=\"0\">{}</pre></div>\n\
         </details>\n",
        grid(&cards),
        Esc(&config)
    )
}

fn card(title: &str, entries: &[(&str, String)]) -> String {
    format!("<div class=\"card\"><h3>{title}</h3>\n{}</div>\n", pairs(entries))
}

fn data(report: &Report) -> String {
    let data = &report.dataset;
    let shape: Vec<String> = data.sample_shape.iter().map(usize::to_string).collect();
    let bounds = data.bounds.map(format::number);
    card(
        "Data",
        &[
            ("Name", data.name.clone()),
            ("Source", data.source.clone()),
            ("Licence", data.licence.clone()),
            ("Training samples", format::count(data.train as u64)),
            ("Test samples", format::count(data.test as u64)),
            ("Classes", format!("{} ({})", data.classes.len(), data.classes.join(", "))),
            ("Shape of a sample", shape.join(" × ")),
            ("Values", format!("{} to {}", bounds[0], bounds[1])),
        ],
    )
}

fn threat(report: &Report) -> Option<String> {
    let threat = report.threat.as_ref()?;
    Some(card(
        "Threat model",
        &[
            ("Norm", threat.norm.symbol().to_owned()),
            ("Budget ε", format::number(threat.epsilon)),
            ("Scale", threat.scale.clone()),
            ("Adversary knows", threat.knowledge.clone()),
        ],
    ))
}

fn machine(report: &Report) -> String {
    let (backend, host) = (&report.backend, &report.host);
    card(
        "Program and machine",
        &[
            ("Program", format!("{} {}", report.program.name, report.program.version)),
            ("Seed", report.seed.to_string()),
            ("Backend", format!("{} {}", backend.backend, backend.version)),
            ("Device", format!("{} ({} threads)", backend.device, backend.threads)),
            ("Opened as", backend.spec.clone()),
            ("Host", format!("{} {}, {} processors", host.os, host.arch, host.cpus)),
            ("Report schema", report.schema_version.to_string()),
        ],
    )
}
