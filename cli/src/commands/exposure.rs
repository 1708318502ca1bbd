//! `inocula audit exposure`: if a card number had been in the training data of a run, would it come
//! back?
//!
//! The training of the run is repeated with canaries among its data, because what a model keeps of a
//! record can only be seen of one that is known to have been there.

use inocula_core::model::Network;
use inocula_core::nn::{Layer, init_params};
use inocula_core::place::Placement;
use inocula_core::privacy::exposure::{
    Canary, Encoding, ExposureSummary, Field, Ranking, canaries, expected_by_chance, exposure,
    insert,
};
use inocula_core::report::ProgramSection;
use inocula_core::rng::Rng;
use inocula_core::train::{Private, TrainConfig, fit};
use inocula_core::{DType, Result, bail};
use serde::Serialize;

use crate::args::AuditExposure;
use crate::progress::{Bar, Training};
use crate::{backends, config, output, reporting, runs};

/// Name of the result.
const FILE: &str = "exposure.json";
/// The most secrets that are all tried unless a number is given.
const ALL: u64 = 100_000;

/// The result.
#[derive(Serialize)]
struct Report {
    created: String,
    program: ProgramSection,
    model: String,
    seed: u64,
    backend: String,
    field: Field,
    ranking: Ranking,
    /// Times that each canary was in the training data.
    repeats: usize,
    /// Mean exposure of a model that knows nothing, in bits.
    expected_by_chance: f64,
    inserted: ExposureSummary,
    controls: ExposureSummary,
}

pub(super) fn run(flags: &AuditExposure, quiet: bool) -> Result<()> {
    if flags.canaries == 0 || flags.controls == 0 || flags.repeats == 0 {
        bail!(
            Config,
            "audit: --canaries {}, --controls {} and --repeats {} must be at least 1",
            flags.canaries,
            flags.controls,
            flags.repeats
        );
    }
    let first: config::RunConfig = match flags.run.join("config.toml") {
        path if path.is_file() => config::read(&path)?,
        _ => config::RunConfig::default(),
    };
    let backend = flags.backend.clone().unwrap_or(first.backend);
    let device = backends::open(&backend)?;
    let run = runs::read(&flags.run, &device)?;
    let (train, _) = run.config.datasets()?;
    let features = train.shape.iter().product();
    let spec = run.network.spec();
    let field = field(flags, features, matches!(spec.layers.first(), Some(Layer::Embedding(_))))?;
    let ranking = ranking(flags, &field)?;
    let out = flags.out.as_ref().unwrap_or(&flags.run);
    runs::prepare(out, FILE, flags.force)?;

    let seed = flags.seed.unwrap_or(run.config.seed);
    let rng = Rng::new(seed).child("audit exposure");
    let all = canaries(&train, &field, flags.canaries + flags.controls, &rng)?;
    let (inserted, controls) = all.split_at(flags.canaries);
    let data = insert(&train, inserted, flags.repeats);
    let own = Rng::new(run.config.seed);
    let params = init_params(spec, &device, DType::F32, &own.child("init"))?;
    let mut network = Network::new(spec.clone(), params, &device)?;
    let mut bar = Bar::new(quiet);
    let mut shown = Training { bar: &mut bar, name: "with canaries" };
    let config = repeatable(&run.config.train);
    fit(&mut network, &data, None, &config, &own.child("train"), &mut shown)?;

    let place = Placement { batch: 1024, ..Placement::new(&device) };
    let mut done = 0;
    let mut summary = |which: &[Canary]| -> Result<ExposureSummary> {
        let mut each = Vec::with_capacity(which.len());
        for canary in which {
            bar.show("ranking secrets", done, all.len())?;
            let rng = rng.child("secrets").index(done as u64);
            each.push(exposure(&network, canary, &field, ranking, (&train, &place), &rng)?);
            done += 1;
        }
        ExposureSummary::new(each)
    };
    let (inserted, controls) = (summary(inserted)?, summary(controls)?);
    bar.clear();
    let tried = if ranking == Ranking::Exact { field.secrets() } else { inserted.each[0].tried };
    let report = Report {
        created: reporting::now(),
        program: reporting::program(),
        model: run.name,
        seed,
        backend,
        field,
        ranking,
        repeats: flags.repeats,
        expected_by_chance: expected_by_chance(tried),
        inserted,
        controls,
    };
    runs::write_json(&out.join(FILE), &report)?;
    show(&report);
    output::line(format!("Written: {}", out.join(FILE).display()));
    Ok(())
}

/// The training of the run with nothing measured after epochs, its noise from the seed: the model is
/// not published.
fn repeatable(config: &TrainConfig) -> TrainConfig {
    let private = config.private.clone().map(|p| Private { seeded: true, ..p });
    TrainConfig { monitor: None, private, ..config.clone() }
}

fn field(flags: &AuditExposure, features: usize, tokens: bool) -> Result<Field> {
    let (digits, at) = (flags.digits, flags.at);
    let with = |encoding| Field { digits, at, encoding };
    let field = match flags.encoding.as_deref() {
        Some("one-hot") => with(Encoding::OneHot),
        Some("level") => with(Encoding::Level),
        Some(other) => bail!(Config, "encoding: {other:?} is not one of one-hot, level"),
        None if !tokens && with(Encoding::OneHot).check(features).is_ok() => with(Encoding::OneHot),
        None => with(Encoding::Level),
    };
    field.check(features)?;
    Ok(field)
}

fn ranking(flags: &AuditExposure, field: &Field) -> Result<Ranking> {
    match flags.sampled {
        Some(0) => bail!(Config, "audit: --sampled 0 tries no secret; pass at least 1"),
        Some(count) => Ok(Ranking::Sampled(count)),
        None if field.secrets() <= ALL => Ok(Ranking::Exact),
        None => Ok(Ranking::Sampled(ALL)),
    }
}

fn show(report: &Report) {
    let tried = match report.ranking {
        Ranking::Exact => format!("all {}", report.field.secrets()),
        Ranking::Sampled(count) => format!("{count} random ones of {}", report.field.secrets()),
    };
    output::line(format!(
        "secrets of {} digits, {} times in the training data, ranked among {tried}",
        report.field.digits, report.repeats
    ));
    line("in the training data", &report.inserted);
    line("kept out of it", &report.controls);
    output::line(format!(
        "  a model that knows nothing gives {:.2} bits on average",
        report.expected_by_chance
    ));
    output::line(report.inserted.verdict());
    output::line(format!("  seed          {} on {}", report.seed, report.backend));
}

fn line(what: &str, summary: &ExposureSummary) {
    output::line(format!(
        "  {:20}  {:.2} of {:.2} bits over {} canaries; chance gives up to {:.2} in 95 of 100 cases, \
         p <= {:.2e}",
        what,
        summary.mean_bits,
        summary.most_bits,
        summary.each.len(),
        summary.mean_by_chance,
        summary.p_value
    ));
}
