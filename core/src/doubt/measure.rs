//! Collects the facts: what the attack left behind costs nothing, gradients and answers little, other
//! attacks are run on a part of the samples.

use super::facts::{Added, Answers, Duel, Extra, Facts, Gradients, Unbounded};
use super::path::Path;
use super::probes::{
    Ascends, ascends, blind, more_restarts, more_steps, one_step, other_loss, single, unbounded,
    uses_dlr,
};
use crate::attack::dlr::dlr;
use crate::attack::{
    Access, Aim, AttackConfig, Draws, Goal, Norm, Stage, Threat, Traces, perturb_rows,
};
use crate::data::Dataset;
use crate::grad::{grad, walks};
use crate::loss::{cross_entropy, margin};
use crate::model::Classifier;
use crate::place::Placement;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// Samples on which the checker runs attacks, unless told otherwise: enough that a lead of seven is one.
pub const SAMPLES: usize = 96;

/// Samples whose gradients and answers are looked at where no attack is run.
const GLANCED: usize = 64;

/// Random points of the ball that noise tries for each sample.
const NOISE: u64 = 100;

/// Points next to a sample, and how far they are, as a share of the range of inputs.
const NEIGHBOURS: u64 = 10;
const NEARBY: f64 = 1e-3;

/// The model that was attacked, and where.
pub struct Subject<'a> {
    /// Its name, for the findings.
    pub name: &'a str,
    /// The model.
    pub model: &'a dyn Classifier,
    /// The data.
    pub data: &'a Dataset,
    /// Samples that were attacked.
    pub rows: &'a [usize],
    /// Which of `rows` the model has right.
    pub right: &'a [bool],
    /// Where and in which portions it runs.
    pub place: &'a Placement,
    /// The generator that the attack drew from.
    pub rng: &'a Rng,
    /// Samples on which other attacks are run, at most; 0 runs none, and looks only at gradients, answers
    /// and trace.
    pub samples: usize,
}

/// The attack whose figure is checked; it must be one by gradients.
pub struct Attacked<'a> {
    /// Its configuration.
    pub config: &'a AttackConfig,
    /// Which of the rows it fooled.
    pub fooled: &'a [bool],
    /// The iterates that it told of.
    pub traces: &'a Traces,
    /// What its members left, if it is AutoAttack.
    pub stages: &'a [Stage],
}

/// Another attack of the same evaluation.
pub struct Rival {
    /// Its label.
    pub label: String,
    /// What it has, or has not.
    pub means: Means,
    /// Which of the rows it fooled.
    pub fooled: Vec<bool>,
}

/// What a rival has to work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// Gradients, for one step.
    OneStep,
    /// Gradients, for many steps: as the attack itself, so that nothing follows from it.
    Iterated,
    /// Scores or decisions.
    BlackBox,
    /// Other models.
    Transfer,
}

impl Means {
    /// Those of an attack on the model itself.
    pub fn of(config: &AttackConfig, access: Access) -> Self {
        match access {
            Access::Gradient if one_step(config) => Means::OneStep,
            Access::Gradient => Means::Iterated,
            Access::Score | Access::Decision => Means::BlackBox,
        }
    }
}

/// Hears of steps done and their number.
type Progress<'a> = &'a mut dyn FnMut(usize, usize) -> Result<()>;

/// Steps of [`measure`] that [`Progress`] hears of.
const STAGES: usize = 9;

/// All facts about `attacked`, from what it left behind, from `rivals`, and from runs of other attacks.
///
/// # Errors
/// The attack uses no gradients, a list is not of one value per row, the model, an attack or the device
/// failed, or `progress` stopped it.
pub fn measure(
    subject: &Subject<'_>,
    attacked: &Attacked<'_>,
    rivals: &[Rival],
    progress: Progress<'_>,
) -> Result<Facts> {
    let attack = attacked.config.check()?;
    if attack.access() != Access::Gradient {
        bail!(
            Config,
            "check: {} uses no gradients; it is attacks by gradients that are checked",
            attacked.config.label()
        );
    }
    let rows = subject.rows.len();
    let rivals_fit = rivals.iter().all(|rival| rival.fooled.len() == rows);
    if subject.right.len() != rows || attacked.fooled.len() != rows || !rivals_fit {
        bail!(Usage, "check: pass one value for each of the {rows} samples in every list");
    }
    let mut facts = Facts { attack: attacked.config.label(), ..Facts::default() };
    facts.dlr_classes = uses_dlr(attacked.config).then(|| subject.model.classes());
    facts.square = Added::by_square(attacked.stages, rows);
    compare(&mut facts, subject, attacked, rivals);
    let left = (0..rows).filter(|&i| subject.right[i] && !attacked.fooled[i]);
    facts.path = Path::of(attacked.traces, left.map(|i| subject.rows[i] as u64));

    let probe = Probe::new(subject, attacked, attack.threat());
    if probe.rows.is_empty() {
        return Ok(facts);
    }
    progress(0, STAGES)?;
    facts.gradients = Some(probe.gradients()?);
    facts.answers = Some(probe.answers()?);
    if subject.samples > 0 && probe.threat.norm != Norm::L0 && probe.threat.budget().is_some() {
        probe.rival_attacks(&mut facts, progress)?;
        probe.extra_attacks(&mut facts, progress)?;
    }
    progress(STAGES, STAGES)?;
    Ok(facts)
}

/// The attack against the others of its evaluation, on all samples.
fn compare(facts: &mut Facts, subject: &Subject<'_>, attacked: &Attacked<'_>, rivals: &[Rival]) {
    let right = |fooled: &[bool]| -> Vec<bool> {
        fooled.iter().zip(subject.right).filter(|(_, right)| **right).map(|(f, _)| *f).collect()
    };
    let own = right(attacked.fooled);
    let iterated = !one_step(attacked.config);
    for rival in rivals {
        let list = match rival.means {
            Means::OneStep if iterated => &mut facts.one_step,
            Means::BlackBox => &mut facts.black_box,
            Means::Transfer => &mut facts.transfer,
            Means::OneStep | Means::Iterated => continue,
        };
        list.push(Duel::new(rival.label.clone(), &own, &right(&rival.fooled)));
    }
}

/// The samples on which something is run.
struct Probe<'a> {
    subject: &'a Subject<'a>,
    config: &'a AttackConfig,
    threat: Threat,
    /// Places in the data of samples that the model has right.
    rows: Vec<usize>,
    /// Which of them the attack fooled.
    fooled: Vec<bool>,
    rng: Rng,
}

impl<'a> Probe<'a> {
    fn new(subject: &'a Subject<'a>, attacked: &'a Attacked<'a>, threat: Threat) -> Self {
        let rng = subject.rng.child("check");
        let right: Vec<usize> = (0..subject.rows.len()).filter(|&i| subject.right[i]).collect();
        let wanted = if subject.samples == 0 { GLANCED } else { subject.samples };
        let mut chosen = rng.child("samples").choose(right.len(), wanted.min(right.len()));
        chosen.sort_unstable();
        let at = || chosen.iter().map(|&k| right[k]);
        let rows = at().map(|i| subject.rows[i]).collect();
        let fooled = at().map(|i| attacked.fooled[i]).collect();
        Probe { subject, config: attacked.config, threat, rows, fooled, rng }
    }

    /// Each portion of the samples with its labels and streams.
    fn portions(
        &self,
        rng: &Rng,
        mut each: impl FnMut(&Tensor, &Tensor, &Draws) -> Result<()>,
    ) -> Result<()> {
        for rows in self.subject.place.portions(&self.rows) {
            let (x, y) = self.subject.place.tensors(self.subject.data, rows)?;
            let draws = Draws::new(rng.clone(), rows.iter().map(|&r| r as u64).collect());
            each(&x, &y, &draws)?;
        }
        Ok(())
    }

    /// Which of `rows` an attack fools.
    fn attack(&self, config: &AttackConfig, rows: &[usize], rng: &Rng) -> Result<Vec<bool>> {
        let Subject { model, data, place, .. } = *self.subject;
        let attack = config.check()?;
        let aim = Aim::Untargeted;
        Ok(perturb_rows(&*attack, model, data, rows, aim, place, rng, &mut |_| Ok(()))?.success)
    }

    fn duel(&self, label: impl Into<String>, rival: &[bool]) -> Duel {
        Duel::new(label, &self.fooled, rival)
    }

    /// Attacks that should be weaker, or have less of a hold.
    fn rival_attacks(&self, facts: &mut Facts, progress: Progress<'_>) -> Result<()> {
        progress(1, STAGES)?;
        if !one_step(self.config) {
            let config = single(self.threat);
            let fooled = self.attack(&config, &self.rows, &self.rng.child("one step"))?;
            facts.one_step.push(self.duel(config.label(), &fooled));
        }
        progress(2, STAGES)?;
        facts.noise = Some(self.duel(format!("noise ({NOISE} points)"), &self.noise()?));
        progress(3, STAGES)?;
        let config = blind(self.threat);
        let fooled = self.attack(&config, &self.rows, &self.rng.child("black box"))?;
        facts.black_box.push(self.duel(config.label(), &fooled));
        progress(4, STAGES)?;
        let features = self.subject.data.shape.iter().product();
        let whole = unbounded(self.config, self.threat.norm, features, self.subject.model.bounds());
        let fooled = self.attack(&whole, &self.rows, &self.rng.child("unbounded"))?;
        let eps = whole.check()?.threat().eps;
        facts.unbounded = Some(Unbounded {
            label: format!("{} {} {eps:.4}", whole.label(), self.threat.norm.symbol()),
            samples: fooled.len(),
            left: fooled.iter().filter(|fooled| !**fooled).count(),
        });
        Ok(())
    }

    /// More of the same on what is left, each on what the one before left, so that what falls is told
    /// once: more steps from the same start, then other starts, then the other loss.
    fn extra_attacks(&self, facts: &mut Facts, progress: Progress<'_>) -> Result<()> {
        let mut left: Vec<usize> =
            (0..self.rows.len()).filter(|&i| !self.fooled[i]).map(|i| self.rows[i]).collect();
        progress(5, STAGES)?;
        let steps = more_steps(self.config, self.threat);
        facts.steps = self.extra(&steps, &mut left, self.subject.rng)?;
        progress(6, STAGES)?;
        if let Some(config) = more_restarts(self.config) {
            facts.restarts = self.extra(&config, &mut left, &self.rng.child("restarts"))?;
        }
        progress(7, STAGES)?;
        if let Some(config) = other_loss(self.config, self.threat) {
            facts.loss = self.extra(&config, &mut left, &self.rng.child("loss"))?;
        }
        progress(8, STAGES)
    }

    fn extra(
        &self,
        config: &AttackConfig,
        left: &mut Vec<usize>,
        rng: &Rng,
    ) -> Result<Option<Extra>> {
        if left.is_empty() {
            return Ok(None);
        }
        let fooled = self.attack(config, left, rng)?;
        let before = left.len();
        let mut fell = fooled.iter();
        left.retain(|_| fell.next() == Some(&false));
        Ok(Some(Extra {
            rival: config.label(),
            samples: self.rows.len(),
            left: before,
            fell: before - left.len(),
        }))
    }

    /// Which samples one of many random points of their ball fools.
    fn noise(&self) -> Result<Vec<bool>> {
        let Subject { model, .. } = *self.subject;
        let mut fooled = Vec::with_capacity(self.rows.len());
        self.portions(&self.rng.child("noise"), |x, y, draws| {
            let goal = Goal::Untargeted(y.clone());
            let mut any = y.scalar(0.0);
            for i in 0..NOISE {
                let point = self.threat.random_start(x, &draws.index(i), model.bounds())?;
                any = goal.reached(&model.logits(&point)?).maximum(&any);
                any.check()?;
            }
            fooled.extend(any.to_vec::<i64>()?.into_iter().map(|any| any == 1));
            Ok(())
        })?;
        Ok(fooled)
    }

    /// The loss whose gradient the attack follows, or one of them that does not saturate.
    fn loss(&self, logits: &Tensor, y: &Tensor) -> Tensor {
        match ascends(self.config) {
            Ascends::CrossEntropy => cross_entropy(logits, y),
            Ascends::Logits | Ascends::Both => dlr(logits, y),
        }
    }

    /// Gradients at the samples, and at a random point of the ball of each where there is one.
    fn gradients(&self) -> Result<Gradients> {
        let Subject { model, .. } = *self.subject;
        let mut found = Gradients { points: 0, zero: 0, broken: 0 };
        let ball = self.threat.budget().is_some() && self.threat.norm != Norm::L0;
        self.portions(&self.rng.child("gradients"), |x, y, draws| {
            let mut points = vec![x.clone()];
            if ball {
                points.push(self.threat.random_start(x, draws, model.bounds())?);
            }
            for point in points {
                let point = point.detach().tracked();
                let loss = self.loss(&model.logits(&point)?, y);
                let Some(g) = grad(&loss, &[&point])?.pop() else {
                    bail!(Usage, "check: one gradient was asked for and none came");
                };
                for size in g.abs().sum_per_sample().to_f64_vec()? {
                    found.points += 1;
                    found.zero += usize::from(size == 0.0);
                    found.broken += usize::from(!size.is_finite());
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The same question twice, and questions next to it.
    fn answers(&self) -> Result<Answers> {
        let Subject { model, .. } = *self.subject;
        let ([lo, hi], classes) = (model.bounds(), model.classes());
        let near = Threat::new(Norm::Linf, NEARBY * (hi - lo));
        let (mut apart, mut largest, mut changes) = (0.0f64, 0.0f64, 0.0f64);
        let (mut probabilities, before) = (true, walks());
        self.portions(&self.rng.child("answers"), |x, y, draws| {
            let logits = model.logits(x)?;
            let margins = margin(&logits, y).to_f64_vec()?;
            let (logits, again) = (logits.to_f64_vec()?, model.logits(x)?.to_f64_vec()?);
            largest = logits.iter().fold(largest, |m, z| m.max(z.abs()));
            apart = logits.iter().zip(&again).fold(apart, |m, (a, b)| m.max((a - b).abs()));
            probabilities &= logits.chunks(classes).all(is_distribution);
            for i in 0..NEIGHBOURS {
                let point = near.random_start(x, &draws.index(i), [lo, hi])?;
                let moved = margin(&model.logits(&point)?, y).to_f64_vec()?;
                changes += margins.iter().zip(&moved).map(|(a, b)| change(*a, *b)).sum::<f64>();
            }
            Ok(())
        })?;
        Ok(Answers {
            samples: self.rows.len(),
            again: if apart > 0.0 { (apart / largest).min(1.0) } else { 0.0 },
            nearby: changes / (self.rows.len() as f64 * NEIGHBOURS as f64),
            probabilities,
            gradients: walks() - before,
        })
    }
}

fn is_distribution(row: &[f64]) -> bool {
    row.iter().all(|p| (0.0..=1.0).contains(p)) && (row.iter().sum::<f64>() - 1.0).abs() < 1e-4
}

/// Relative change from `a` to `b`, at most 1; what is no number has changed.
fn change(a: f64, b: f64) -> f64 {
    if a == b {
        return 0.0;
    }
    let ratio = (b - a).abs() / a.abs();
    if ratio < 1.0 { ratio } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_relative_and_bounded() {
        assert_eq!([change(2.0, 2.0), change(0.0, 0.0), change(-2.0, -1.0)], [0.0, 0.0, 0.5]);
        assert_eq!([change(0.0, 1.0), change(1.0, 9.0), change(1.0, f64::NAN)], [1.0, 1.0, 1.0]);
    }

    #[test]
    fn probabilities_add_up_to_one() {
        assert!(is_distribution(&[0.25, 0.75]) && !is_distribution(&[0.25, 0.5]));
        assert!(!is_distribution(&[-0.5, 1.5]));
    }
}
