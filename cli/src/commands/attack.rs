//! `inocula attack`: one attack on one trained model.

use std::io::Cursor;
use std::path::Path;
use std::time::Instant;

use inocula_core::attack::{
    Aim, AttackConfig, Outcome, Stage, Traced, autoattack_rows, perturb_rows,
};
use inocula_core::data::Dataset;
use inocula_core::doubt::Finding;
use inocula_core::metrics::{
    attack_success_rate, robust_accuracy, summarize_perturbations, targeted_success_rate,
};
use inocula_core::model::{Network, predict_rows};
use inocula_core::place::Placement;
use inocula_core::report::{
    AttackReport, BackendSection, DatasetSection, HostSection, ProgramSection, QueryCounts,
};
use inocula_core::rng::Rng;
use inocula_core::{DType, Error, ErrorKind, Result, bail, fs};
use serde::Serialize;

use super::attacked;
use super::check::{Checked, refuse};
use crate::args::{Attack, Rows};
use crate::progress::Bar;
use crate::{backends, config, output, reporting, runs, staging};

/// What `attack.json` holds.
#[derive(Serialize)]
struct Record {
    created: String,
    program: ProgramSection,
    backend: BackendSection,
    host: HostSection,
    seed: u64,
    dataset: DatasetSection,
    model: String,
    config: AttackConfig,
    target: Aim,
    result: AttackReport,
    /// What the members of AutoAttack left, one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stages: Vec<Stage>,
    /// What is left of the result once the examples are saved as pictures; of images only.
    #[serde(skip_serializing_if = "Option::is_none")]
    eight_bits: Option<attacked::EightBits>,
    /// Why the figure may be too high.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

pub(super) fn run(flags: &Attack, quiet: bool) -> Result<()> {
    let base = flags.config.as_deref().map(config::read).transpose()?;
    let attack_config = flags.attack.apply(base)?;
    if flags.check.check {
        refuse(&attack_config, flags.target)?;
    }
    let spec_of = config::read::<config::RunConfig>(&flags.run.join("config.toml"));
    let backend = match &flags.backend {
        Some(backend) => backend.clone(),
        None => spec_of.map_or(backends::DEFAULT.into(), |c| c.backend),
    };
    let device = backends::open(&backend)?;
    let run = runs::read(&flags.run, &device)?;
    let (train, test) = run.config.datasets()?;
    if let Aim::Class(class) = flags.target
        && !(0..test.classes as i64).contains(&class)
    {
        bail!(Config, "--target {class}: the model has the classes 0 to {}", test.classes - 1);
    }
    if flags.samples == Some(0) {
        bail!(Config, "attack: --samples 0 leaves nothing to attack");
    }
    let places = flags.rows.map_or(Ok(0..test.len()), |rows| rows.of(test.len()))?;
    let folder = flags
        .out
        .clone()
        .unwrap_or_else(|| flags.run.join(folder_name(&attack_config, flags.rows)));
    runs::prepare(&folder, "attack.json", flags.force)?;
    let seed = flags.seed.unwrap_or(run.config.seed);
    let rng = Rng::new(seed).child("attack");
    let wanted = flags.samples.unwrap_or(places.len()).min(places.len());
    let mut rows = rng.child("samples").choose(places.len(), wanted);
    rows.iter_mut().for_each(|row| *row += places.start);
    rows.sort_unstable();

    let started = Instant::now();
    let mut bar = Bar::new(quiet);
    let (mut done, total) = (0, rows.len());
    let attack = attack_config.check()?;
    let usual = Placement::new(&device);
    let batch = flags.batch_size.unwrap_or(usual.batch);
    if batch == 0 {
        bail!(Config, "--batch-size 0 attacks nothing; give at least 1");
    }
    let place = Placement { dtype: run.network.dtype(), batch, ..usual };
    let traced = Traced::new(&*attack);
    let (outcome, stages) = match &attack_config {
        // Member by member, to tell what each of them added.
        AttackConfig::Autoattack(whole) => autoattack_rows(
            whole,
            &run.network,
            &test,
            &rows,
            flags.target,
            &place,
            &rng,
            &mut |label, done, total| bar.show(label, done, total),
        )?,
        _ => {
            let (net, aim) = (&run.network, flags.target);
            let label = attack_config.label();
            let progress = &mut |n| {
                done += n;
                bar.show(&label, done, total)
            };
            let found = perturb_rows(&traced, net, &test, &rows, aim, &place, &rng, progress)?;
            (found, Vec::new())
        }
    };
    bar.clear();
    let seconds = started.elapsed().as_secs_f64();
    let result =
        measure(&run.network, &test, &rows, flags.target, &attack_config, &outcome, &place)?;
    let checked = Checked {
        name: &run.name,
        network: &run.network,
        test: &test,
        rows: &rows,
        place: &place,
        rng: &rng,
        config: &attack_config,
        outcome: &outcome,
        traces: &traced.traces(),
        stages: &stages,
        result: &result,
    };
    let findings =
        checked.findings(flags.check.check, &mut |done, total| bar.show("check", done, total))?;
    bar.clear();
    let threat = attack.threat();
    let eight_bits =
        attacked::eight_bits(&run.network, &test, &rows, flags.target, threat, &outcome, &place)?;
    let record = Record {
        created: reporting::now(),
        program: reporting::program(),
        backend: BackendSection::new(&backend, device.info()),
        host: HostSection::current(),
        seed,
        dataset: reporting::dataset(&train, &test),
        model: run.name,
        config: attack_config,
        target: flags.target,
        result: AttackReport { seconds: Some(seconds), ..result },
        stages,
        eight_bits,
        findings,
    };
    staging::publish(&folder, &["adversarial.npz", "attack.json"], |to| {
        write_npz(&to.join("adversarial.npz"), &test, &rows, &outcome)?;
        runs::write_json(&to.join("attack.json"), &record)
    })?;
    print(&record.result, &record.model);
    attacked::print(&record.stages, record.eight_bits.as_ref(), rows.len());
    for finding in &record.findings {
        output::note(format!("do not trust this figure: {}", finding.line()));
    }
    output::line(format!("Written: {}", folder.display()));
    Ok(())
}

fn folder_name(config: &AttackConfig, rows: Option<Rows>) -> String {
    let threat = config.check().map(|a| a.threat());
    let size = |eps: Option<f64>| eps.map(|eps| format!("-{eps}")).unwrap_or_default();
    let threat = threat.map(|t| format!("-{}{}", t.norm, size(t.budget()))).unwrap_or_default();
    let rows = rows.map(|rows| format!("-{rows}")).unwrap_or_default();
    format!("attack-{}{threat}{rows}", config.name())
}

fn measure(
    network: &Network,
    test: &Dataset,
    rows: &[usize],
    aim: Aim,
    config: &AttackConfig,
    outcome: &Outcome,
    place: &Placement,
) -> Result<AttackReport> {
    let clean = predict_rows(network, test, rows, place)?;
    let mut targets = Vec::with_capacity(rows.len());
    for rows in place.portions(rows) {
        let y = place.tensors(test, rows)?.1;
        targets.extend(aim.goal(&y, test.classes)?.classes().to_vec::<i64>()?);
    }
    let labels: Vec<i64> = rows.iter().map(|&r| test.labels[r]).collect();
    let seen = &outcome.predictions;
    let (success_rate, open): (_, Vec<bool>) = match aim {
        Aim::Untargeted => (
            attack_success_rate(&labels, &clean, seen)?,
            clean.iter().zip(&labels).map(|(c, l)| c == l).collect(),
        ),
        _ => (
            targeted_success_rate(&targets, &clean, seen)?,
            clean.iter().zip(&targets).map(|(c, t)| c != t).collect(),
        ),
    };
    let turned: Vec<bool> =
        open.iter().zip(&outcome.success).map(|(open, reached)| *open && *reached).collect();
    let attack = config.check()?;
    let threat = attack.threat();
    Ok(AttackReport {
        name: config.label(),
        access: attack.access().into(),
        norm: threat.norm,
        epsilon: threat.budget(),
        targeted: aim != Aim::Untargeted,
        target: None,
        samples: rows.len() as u64,
        robust_accuracy: robust_accuracy(&labels, &clean, seen)?,
        success_rate,
        mean_perturbation: summarize_perturbations(&outcome.distance, &turned)?.map(|s| s.mean),
        queries: outcome.queries,
        gradient_calls: outcome.gradient_calls,
        queries_each: queries_each(outcome, &turned),
        per_class: Vec::new(),
        seconds: None,
    })
}

/// Queries of the samples that were asked about, and whether each was fooled.
fn queries_each(outcome: &Outcome, turned: &[bool]) -> Option<QueryCounts> {
    let each = outcome.queries_each.as_ref()?;
    let asked = each.iter().copied().zip(turned.iter().copied());
    QueryCounts::new(asked.filter(|(count, _)| *count > 0))
}

fn print(result: &AttackReport, model: &str) {
    let percent = |a: Option<f64>| a.map_or("-".into(), |a| format!("{:.2} %", 100.0 * a));
    let rows = [
        ("model", model.to_owned()),
        ("attack", result.label()),
        ("samples", result.samples.to_string()),
        ("robust accuracy", percent(Some(result.robust_accuracy))),
        ("success rate", percent(result.success_rate)),
        ("mean perturbation", result.mean_perturbation.map_or("-".into(), |m| format!("{m:.4}"))),
        ("queries", result.queries.to_string()),
        ("gradients", result.gradient_calls.to_string()),
        ("seconds", result.seconds.map_or("-".into(), |s| format!("{s:.2}"))),
    ];
    for (name, value) in rows {
        output::line(format!("{name:18} {value}"));
    }
    if let Some(f) = result.queries_each.and_then(|each| each.fooled) {
        let line = format!("mean {:.1}, median {}, at most {}", f.mean, f.median, f.max);
        output::line(format!("{:18} {line}", "queries if fooled"));
    }
}

/// `x` (adversarial), `y` (labels), `row` (place in the test part), `success`.
fn write_npz(path: &Path, test: &Dataset, rows: &[usize], outcome: &Outcome) -> Result<()> {
    use ndarray::{Array1, ArrayD, IxDyn};
    let named =
        |e: &dyn std::fmt::Display| Error::new(ErrorKind::Data, format!("{}: {e}", path.display()));
    let adversarial = outcome.adversarial.cast(DType::F32);
    let shape = IxDyn(&adversarial.shape());
    let x = ArrayD::from_shape_vec(shape, adversarial.to_vec::<f32>()?).map_err(|e| named(&e))?;
    let y: Array1<i64> = rows.iter().map(|&r| test.labels[r]).collect();
    let row: Array1<i64> = rows.iter().map(|&r| r as i64).collect();
    let success: Array1<bool> = outcome.success.iter().copied().collect();
    let mut npz = ndarray_npy::NpzWriter::new_compressed(Cursor::new(Vec::new()));
    npz.add_array("x", &x).map_err(|e| named(&e))?;
    npz.add_array("y", &y).map_err(|e| named(&e))?;
    npz.add_array("row", &row).map_err(|e| named(&e))?;
    npz.add_array("success", &success).map_err(|e| named(&e))?;
    let file = npz.finish().map_err(|e| named(&e))?;
    fs::write_bytes(path, file.get_ref())
}
