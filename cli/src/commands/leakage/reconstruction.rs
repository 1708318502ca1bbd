//! `inocula audit reconstruction`: training records of a run from gradients, updates, outputs, or all
//! other records.

use std::time::Instant;

use inocula_core::model::Network;
use inocula_core::nn::init_params;
use inocula_core::privacy::reconstruction::{
    Cosine, Defence, Experiment, LocalTraining, Method, Outcome, database,
};
use inocula_core::report::{
    Picture, PictureGrid, PictureRow, ReconstructionAttack, ReconstructionReport, Verdict,
};
use inocula_core::rng::Rng;
use inocula_core::{DType, Result, bail};

use super::{Audited, json, optional, rate, show, spread};
use crate::args::AuditReconstruction;
use crate::output;
use crate::progress::Bar;

/// Records that pictures show.
const SHOWN: usize = 8;

pub(in crate::commands) fn run(flags: &AuditReconstruction, quiet: bool) -> Result<()> {
    let plan = plan(flags)?;
    let audited = Audited::open(&flags.audited, "reconstruction.json")?;
    let rng = audited.rng("reconstruction");
    let network = network(flags, &audited, &rng)?;
    if flags.samples > audited.train.len() {
        let (wanted, there) = (flags.samples, audited.train.len());
        bail!(Config, "--samples {wanted}: the run has {there} training records; ask for fewer");
    }
    let mut rows = rng.child("samples").choose(audited.train.len(), flags.samples);
    rows.sort_unstable();
    let mut bar = Bar::new(quiet);
    let mut outcomes = Vec::new();
    for part in &plan {
        let started = Instant::now();
        let mut outcome = match part {
            Part::Search(experiment) => {
                let name = experiment.method.name();
                let mut heard = |done, total| bar.show(name, done, total);
                let rng = rng.child(name);
                let (train, test) = (&audited.train, &audited.test);
                experiment.run(&network, train, &rows, test, &rng, &mut heard)?
            }
            Part::Database => missing(flags, &audited, &rng, &rows, &mut bar)?,
        };
        outcome.report.seconds = Some(started.elapsed().as_secs_f64());
        outcomes.push(outcome);
    }
    bar.clear();
    let pictures = pictures(&audited, &outcomes)?;
    let attacks: Vec<ReconstructionAttack> = outcomes.into_iter().map(|o| o.report).collect();
    print(&attacks);
    let result = ReconstructionReport { attacks, pictures };
    let config = config(flags, &plan)?;
    audited.publish("reconstruction", config, &result, result.pictures.as_ref())
}

/// What is to be done.
enum Part {
    Search(Box<Experiment>),
    Database,
}

fn plan(flags: &AuditReconstruction) -> Result<Vec<Part>> {
    if flags.samples == 0 {
        bail!(Config, "--samples 0 leaves nothing to attack; give at least 1");
    }
    let defence = flags.clip.map(|clip| Defence { clip, noise_multiplier: flags.noise_multiplier });
    if let Some(defence) = &defence {
        defence.check()?;
    }
    let part = |name: &String| {
        if name == "database" {
            return Ok(Part::Database);
        }
        let method = with_flags(Method::named(name)?, flags);
        method.check()?;
        if flags.batch == 0 {
            bail!(Config, "--batch 0 shares nothing; give at least 1");
        }
        Ok(Part::Search(Box::new(Experiment {
            depth: flags.layer.filter(|_| matches!(method, Method::Features(_))),
            method,
            batch: flags.batch.min(flags.samples),
            labels_known: flags.labels_known,
            defence,
            recovered_from: flags.recovered_from,
        })))
    };
    flags.method.iter().map(part).collect()
}

/// A method with what the flags change.
fn with_flags(method: Method, flags: &AuditReconstruction) -> Method {
    let search = |c: Cosine| Cosine {
        steps: flags.steps.unwrap_or(c.steps),
        lr: flags.lr.unwrap_or(c.lr),
        tv: flags.tv.unwrap_or(c.tv),
        restarts: flags.restarts.unwrap_or(c.restarts),
    };
    let features = |mut c: inocula_core::privacy::reconstruction::Features| {
        c.steps = flags.steps.unwrap_or(c.steps);
        c.lr = flags.lr.unwrap_or(c.lr);
        c.tv = flags.tv.unwrap_or(c.tv);
        c.restarts = flags.restarts.unwrap_or(c.restarts);
        c
    };
    match method {
        Method::Dlg(mut c) => {
            c.steps = flags.steps.unwrap_or(c.steps);
            c.restarts = flags.restarts.unwrap_or(c.restarts);
            Method::Dlg(c)
        }
        Method::Idlg(mut c) => {
            c.steps = flags.steps.unwrap_or(c.steps);
            c.restarts = flags.restarts.unwrap_or(c.restarts);
            Method::Idlg(c)
        }
        Method::Cosine(c) => Method::Cosine(search(c)),
        Method::Analytic(mut c) => {
            c.features = features(c.features);
            Method::Analytic(c)
        }
        Method::Updates(mut c) => {
            c.search = search(c.search);
            c.local = LocalTraining {
                epochs: flags.local_epochs,
                batch: flags.local_batch,
                lr: flags.local_lr,
            };
            Method::Updates(c)
        }
        Method::Features(c) => Method::Features(features(c)),
    }
}

/// The network that is attacked: that of the run, or one as before its training.
fn network(flags: &AuditReconstruction, audited: &Audited, rng: &Rng) -> Result<Network> {
    let run = &audited.run.network;
    let dtype = if flags.double { DType::F64 } else { run.dtype() };
    let params = match flags.at_init {
        true => init_params(run.spec(), &audited.device, dtype, &rng.child("init"))?,
        false => run.params().map(|p| p.cast(dtype)),
    };
    Network::new(run.spec().clone(), params, &audited.device)
}

/// The attack on a convex model that is trained for it, on the records `rows` among others.
fn missing(
    flags: &AuditReconstruction,
    audited: &Audited,
    rng: &Rng,
    rows: &[usize],
    bar: &mut Bar,
) -> Result<Outcome> {
    let (train, test) = (&audited.train, &audited.test);
    let wanted = flags.records.min(train.len());
    if wanted <= rows.len() {
        let n = rows.len();
        bail!(Config, "--records {wanted}: attacks on {n} records need more than {n} to train on");
    }
    let mut all = rng.child("records").choose(train.len(), wanted);
    all.retain(|row| !rows.contains(row));
    all.truncate(wanted - rows.len());
    let all: Vec<usize> = rows.iter().copied().chain(all).collect();
    bar.show("database", 0, rows.len())?;
    database::attack(
        &audited.device,
        (train, &all),
        rows,
        flags.penalty,
        test,
        flags.recovered_from,
        &mut |done, total| bar.show("database", done, total),
    )
}

fn config(flags: &AuditReconstruction, plan: &[Part]) -> Result<serde_json::Value> {
    let methods = plan.iter().map(|part| match part {
        Part::Search(e) => json(&e.method),
        Part::Database => {
            let (records, penalty) = (flags.records, flags.penalty);
            Ok(serde_json::json!({ "type": "database", "records": records, "penalty": penalty }))
        }
    });
    let defence = flags.clip.map(
        |clip| serde_json::json!({ "clip": clip, "noise_multiplier": flags.noise_multiplier }),
    );
    Ok(serde_json::json!({
        "methods": methods.collect::<Result<Vec<_>>>()?,
        "samples": flags.samples,
        "batch": flags.batch,
        "labels_known": flags.labels_known,
        "at_init": flags.at_init,
        "double": flags.double,
        "layer": flags.layer,
        "defence": defence,
        "recovered_from": flags.recovered_from,
    }))
}

fn pictures(audited: &Audited, outcomes: &[Outcome]) -> Result<Option<PictureGrid>> {
    let train = &audited.train;
    if !matches!(train.shape[..], [1 | 3, _, _]) {
        return Ok(None);
    }
    let bounds = [f64::from(train.bounds.0), f64::from(train.bounds.1)];
    let picture =
        |values: &[f32], label: String| Picture::from_sample(values, &train.shape, bounds, label);
    let each: usize = train.shape.iter().product();
    let mut rows = Vec::new();
    for (at, first) in outcomes.first().iter().flat_map(|o| &o.rows).enumerate().take(SHOWN) {
        let (row, class) = (first.row, train.labels[first.row] as usize);
        let class = &train.class_names[class];
        let record = &train.features[row * each..(row + 1) * each];
        let mut cells = vec![picture(record, format!("class {class}"))?];
        for outcome in outcomes {
            let Some(found) = outcome.rows.get(at) else { continue };
            let out = found.psnr >= outcome.report.recovered_from;
            let verdict = if out { Verdict::Bad } else { Verdict::Good };
            let label = format!("{:.1} dB", found.psnr);
            cells.push(picture(&found.guess, label)?.judged(verdict));
        }
        rows.push(PictureRow { label: format!("record {row}"), cells });
    }
    let methods = outcomes.iter().map(|o| o.report.method.clone());
    Ok(Some(PictureGrid {
        title: format!("Reconstructions from {}", audited.run.name),
        caption: "Training records, and what each method made of what it saw of them.".into(),
        columns: std::iter::once("record".to_owned()).chain(methods).collect(),
        rows,
    }))
}

fn print(attacks: &[ReconstructionAttack]) {
    let row = |a: &ReconstructionAttack| {
        vec![
            a.method.clone(),
            a.leak.clone(),
            rate(&a.recovered),
            spread(&a.psnr, 1),
            spread(&a.baseline_psnr, 1),
            optional(a.ssim.as_ref(), 3),
            a.labels.as_ref().map_or("-".into(), rate),
            a.seconds.map_or("-".into(), |s| format!("{s:.1}")),
        ]
    };
    let headings =
        ["Method", "Seen", "Recovered", "PSNR, dB", "Mean record", "SSIM", "Labels", "Seconds"];
    show(&headings, 2, attacks.iter().map(row).collect());
    if let Some(window) = attacks.iter().find_map(|a| a.ssim_window).filter(|w| *w < 11) {
        output::line(format!(
            "SSIM has windows of {window} x {window}: the pictures are too small for 11."
        ));
    }
    for attack in attacks {
        output::line(format!("- {}.", attack.finding));
    }
}
