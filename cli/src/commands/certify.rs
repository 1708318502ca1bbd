//! `inocula certify`: what no attack within a budget can do to a trained model.

use std::path::PathBuf;
use std::time::Instant;

use inocula_core::certify::smoothing::{Smoothing, Vote};
use inocula_core::certify::{Bound, Certified, certify_rows};
use inocula_core::data::Dataset;
use inocula_core::metrics::{Interval, clopper_pearson};
use inocula_core::model::Network;
use inocula_core::place::Placement;
use inocula_core::report::{BackendSection, DatasetSection, HostSection, ProgramSection};
use inocula_core::rng::Rng;
use inocula_core::{Result, bail};
use serde::Serialize;

use crate::args::Certify;
use crate::progress::Bar;
use crate::{backends, config, output, reporting, runs, staging};

/// What `certificate.json` holds.
#[derive(Serialize)]
struct Record {
    created: String,
    program: ProgramSection,
    backend: BackendSection,
    host: HostSection,
    seed: u64,
    dataset: DatasetSection,
    model: String,
    method: &'static str,
    norm: &'static str,
    epsilon: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    smoothing: Option<Smoothing>,
    samples: usize,
    correct: usize,
    certified: usize,
    certified_accuracy: f64,
    /// 95 % confidence interval over the choice of the samples.
    interval: Interval,
    seconds: f64,
    rows: Vec<Row>,
}

/// What is known of one sample.
#[derive(Serialize)]
struct Row {
    row: usize,
    label: i64,
    correct: bool,
    certified: bool,
    /// Lower bound of the margin, or the certified radius; absent where smoothing abstains.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
}

pub(super) fn run(flags: &Certify, quiet: bool) -> Result<()> {
    let method = Chosen::of(flags)?;
    let spec_of = config::read::<config::RunConfig>(&flags.run.join("config.toml"));
    let backend = match &flags.backend {
        Some(backend) => backend.clone(),
        None => spec_of.map_or(backends::DEFAULT.into(), |c| c.backend),
    };
    let device = backends::open(&backend)?;
    let run = runs::read(&flags.run, &device)?;
    let (train, test) = run.config.datasets()?;
    if flags.samples == Some(0) {
        bail!(Config, "certify: --samples 0 leaves nothing to certify");
    }
    let folder = folder(flags, &method);
    runs::prepare(&folder, "certificate.json", flags.force)?;
    let seed = flags.seed.unwrap_or(run.config.seed);
    let rng = Rng::new(seed).child("certify");
    let wanted = flags.samples.unwrap_or(test.len()).min(test.len());
    let mut chosen = rng.child("samples").choose(test.len(), wanted);
    chosen.sort_unstable();

    let started = Instant::now();
    let place = Placement { dtype: run.network.dtype(), batch: 64, ..Placement::new(&device) };
    let mut bar = Bar::new(quiet);
    let rows = method.rows(&run.network, &test, &chosen, &place, &rng, &mut bar)?;
    bar.clear();
    let count = |f: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| f(row)).count();
    let (correct, certified) = (count(&|r| r.correct), count(&|r| r.certified));
    let record = Record {
        created: reporting::now(),
        program: reporting::program(),
        backend: BackendSection::new(&backend, device.info()),
        host: HostSection::current(),
        seed,
        dataset: reporting::dataset(&train, &test),
        model: run.name,
        method: method.name(),
        norm: method.norm(),
        epsilon: flags.eps,
        smoothing: method.smoothing(),
        samples: rows.len(),
        correct,
        certified,
        certified_accuracy: certified as f64 / rows.len() as f64,
        interval: clopper_pearson(certified as u64, rows.len() as u64, 0.05)?,
        seconds: started.elapsed().as_secs_f64(),
        rows,
    };
    staging::publish(&folder, &["certificate.json"], |to| {
        runs::write_json(&to.join("certificate.json"), &record)
    })?;
    print(&record);
    output::line(format!("Written: {}", folder.display()));
    Ok(())
}

fn folder(flags: &Certify, method: &Chosen) -> PathBuf {
    let named = || flags.run.join(format!("certify-{}-{}", method.name(), flags.eps));
    flags.out.clone().unwrap_or_else(named)
}

/// A method with its constants, checked.
enum Chosen {
    Bound(Bound, f64),
    Smoothing(Smoothing, f64),
}

/// Name of the method in L2.
pub(super) const SMOOTHING: &str = "smoothing";

impl Chosen {
    fn name(&self) -> &'static str {
        match self {
            Chosen::Bound(bound, _) => bound.name(),
            Chosen::Smoothing(..) => SMOOTHING,
        }
    }

    fn of(flags: &Certify) -> Result<Self> {
        let eps = flags.eps;
        if !(eps >= 0.0 && eps.is_finite()) {
            bail!(Config, "--eps {eps} must be finite and not negative");
        }
        if let Some(bound) = Bound::ALL.into_iter().find(|bound| bound.name() == flags.method) {
            if flags.sigma.is_some() || flags.draws.is_some() {
                bail!(Config, "--sigma and --draws belong to --method smoothing");
            }
            return Ok(Chosen::Bound(bound, eps));
        }
        if flags.method != SMOOTHING {
            let bounds = Bound::ALL.map(Bound::name).join(", ");
            let method = &flags.method;
            bail!(Config, "--method {method:?} is not one of {bounds}, {SMOOTHING}");
        }
        let Some(sigma) = flags.sigma else {
            bail!(Config, "--method smoothing needs --sigma, the deviation of the noise");
        };
        let usual = Smoothing::new(sigma);
        let estimation = flags.draws.unwrap_or(usual.estimation);
        let smoothing = Smoothing { estimation, ..usual };
        smoothing.check()?;
        Ok(Chosen::Smoothing(smoothing, eps))
    }

    fn norm(&self) -> &'static str {
        match self {
            Chosen::Bound(..) => "linf",
            Chosen::Smoothing(..) => "l2",
        }
    }

    fn smoothing(&self) -> Option<Smoothing> {
        match self {
            Chosen::Bound(..) => None,
            Chosen::Smoothing(smoothing, _) => Some(*smoothing),
        }
    }

    fn rows(
        &self,
        network: &Network,
        test: &Dataset,
        chosen: &[usize],
        place: &Placement,
        rng: &Rng,
        bar: &mut Bar,
    ) -> Result<Vec<Row>> {
        let (mut done, total) = (0, chosen.len());
        let mut show = |n: usize| {
            done += n;
            bar.show("Certifying", done, total)
        };
        match self {
            Chosen::Bound(bound, eps) => {
                let known = certify_rows(*bound, network, test, chosen, *eps, place, &mut show)?;
                let row = |(&row, known): (&usize, &Certified)| Row {
                    row,
                    label: test.labels[row],
                    correct: known.correct,
                    certified: known.holds,
                    value: Some(known.margin),
                };
                Ok(chosen.iter().zip(&known).map(row).collect())
            }
            Chosen::Smoothing(smoothing, eps) => {
                let each = |&row: &usize| {
                    let (x, _) = place.tensors(test, &[row])?;
                    let vote = smoothing.certify(network, &x, &rng.index(row as u64))?;
                    show(1)?;
                    Ok(voted(row, test.labels[row], vote, *eps))
                };
                chosen.iter().map(each).collect()
            }
        }
    }
}

fn voted(row: usize, label: i64, vote: Vote, eps: f64) -> Row {
    match vote {
        Vote::Abstain => Row { row, label, correct: false, certified: false, value: None },
        Vote::Class { class, radius } => {
            let correct = class == label;
            Row { row, label, correct, certified: correct && radius >= eps, value: Some(radius) }
        }
    }
}

fn print(record: &Record) {
    let percent = |part: usize| format!("{:.2} %", 100.0 * part as f64 / record.samples as f64);
    let Interval { low: lower, high: upper, .. } = record.interval;
    let range = format!("{:.2} to {:.2} %", 100.0 * lower, 100.0 * upper);
    let rows = [
        ("model", record.model.clone()),
        ("method", record.method.to_owned()),
        ("budget", format!("{} {}", record.norm, record.epsilon)),
        ("samples", record.samples.to_string()),
        ("accuracy", percent(record.correct)),
        ("certified accuracy", percent(record.certified)),
        ("95 % interval", range),
        ("seconds", format!("{:.2}", record.seconds)),
    ];
    for (name, value) in rows {
        output::line(format!("{name:18} {value}"));
    }
}
