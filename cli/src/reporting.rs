//! Puts a report together around what was measured, and writes it.

use std::path::Path;
use std::time::SystemTime;

use inocula_core::data::Dataset;
use inocula_core::evaluate::{Findings, Plan};
use inocula_core::report::{
    BackendSection, DatasetSection, HostSection, ProgramSection, Report, SCHEMA_VERSION,
    ThreatSection, html,
};
use inocula_core::{Device, Result, fs};

use crate::{output, staging};

/// The time now: RFC 3339, UTC.
pub(crate) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// This program.
pub(crate) fn program() -> ProgramSection {
    ProgramSection { name: "inocula".into(), version: env!("CARGO_PKG_VERSION").into() }
}

/// The data of a run.
pub(crate) fn dataset(train: &Dataset, test: &Dataset) -> DatasetSection {
    DatasetSection {
        name: train.name.clone(),
        source: train.source.clone(),
        licence: train.licence.clone(),
        train: train.len(),
        test: test.len(),
        classes: test.class_names.clone(),
        sample_shape: test.shape.clone(),
        bounds: [f64::from(test.bounds.0), f64::from(test.bounds.1)],
    }
}

/// What is known of a run besides its findings.
pub(crate) struct Setting<'a> {
    /// Headline.
    pub(crate) title: String,
    /// Device spec as given.
    pub(crate) backend: &'a str,
    /// The device it opened.
    pub(crate) device: &'a Device,
    /// The seed.
    pub(crate) seed: u64,
    /// The exact configuration.
    pub(crate) config: serde_json::Value,
}

/// The report of `findings`.
pub(crate) fn report(
    setting: Setting<'_>,
    plan: &Plan,
    train: &Dataset,
    test: &Dataset,
    findings: Findings,
) -> Report {
    let (lo, hi) = test.bounds;
    let share = 100.0 * plan.threat.eps / f64::from(hi - lo);
    let scale = format!(
        "values in [{lo}, {hi}]; {} {} is {share:.1} % of that range",
        plan.threat.norm.symbol(),
        plan.threat.eps
    );
    let mut report = Report {
        schema_version: SCHEMA_VERSION,
        title: setting.title,
        created: now(),
        program: program(),
        backend: BackendSection::new(setting.backend, setting.device.info()),
        host: HostSection::current(),
        seed: setting.seed,
        config: setting.config,
        dataset: dataset(train, test),
        threat: Some(ThreatSection {
            norm: plan.threat.norm,
            epsilon: plan.threat.eps,
            scale,
            knowledge: "weights, architecture and defence; not the seed of a random start".into(),
        }),
        models: findings.models,
        transfer: findings.transfer,
        curves: findings.curves,
        steps: findings.steps,
        also: findings.also,
        pictures: findings.pictures,
        warnings: findings.warnings,
        summary: Vec::new(),
    };
    report.summary = report.draft_summary();
    report
}

/// Writes `report.json` and `report.html` to `folder`, and prints table, warnings and summary.
pub(crate) fn publish(folder: &Path, report: &Report) -> Result<()> {
    let (json, page) = (folder.join("report.json"), folder.join("report.html"));
    let text = report.to_json_pretty()?;
    staging::publish(folder, &["report.html", "report.json"], |to| {
        fs::write_bytes(to.join("report.html"), html::render(report).as_bytes())?;
        fs::write_bytes(to.join("report.json"), text.as_bytes())
    })?;
    output::line(report.comparison_table().to_text_within(output::width()));
    for doubt in report.doubts() {
        output::line(doubt);
    }
    for warning in &report.warnings {
        output::line(format!("warning: {warning}"));
    }
    output::line("What this means");
    for finding in &report.summary {
        output::line(format!("- {finding}"));
    }
    output::line(format!("\nWritten: {} and {}", page.display(), json.display()));
    Ok(())
}
