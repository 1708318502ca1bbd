//! Judges a set of models on all three axes and fills the model sections of a report.
//!
//! Every model meets the same attacks on the same samples with the same seeds. Adversarial examples
//! are made once per model and attack, then used three times: white-box on their own model, by
//! transfer on the others, and as pictures.

mod checked;
mod plan;

use std::time::Instant;

pub use plan::Plan;

use checked::Shot;

use crate::attack::{
    Aim, AttackConfig, Outcome, Threat, Traced, minimal_perturbations, perturb_rows,
};
use crate::data::Dataset;
use crate::doubt::Finding;
use crate::metrics::{Confusion, Norm, attack_success_rate, summarize_perturbations};
use crate::model::{Network, predict, predict_rows};
use crate::place::Placement;
use crate::privacy::membership::quick;
use crate::report::{
    Access, AttackReport, ClassificationReport, CurvePoint, ModelReport, PerturbationToFool,
    Picture, PictureGrid, PictureRow, RobustnessCurve, TrainingReport, TransferMatrix,
    TransferQuantity, Verdict,
};
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

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

/// The sections of a report that [`evaluate`] fills.
#[derive(Debug, Clone)]
pub struct Findings {
    /// One entry a model, in the order given.
    pub models: Vec<ModelReport>,
    /// One matrix an attack.
    pub transfer: Vec<TransferMatrix>,
    /// One curve a model.
    pub curves: Vec<RobustnessCurve>,
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
/// Two models share a name, the plan is out of range, a device failed, or `progress` stopped it.
pub fn evaluate(
    contenders: &[Contender],
    train: &Dataset,
    test: &Dataset,
    plan: &Plan,
    rng: &Rng,
    progress: Progress<'_>,
) -> Result<Findings> {
    let mut judge = Judge::new(contenders, test, plan, rng)?;
    for contender in contenders {
        judge.clean(contender, train, progress)?;
    }
    let mut transfer = Vec::new();
    let mut warnings = Vec::new();
    let mut strongest = Vec::new();
    for config in &plan.attacks {
        let outcomes = judge.white_box(config, progress)?;
        transfer.push(judge.transfer(config, &outcomes)?);
        strongest = outcomes;
    }
    judge.worst_case();
    judge.warn(&mut warnings);
    let findings = judge.check(progress)?;
    let curves = judge.curves(progress)?;
    let pictures = judge.pictures(&strongest)?;
    Ok(Findings { models: judge.reports, transfer, curves, pictures, warnings, findings })
}

struct Judge<'a> {
    contenders: &'a [Contender],
    test: &'a Dataset,
    plan: &'a Plan,
    rng: &'a Rng,
    /// Test samples attacked, in the order of the data set.
    rows: Vec<usize>,
    labels: Vec<i64>,
    /// Clean predictions of each model on `rows`.
    clean: Vec<Vec<i64>>,
    /// Which of `rows` each model had right before and after everything it was shown so far.
    held: Vec<Vec<bool>>,
    /// All that each model was shown.
    shots: Vec<Vec<Shot>>,
    reports: Vec<ModelReport>,
}

impl<'a> Judge<'a> {
    fn new(
        contenders: &'a [Contender],
        test: &'a Dataset,
        plan: &'a Plan,
        rng: &'a Rng,
    ) -> Result<Self> {
        for (i, c) in contenders.iter().enumerate() {
            if contenders[..i].iter().any(|d| d.name == c.name) {
                bail!(Config, "evaluate: two models are called {:?}; rename one", c.name);
            }
            if c.network.spec().input != test.shape || c.network.spec().classes != test.classes {
                bail!(
                    Shape,
                    "evaluate: {} takes samples {:?} of {} classes, the data have {:?} of {}",
                    c.name,
                    c.network.spec().input,
                    c.network.spec().classes,
                    test.shape,
                    test.classes
                );
            }
        }
        plan.membership.check()?;
        if contenders.is_empty() || plan.attacks.is_empty() || test.is_empty() {
            bail!(
                Config,
                "evaluate: at least one model, one attack and one test sample are needed"
            );
        }
        plan.check_within(test)?;
        let wanted = plan.samples.unwrap_or(test.len()).min(test.len());
        if wanted == 0 {
            bail!(Config, "evaluate: samples = 0 leaves nothing to attack");
        }
        let mut rows = rng.child("samples").choose(test.len(), wanted);
        rows.sort_unstable();
        let labels = rows.iter().map(|&r| test.labels[r]).collect();
        let (clean, held, shots, reports) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Judge { contenders, test, plan, rng, rows, labels, clean, held, shots, reports })
    }

    fn place(&self, network: &Network) -> Placement {
        Placement { dtype: network.dtype(), ..Placement::new(network.device()) }
    }

    /// Utility and membership of one model.
    fn clean(
        &mut self,
        contender: &Contender,
        train: &Dataset,
        progress: Progress<'_>,
    ) -> Result<()> {
        let network = &contender.network;
        let place = self.place(network);
        let all: Vec<usize> = (0..self.test.len()).collect();
        let predictions = predict_rows(network, self.test, &all, &place)?;
        let confusion = Confusion::from_labels(&self.test.labels, &predictions, self.test.classes)?;
        let membership = quick(
            network,
            (train, self.test),
            &self.plan.membership,
            self.plan.threat,
            &place,
            &self.rng.child("membership"),
            progress,
        )?;
        let right = |&r: &usize| predictions[r] == self.test.labels[r];
        self.held.push(self.rows.iter().map(right).collect());
        self.clean.push(self.rows.iter().map(|&r| predictions[r]).collect());
        self.shots.push(Vec::new());
        self.reports.push(ModelReport {
            name: contender.name.clone(),
            baseline: contender.baseline,
            parameters: network.spec().numel()? as u64,
            training: contender.training.clone(),
            clean: ClassificationReport::new(&confusion, &self.test.class_names)?,
            attacks: Vec::new(),
            worst_case_accuracy: None,
            findings: Vec::new(),
            mean_perturbation_to_fool: None,
            membership,
            privacy_budget: contender.training.as_ref().and_then(|t| t.privacy.clone()),
            inversion: None,
            reconstruction: None,
            attributes: None,
        });
        Ok(())
    }

    /// Attacks every model by itself; the outcomes on `rows`.
    fn white_box(&mut self, config: &AttackConfig, progress: Progress<'_>) -> Result<Vec<Outcome>> {
        let attack = config.check()?;
        let mut outcomes = Vec::new();
        for (i, contender) in self.contenders.iter().enumerate() {
            let phase = format!("{} on {}", config.label(), contender.name);
            let (mut done, total) = (0, self.rows.len());
            progress(&phase, 0, total)?;
            let started = Instant::now();
            let traced = Traced::new(&*attack);
            let outcome = perturb_rows(
                &traced,
                &contender.network,
                self.test,
                &self.rows,
                Aim::Untargeted,
                &self.place(&contender.network),
                &self.rng.child("attack"),
                &mut |n| {
                    done += n;
                    progress(&phase, done, total)
                },
            )?;
            let access = attack.access().into();
            let mut report = self.attack_report(i, config, access, &outcome.predictions)?;
            report.mean_perturbation = self.mean_perturbation(i, &outcome)?;
            report.queries = outcome.queries;
            report.gradient_calls = outcome.gradient_calls;
            report.seconds = Some(started.elapsed().as_secs_f64());
            let traces = traced.traces();
            self.shots[i].push(Shot::own(&report, config, attack.access(), &outcome, traces));
            self.reports[i].attacks.push(report);
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    /// Mean size of the perturbations that turned a right prediction into a wrong one.
    fn mean_perturbation(&self, model: usize, outcome: &Outcome) -> Result<Option<f64>> {
        let turned: Vec<bool> = (0..self.rows.len())
            .map(|i| self.clean[model][i] == self.labels[i] && outcome.success[i])
            .collect();
        Ok(summarize_perturbations(&outcome.distance, &turned)?.map(|s| s.mean))
    }

    fn attack_report(
        &self,
        model: usize,
        config: &AttackConfig,
        access: Access,
        predictions: &[i64],
    ) -> Result<AttackReport> {
        let threat = config.check()?.threat();
        let clean = &self.clean[model];
        Ok(AttackReport {
            name: config.label(),
            access,
            norm: threat.norm,
            epsilon: Some(threat.eps),
            targeted: false,
            samples: self.rows.len() as u64,
            robust_accuracy: crate::metrics::robust_accuracy(&self.labels, clean, predictions)?,
            success_rate: attack_success_rate(&self.labels, clean, predictions)?,
            mean_perturbation: None,
            queries: 0,
            gradient_calls: 0,
            seconds: None,
        })
    }

    /// Shows the examples of every model to every model. A model's transfer figure is the pointwise
    /// worst over the examples of all others. What a source had wrong already it sends unperturbed.
    fn transfer(&mut self, config: &AttackConfig, outcomes: &[Outcome]) -> Result<TransferMatrix> {
        let names: Vec<String> = self.contenders.iter().map(|c| c.name.clone()).collect();
        let threat = config.check()?.threat();
        let mut values = vec![vec![0.0; names.len()]; names.len()];
        for (target, contender) in self.contenders.iter().enumerate() {
            let mut worst = self.clean[target].clone();
            for (source, outcome) in outcomes.iter().enumerate() {
                let seen = if source == target {
                    outcome.predictions.clone()
                } else {
                    let place = self.place(&contender.network);
                    shown(&contender.network, &outcome.adversarial, &place)?
                };
                for (i, &class) in seen.iter().enumerate() {
                    self.held[target][i] &= class == self.labels[i];
                }
                let report = self.attack_report(target, config, Access::Transfer, &seen)?;
                values[source][target] = report.robust_accuracy;
                if source != target {
                    for (i, &class) in seen.iter().enumerate() {
                        if class != self.labels[i] {
                            worst[i] = class;
                        }
                    }
                }
            }
            if names.len() > 1 {
                let report = self.attack_report(target, config, Access::Transfer, &worst)?;
                self.shots[target].push(Shot::transferred(&report, &self.labels, &worst));
                self.reports[target].attacks.push(report);
            }
        }
        Ok(TransferMatrix {
            attack: config.label(),
            norm: threat.norm,
            epsilon: threat.eps,
            quantity: TransferQuantity::RobustAccuracy,
            sources: names.clone(),
            targets: names,
            values,
        })
    }

    /// The samples that held against every example shown, white-box and transferred.
    fn worst_case(&mut self) {
        for (report, held) in self.reports.iter_mut().zip(&self.held) {
            let count = held.iter().filter(|h| **h).count();
            report.worst_case_accuracy = Some(count as f64 / held.len() as f64);
        }
    }

    /// What training warned of.
    fn warn(&self, warnings: &mut Vec<String>) {
        for report in &self.reports {
            let training = report.training.iter().flat_map(|training| &training.warnings);
            warnings.extend(training.map(|warning| format!("{}: {warning}", report.name)));
        }
    }

    /// Robustness curves, and with them the smallest perturbations that fool.
    fn curves(&mut self, progress: Progress<'_>) -> Result<Vec<RobustnessCurve>> {
        let Some(config) = self.plan.attacks.last() else { return Ok(Vec::new()) };
        let norm = config.check()?.threat().norm;
        let at = |eps: f64| config.with_threat(Threat::new(norm, eps)).check();
        let mut curves = Vec::new();
        for (i, contender) in self.contenders.iter().enumerate() {
            let phase = format!("smallest perturbation of {}", contender.name);
            let (mut done, most) = (0, self.rows.len() * self.plan.radii.len());
            progress(&phase, 0, most)?;
            let found = minimal_perturbations(
                &at,
                &self.plan.radii,
                &contender.network,
                self.test,
                &self.rows,
                &self.place(&contender.network),
                &self.rng.child("minimal"),
                &mut |n| {
                    done += n;
                    progress(&phase, done, most)
                },
            )?;
            progress(&phase, most, most)?;
            self.reports[i].mean_perturbation_to_fool =
                self.to_fool(i, &found.distance, config, norm)?;
            let points =
                found.curve.iter().map(|&(epsilon, accuracy)| CurvePoint { epsilon, accuracy });
            curves.push(RobustnessCurve {
                model: contender.name.clone(),
                attack: config.label(),
                norm,
                points: points.collect(),
            });
        }
        Ok(curves)
    }

    fn to_fool(
        &self,
        model: usize,
        distance: &[Option<f64>],
        config: &AttackConfig,
        norm: Norm,
    ) -> Result<Option<PerturbationToFool>> {
        let right = |i: usize| self.clean[model][i] == self.labels[i];
        let fooled: Vec<bool> =
            (0..distance.len()).map(|i| right(i) && distance[i].is_some()).collect();
        let sizes: Vec<f64> = distance.iter().map(|d| d.unwrap_or(0.0)).collect();
        let open = (0..distance.len()).filter(|&i| right(i)).count();
        Ok(summarize_perturbations(&sizes, &fooled)?.map(|summary| PerturbationToFool {
            attack: config.label(),
            norm,
            mean: summary.mean,
            median: summary.median,
            fooled_fraction: summary.count as f64 / open as f64,
        }))
    }

    /// The first sample of each class: clean, and as each model's strongest attack changed it.
    fn pictures(&self, outcomes: &[Outcome]) -> Result<Vec<PictureGrid>> {
        if !matches!(*self.test.shape, [1 | 3, _, _]) || self.plan.pictures == 0 {
            return Ok(Vec::new());
        }
        let Some(config) = self.plan.attacks.last() else { return Ok(Vec::new()) };
        let mut shown: Vec<usize> = Vec::new();
        for class in 0..self.test.classes as i64 {
            shown.extend(self.labels.iter().position(|&l| l == class));
        }
        shown.truncate(self.plan.pictures);
        let name = |class: i64| {
            self.test.class_names.get(class as usize).map_or("?", String::as_str).to_owned()
        };
        let bounds = [f64::from(self.test.bounds.0), f64::from(self.test.bounds.1)];
        let each: usize = self.test.shape.iter().product();
        let picture = |values: &[f32], label: String| {
            Picture::from_sample(values, &self.test.shape, bounds, label)
        };
        let clean = shown.iter().map(|&i| {
            let row = self.rows[i];
            picture(&self.test.features[row * each..(row + 1) * each], name(self.labels[i]))
        });
        let mut rows =
            vec![PictureRow { label: "input".into(), cells: clean.collect::<Result<_>>()? }];
        for (contender, outcome) in self.contenders.iter().zip(outcomes) {
            let values = outcome.adversarial.cast(crate::DType::F32).to_vec::<f32>()?;
            let cells = shown.iter().map(|&i| {
                let class = outcome.predictions[i];
                let right = class == self.labels[i];
                let verdict = if right { Verdict::Good } else { Verdict::Bad };
                let cell = picture(&values[i * each..(i + 1) * each], name(class))?;
                Ok(cell.judged(verdict))
            });
            rows.push(PictureRow {
                label: contender.name.clone(),
                cells: cells.collect::<Result<_>>()?,
            });
        }
        let threat = config.check()?.threat();
        Ok(vec![PictureGrid {
            title: "Adversarial examples".into(),
            caption: format!(
                "What {} at {} {} makes of test samples, and the class each model then sees. A \
                 sample that a model had wrong already is shown unchanged.",
                config.label(),
                threat.norm.symbol(),
                threat.eps
            ),
            columns: shown.iter().map(|&i| format!("class {}", name(self.labels[i]))).collect(),
            rows,
        }])
    }
}

/// Predicted classes of inputs made elsewhere.
fn shown(network: &Network, x: &Tensor, place: &Placement) -> Result<Vec<i64>> {
    let x = x.to_device(network.device())?.cast(network.dtype());
    let rows: Vec<usize> = (0..x.dim(0)).collect();
    let mut all = Vec::with_capacity(rows.len());
    for rows in place.portions(&rows) {
        all.extend(predict(network, &x.narrow(0, rows[0], rows.len()))?);
    }
    Ok(all)
}
