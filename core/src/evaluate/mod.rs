//! Judges a set of models on all three axes and fills the model sections of a report.
//!
//! Every model meets the same attacks on the same samples with the same seeds. Adversarial examples
//! are made once per model and attack, then used four times: white-box on their own model, by transfer on
//! the others, against certificates, and as pictures. One mode of evaluation is one file.

mod also;
mod attacks;
mod certificates;
mod checked;
mod clean;
mod curves;
mod entry;
mod membership;
mod minimal;
mod pictures;
mod plan;
mod smoothed;
mod steps;
mod tally;
mod transfer;
mod warnings;

pub use certificates::Certify;
pub use entry::{Entry, Target};
pub use plan::Plan;
pub use smoothed::Smoothed;

use self::certificates::Witnesses;
use self::checked::Trial;
use crate::data::Dataset;
use crate::doubt::Finding;
use crate::model::Network;
use crate::place::Placement;
use crate::report::{
    ModelReport, OtherData, PictureGrid, RobustnessCurve, StepsCurve, TrainingReport,
    TransferMatrix,
};
use crate::rng::Rng;
use crate::{Result, bail};

/// A model to judge.
pub struct Contender {
    /// Name in the report, unique.
    pub name: String,
    /// The model.
    pub network: Network,
    /// Whether the others are compared with it.
    pub baseline: bool,
    /// How it was trained.
    pub training: Option<TrainingReport>,
}

/// A model that takes part in transfer only.
pub struct Stranger {
    /// Name in the report, unique among contenders and strangers.
    pub name: String,
    /// The model.
    pub network: Network,
}

/// What takes part besides the models that are judged and their data.
#[derive(Clone, Copy, Default)]
pub struct Extras<'a> {
    /// Models that only make examples for the others.
    pub sources: &'a [Stranger],
    /// Models that are only shown the others' examples.
    pub targets: &'a [Stranger],
    /// Data sets of the same shape and classes, on which the models are measured as well.
    pub also: &'a [Dataset],
}

/// The sections of a report that [`evaluate`] fills.
#[derive(Debug, Clone)]
pub struct Findings {
    /// One entry a model, in the order given.
    pub models: Vec<ModelReport>,
    /// One matrix an attack.
    pub transfer: Vec<TransferMatrix>,
    /// One curve a model.
    pub curves: Vec<RobustnessCurve>,
    /// One curve a model, if the plan has steps.
    pub steps: Vec<StepsCurve>,
    /// One entry a further data set.
    pub also: Vec<OtherData>,
    /// Adversarial examples.
    pub pictures: Vec<PictureGrid>,
    /// What a reader must know before believing a number.
    pub warnings: Vec<String>,
    /// Why figures of robustness may be too high; each is in the report of its model too.
    pub findings: Vec<Finding>,
}

pub use crate::privacy::membership::Progress;

/// Judges `contenders` on `test`, with `train` as the members of the membership attack.
///
/// # Errors
/// As [`evaluate_with`].
pub fn evaluate(
    contenders: &[Contender],
    train: &Dataset,
    test: &Dataset,
    plan: &Plan,
    rng: &Rng,
    progress: Progress<'_>,
) -> Result<Findings> {
    evaluate_with(contenders, (train, test), Extras::default(), plan, rng, progress)
}

/// Judges `contenders` on data `(train, test)`, with further models and data sets.
///
/// # Errors
/// Two models share a name, a model or a data set does not fit, the plan is out of range, a device failed,
/// an attack fooled a sample that a certificate says it cannot, or `progress` stopped it.
pub fn evaluate_with(
    contenders: &[Contender],
    (train, test): (&Dataset, &Dataset),
    extras: Extras<'_>,
    plan: &Plan,
    rng: &Rng,
    progress: Progress<'_>,
) -> Result<Findings> {
    let mut judge = Judge::new(contenders, test, extras, plan, rng)?;
    for contender in contenders {
        judge.clean(contender, train, progress)?;
    }
    let mut transfer = Vec::new();
    let mut shots = Vec::new();
    for entry in &plan.attacks {
        transfer.push(judge.attack(entry, &mut shots, progress)?);
    }
    for config in &plan.minimal {
        judge.minimal(config, progress)?;
    }
    judge.worst_case();
    let mut warnings = Vec::new();
    judge.warn(&mut warnings);
    let findings = judge.check(progress)?;
    let curves = judge.curves(progress)?;
    let steps = judge.steps(progress)?;
    judge.certify(progress)?;
    judge.smoothed(progress)?;
    let also = judge.also(progress)?;
    let pictures = judge.pictures(&shots)?;
    Ok(Findings {
        models: judge.reports,
        transfer,
        curves,
        steps,
        also,
        pictures,
        warnings,
        findings,
    })
}

struct Judge<'a> {
    contenders: &'a [Contender],
    test: &'a Dataset,
    extras: Extras<'a>,
    plan: &'a Plan,
    rng: &'a Rng,
    /// Test samples attacked, in the order of the data set.
    rows: Vec<usize>,
    labels: Vec<i64>,
    /// Clean predictions of each model on `rows`.
    clean: Vec<Vec<i64>>,
    /// Which of `rows` each model had right before and after everything it was shown so far.
    held: Vec<Vec<bool>>,
    /// The nearest examples that fooled each model.
    witnesses: Vec<Witnesses>,
    /// All that each model was shown, for the checker.
    trials: Vec<Vec<Trial>>,
    reports: Vec<ModelReport>,
}

impl<'a> Judge<'a> {
    fn new(
        contenders: &'a [Contender],
        test: &'a Dataset,
        extras: Extras<'a>,
        plan: &'a Plan,
        rng: &'a Rng,
    ) -> Result<Self> {
        check_models(contenders, extras, test)?;
        if contenders.is_empty() || plan.attacks.is_empty() || test.is_empty() {
            bail!(
                Config,
                "evaluate: at least one model, one attack and one test sample are needed"
            );
        }
        plan.membership.check()?;
        plan.check_within(test)?;
        also::check(extras.also, test)?;
        let wanted = plan.samples.unwrap_or(test.len()).min(test.len());
        if wanted == 0 {
            bail!(Config, "evaluate: samples = 0 leaves nothing to attack");
        }
        let mut rows = rng.child("samples").choose(test.len(), wanted);
        rows.sort_unstable();
        let labels = rows.iter().map(|&r| test.labels[r]).collect();
        let witnesses = contenders.iter().map(|_| Witnesses::new(wanted)).collect();
        let trials = contenders.iter().map(|_| Vec::new()).collect();
        let (clean, held, reports) = (Vec::new(), Vec::new(), Vec::new());
        let judge = Judge {
            contenders,
            test,
            extras,
            plan,
            rng,
            rows,
            labels,
            clean,
            held,
            witnesses,
            trials,
            reports,
        };
        judge.check_certifiable()?;
        Ok(judge)
    }

    /// The samples that held against every example shown, white-box and transferred.
    fn worst_case(&mut self) {
        for (report, held) in self.reports.iter_mut().zip(&self.held) {
            let count = held.iter().filter(|h| **h).count();
            report.worst_case_accuracy = Some(count as f64 / held.len() as f64);
        }
    }
}

fn place(network: &Network) -> Placement {
    Placement { dtype: network.dtype(), ..Placement::new(network.device()) }
}

/// Checks that names are unique and that every model takes the samples of `test`.
fn check_models(contenders: &[Contender], extras: Extras<'_>, test: &Dataset) -> Result<()> {
    let mut names: Vec<&str> = Vec::new();
    let strangers = extras.sources.iter().chain(extras.targets).map(|s| (&s.name, &s.network));
    for (name, network) in contenders.iter().map(|c| (&c.name, &c.network)).chain(strangers) {
        if names.contains(&name.as_str()) {
            bail!(Config, "evaluate: two models are called {name:?}; rename one");
        }
        names.push(name);
        let spec = network.spec();
        if spec.input != test.shape || spec.classes != test.classes {
            bail!(
                Shape,
                "evaluate: {name} takes samples {:?} of {} classes, the data have {:?} of {}; leave it \
                 out, or compare models of the same data",
                spec.input,
                spec.classes,
                test.shape,
                test.classes
            );
        }
    }
    Ok(())
}
