//! `inocula audit membership`: can the training samples of a run be told from others?

use std::path::{Path, PathBuf};

use inocula_core::attack::{AttackConfig, Threat};
use inocula_core::data::Dataset;
use inocula_core::place::Placement;
use inocula_core::privacy::membership::{
    Answers, Augmentation, MEMBERSHIP, MembershipEntry, Needs, Sample, Scene, ShadowPlan, Sides,
    Views, pooled, reports, train_shadows,
};
use inocula_core::report::MembershipReport;
use inocula_core::rng::Rng;
use inocula_core::{Error, ErrorKind, Result, bail};

use crate::args::AuditMembership;
use crate::audits::{FILE, MembershipAudit, ShadowSection};
use crate::progress::Bar;
use crate::runs::{self, Run};
use crate::{audits, backends, config, output, reporting};

pub(super) fn run(flags: &AuditMembership, quiet: bool) -> Result<()> {
    let entries = entries(flags)?;
    if flags.jobs == Some(0) {
        bail!(Config, "--jobs 0 trains nothing; pass at least 1");
    }
    for folder in &flags.runs {
        let mut bar = Bar::new(quiet);
        let audited = one(flags, &entries, folder, &mut bar);
        bar.clear();
        audited.map_err(|err| stopped(err, flags))?;
    }
    Ok(())
}

/// A stop in the middle loses no shadow model that was finished, and says so.
fn stopped(err: Error, flags: &AuditMembership) -> Error {
    if err.kind() != ErrorKind::Cancelled {
        return err;
    }
    let runs: Vec<String> = flags.runs.iter().map(|run| run.display().to_string()).collect();
    let text = format!(
        "stopped as asked; finished shadow models are kept, so the same command goes on with {}",
        runs.join(" ")
    );
    Error::new(ErrorKind::Cancelled, text)
}

/// The attacks asked for, in the order of the table.
fn entries(flags: &AuditMembership) -> Result<Vec<&'static MembershipEntry>> {
    let Some(names) = &flags.attacks else {
        let usual = |e: &&MembershipEntry| match e.needs {
            Needs::Gradients => flags.eps.is_some(),
            _ => e.name != "boundary",
        };
        return Ok(MEMBERSHIP.iter().filter(usual).collect());
    };
    let asked =
        names.iter().map(|name| MembershipEntry::named(name)).collect::<Result<Vec<_>>>()?;
    let gradients = asked.iter().any(|entry| entry.needs == Needs::Gradients);
    if gradients && flags.eps.is_none() {
        bail!(Config, "robust: how large may a perturbation be? pass --eps, say 0.1");
    }
    Ok(MEMBERSHIP.iter().filter(|e| asked.iter().any(|a| a.name == e.name)).collect())
}

fn one(
    flags: &AuditMembership,
    entries: &[&MembershipEntry],
    folder: &Path,
    bar: &mut Bar,
) -> Result<()> {
    let first: config::RunConfig = match folder.join("config.toml") {
        path if path.is_file() => config::read(&path)?,
        _ => config::RunConfig::default(),
    };
    let backend = flags.backend.clone().unwrap_or(first.backend);
    let device = backends::open(&backend)?;
    let run = runs::read(folder, &device)?;
    let out = out(flags, folder, &run.name);
    runs::prepare(&out, FILE, flags.force)?;
    let (train, test) = run.config.datasets()?;
    let seed = flags.seed.unwrap_or(run.config.seed);
    let rng = Rng::new(seed).child("audit membership");
    let sizes = (train.len(), test.len());
    let sample = Sample::draw(sizes, flags.members, flags.non_members, flags.population, &rng)?;
    let evasion = evasion(flags)?;

    let needed = entries.iter().any(|entry| entry.needs == Needs::Shadows);
    let (views, shadows) = match needed {
        true => {
            let job = Job { flags, run: &run, backend: &backend, out: &out, rng: &rng };
            let (views, section) = job.shadows(&sample, (&train, &test), bar)?;
            (Some(views), Some(section))
        }
        false => (None, None),
    };
    let (members, others) = (train.select(&sample.members), test.select(&sample.non_members));
    let place = Placement { dtype: run.network.dtype(), ..Placement::new(&device) };
    let answers = Sides {
        members: Answers::of(&run.network, &members, &place)?,
        non_members: Answers::of(&run.network, &others, &place)?,
    };
    let scene = Scene {
        model: &run.network,
        members: &members,
        non_members: &others,
        answers: &answers,
        place: &place,
        evasion: evasion.as_ref(),
        queries: flags.queries,
        views: views.as_ref(),
        rng: &rng,
    };
    let attacks = reports(entries, &scene, &mut |phase, done, total| bar.show(phase, done, total))?;
    let audit = MembershipAudit {
        created: reporting::now(),
        program: reporting::program(),
        model: run.name.clone(),
        weights: audits::weights(folder)?,
        seed,
        backend,
        members: members.len(),
        non_members: others.len(),
        population: sample.population.len(),
        shadows,
        attacks,
    };
    runs::write_json(&out.join(FILE), &audit)?;
    bar.clear();
    show(&audit);
    output::line(format!("Written: {}", out.join(FILE).display()));
    Ok(())
}

/// The folder of a run's result.
fn out(flags: &AuditMembership, folder: &Path, name: &str) -> PathBuf {
    match (&flags.out, flags.runs.len()) {
        (None, _) => folder.to_owned(),
        (Some(out), 1) => out.clone(),
        (Some(out), _) => out.join(name),
    }
}

fn evasion(flags: &AuditMembership) -> Result<Option<AttackConfig>> {
    let Some(eps) = flags.eps else { return Ok(None) };
    let config = AttackConfig::named("pgd", Threat::new(flags.norm, eps))?;
    config.check()?;
    Ok(Some(config))
}

/// What shadow models are made of.
struct Job<'a> {
    flags: &'a AuditMembership,
    run: &'a Run,
    backend: &'a str,
    out: &'a Path,
    rng: &'a Rng,
}

impl Job<'_> {
    fn shadows(
        &self,
        sample: &Sample,
        (train, test): (&Dataset, &Dataset),
        bar: &mut Bar,
    ) -> Result<(Views, ShadowSection)> {
        let augmentations = Augmentation::shifts(self.flags.shifts, self.flags.flips);
        let pool = pooled(train, test);
        let (spec, usual_jobs) = single(self.backend);
        let jobs = self.flags.jobs.unwrap_or(usual_jobs).min(self.flags.shadows.max(1));
        let devices = (0..jobs).map(|_| backends::open(&spec)).collect::<Result<Vec<_>>>()?;
        let folder = self.out.join("shadows");
        let plan = ShadowPlan {
            count: self.flags.shadows,
            spec: self.run.network.spec(),
            train: &self.run.config.train,
            pool: &pool,
            augmentations: &augmentations,
            place: &spec,
            rng: self.rng,
            folder: Some(&folder),
        };
        let mut shown = |phase: &str, done: usize, total: usize| bar.show(phase, done, total);
        let shadows = train_shadows(&plan, &devices, &mut shown)?;
        let seconds: f64 = shadows.models.iter().map(|shadow| shadow.seconds).sum();
        let section = ShadowSection {
            count: shadows.models.len(),
            samples: pool.len() / 2,
            backend: spec,
            seconds: seconds / shadows.models.len() as f64,
        };
        let views = sample.views(&self.run.network, (train, test), &shadows, &augmentations)?;
        Ok((views, section))
    }
}

/// The device of one job, and how many jobs there are if nobody says: on the processor one thread each
/// and one job a processor, elsewhere the device as it is.
fn single(backend: &str) -> (String, usize) {
    let (place, options) = backend.split_once('?').unwrap_or((backend, ""));
    if place != "ndarray" && !place.starts_with("ndarray:") {
        return (backend.to_owned(), 1);
    }
    let kept = options.split('&').filter(|o| !o.is_empty() && !o.starts_with("threads="));
    let options: Vec<&str> = std::iter::once("threads=1").chain(kept).collect();
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    (format!("{place}?{}", options.join("&")), jobs)
}

fn show(audit: &MembershipAudit) {
    output::line(format!(
        "{}: {} members, {} non-members, {} of a population",
        audit.model, audit.members, audit.non_members, audit.population
    ));
    if let Some(shadows) = &audit.shadows {
        output::line(format!(
            "{} shadow models of {} samples, {:.1} s each on {}",
            shadows.count, shadows.samples, shadows.seconds, shadows.backend
        ));
    }
    // What is said of several attacks is said once, at the end.
    let lines =
        || audit.attacks.iter().flat_map(|attack| attack.refused.iter().chain(&attack.notes));
    let mut shared: Vec<&String> = Vec::new();
    for line in lines() {
        if !shared.contains(&line) && lines().filter(|other| *other == line).count() > 1 {
            shared.push(line);
        }
    }
    audit.attacks.iter().for_each(|attack| show_attack(attack, &shared));
    shared.into_iter().for_each(output::line);
}

/// An attack, without the lines `elsewhere`.
fn show_attack(attack: &MembershipReport, elsewhere: &[&String]) {
    let percent = |rate: f64| format!("{:.2} %", 100.0 * rate);
    output::line(&attack.attack);
    output::line(format!("  {}", attack.verdict()));
    let chance = attack
        .advantage_by_chance
        .map_or(String::new(), |chance| format!(", by chance up to {}", percent(chance)));
    output::line(format!(
        "  balanced accuracy {}, advantage {}{chance}",
        percent(attack.balanced_accuracy),
        percent(attack.advantage)
    ));
    for rate in &attack.tpr_at_fpr {
        let interval = rate.interval.map_or(String::new(), |i| {
            format!(", 95 % interval {} to {}", percent(i.low), percent(i.high))
        });
        output::line(format!(
            "  TPR {} at {} % FPR{interval}",
            percent(rate.tpr),
            100.0 * rate.fpr
        ));
    }
    if let Some(learnt) = &attack.learnt {
        output::line(format!(
            "  at the threshold it learnt: TPR {}, FPR {}, balanced accuracy {}",
            percent(learnt.tpr),
            percent(learnt.fpr),
            percent(learnt.balanced_accuracy)
        ));
    }
    let own = attack.refused.iter().chain(&attack.notes).filter(|line| !elsewhere.contains(line));
    own.for_each(|note| output::line(format!("  {note}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_on_the_processor_have_one_thread_each() {
        for (given, wanted) in [
            ("ndarray", "ndarray?threads=1"),
            ("ndarray?threads=8", "ndarray?threads=1"),
            ("ndarray:cpu?threads=8&simd=avx2", "ndarray:cpu?threads=1&simd=avx2"),
        ] {
            assert_eq!(single(given).0, wanted);
        }
        assert_eq!(single("tch:cuda:0"), ("tch:cuda:0".to_owned(), 1));
    }
}
