//! One run of Auto-PGD from one start.
//!
//! The choices that the papers leave open are those of the authors' code, so that results compare.
//! All state is per sample and stays on the device; the host knows the schedule, and asks between
//! windows which samples are done, to drop them from the batch.

use super::apgd::ApgdLoss;
use super::ball::{length2, sizes};
use super::best::Best;
use super::dlr::{dlr, dlr_targeted};
use super::fgsm::{Ascent, ascent};
use super::step::{direction, scaled_signs};
use super::trace::Seen;
use super::{Draws, Goal, L1Step, Norm, Threat, rows};
use crate::loss::cross_entropy;
use crate::model::Classifier;
use crate::{Result, Tensor};

/// The start of the authors' code: on the sphere, or, in L1, a Gaussian point projected.
pub(super) fn start(
    norm: Norm,
    eps: f64,
    x0: &Tensor,
    draws: &Draws,
    bounds: [f64; 2],
) -> Result<Tensor> {
    let [lo, hi] = bounds;
    let noise = draws.tensor(x0, |rng, out| match norm {
        Norm::Linf => {
            out.iter_mut().for_each(|v| *v = rng.uniform(-1.0, 1.0) as f32);
            let largest = Norm::Linf.of(out.iter().map(|&v| f64::from(v))) + 1e-12;
            out.iter_mut().for_each(|v| *v = (eps * f64::from(*v) / largest) as f32);
        }
        _ => rng.fill_normal(out),
    })?;
    Ok(match norm {
        Norm::Linf => (x0 + &noise).clamp(lo, hi),
        Norm::L2 => {
            let unit = &noise / &(length2(&noise) + 1e-12).per_sample(x0);
            (x0 + &(unit * eps)).clamp(lo, hi)
        }
        _ => Threat::new(norm, eps).project(&(x0 + &noise), x0, bounds),
    })
}

/// What is ascended, and what counts as success: an untargeted goal may be pursued by way of a target.
#[derive(Clone)]
pub(super) struct Objective {
    pub(super) loss: ApgdLoss,
    /// Gradients that are averaged at each point, for models that answer at random.
    pub(super) gradients: usize,
    pub(super) goal: Goal,
    /// Label (or the class now predicted) and target, `[N]` each.
    pub(super) aims: Option<(Tensor, Tensor)>,
}

impl Objective {
    /// Loss and gradient at `x`, averaged where there are several (Athalye et al. 2018, section 5.2);
    /// logits of the last.
    fn at(&self, model: &dyn Classifier, x: &Tensor) -> Result<Ascent> {
        let mut sum = ascent(model, x, |z| self.of(z))?;
        for _ in 1..self.gradients {
            let next = ascent(model, x, |z| self.of(z))?;
            sum = Ascent { logits: next.logits, loss: sum.loss + next.loss, g: sum.g + next.g };
        }
        if self.gradients > 1 {
            let share = 1.0 / self.gradients as f64;
            (sum.loss, sum.g) = (sum.loss * share, sum.g * share);
        }
        Ok(sum)
    }

    fn of(&self, logits: &Tensor) -> Tensor {
        match (&self.aims, self.loss) {
            (None, ApgdLoss::Ce) => self.goal.objective(logits),
            (None, ApgdLoss::Dlr) => dlr(logits, self.goal.classes()),
            (Some((_, target)), ApgdLoss::Ce) => -cross_entropy(logits, target),
            (Some((label, target)), ApgdLoss::Dlr) => dlr_targeted(logits, label, target),
        }
    }

    pub(super) fn take(&self, at: &Tensor) -> Self {
        let aims = self.aims.as_ref().map(|(y, t)| (y.take(0, at), t.take(0, at)));
        Objective { goal: self.goal.take(at), aims, ..*self }
    }
}

/// The constants of one run.
pub(super) struct Run<'a> {
    pub(super) norm: Norm,
    pub(super) eps: f64,
    pub(super) steps: usize,
    /// Share of steps of a window that must increase the loss for the step length to be kept.
    pub(super) rho: f64,
    pub(super) model: &'a dyn Classifier,
    /// Whether it is a stage of a run at shrinking radii.
    pub(super) wide: bool,
    pub(super) bounds: [f64; 2],
}

impl Run<'_> {
    fn threat(&self) -> Threat {
        Threat::new(self.norm, self.eps)
    }

    /// The longest step.
    fn reach(&self) -> f64 {
        if self.norm == Norm::L1 { self.eps } else { 2.0 * self.eps }
    }

    /// Lengths of the windows, after each of which the step length is looked at.
    fn windows(&self) -> Box<dyn Iterator<Item = usize>> {
        match self.norm {
            Norm::L1 => Box::new(std::iter::repeat((self.steps / 25).max(1))),
            _ => Box::new(windows(self.steps)),
        }
    }
}

/// Windows in Linf and L2: 22 % of the steps, then each 3 % shorter, down to 6 %; without end.
fn windows(steps: usize) -> impl Iterator<Item = usize> {
    let part = |share: f64| ((share * steps as f64) as usize).max(1);
    let (least, shorter) = (part(0.06), part(0.03));
    std::iter::successors(Some(part(0.22)), move |k| Some(k.saturating_sub(shorter).max(least)))
}

/// A run on the samples that it still works on.
pub(super) struct Climb {
    /// Their places in the batch.
    pub(super) rows: Vec<usize>,
    objective: Objective,
    pub(super) found: Best,
    state: State,
}

/// What a run knows of each sample.
struct State {
    x0: Tensor,
    x: Tensor,
    /// The iterate before.
    old: Tensor,
    /// Gradient at `x`.
    g: Tensor,
    /// The point of largest loss, its gradient and its loss.
    top: Tensor,
    top_g: Tensor,
    top_loss: Tensor,
    /// The loss one step ago.
    before: Tensor,
    /// Steps of this window that increased the loss.
    rises: Tensor,
    /// Step length.
    eta: Tensor,
    /// The largest loss at the end of the last window, and 1 where the step was halved then.
    checked: Tensor,
    halved: Tensor,
    /// L1: how many values a step changes, and how many the best point had changed.
    spread: Tensor,
    changed: Tensor,
}

impl State {
    fn each(&mut self, f: impl Fn(&Tensor) -> Tensor) {
        let State { x0, x, old, g, top, top_g, top_loss, before, .. } = self;
        for t in [x0, x, old, g, top, top_g, top_loss, before] {
            *t = f(t);
        }
        let State { rises, eta, checked, halved, spread, changed, .. } = self;
        for t in [rises, eta, checked, halved, spread, changed] {
            *t = f(t);
        }
    }

    /// Goes to `x`.
    fn arrive(&mut self, x: Tensor, at: Ascent) {
        self.rises = &self.rises + &self.before.lt(&at.loss);
        let higher = self.top_loss.lt(&at.loss);
        let each = higher.per_sample(&x);
        self.top = x.where_(&each, &self.top);
        self.top_g = at.g.where_(&each, &self.top_g);
        self.top_loss = at.loss.where_(&higher, &self.top_loss);
        self.before = at.loss;
        self.old = std::mem::replace(&mut self.x, x);
        self.g = at.g;
    }

    /// Goes back to the best point where `flags` (`[N]`) are 1.
    fn back(&mut self, flags: &Tensor) {
        let each = flags.per_sample(&self.x);
        self.x = self.top.where_(&each, &self.x);
        self.g = self.top_g.where_(&each, &self.g);
    }

    /// The end of a window: halves the step where too few steps of it were `enough` to rise, or the
    /// best loss has not changed since the last one, and the step was not halved then.
    fn check(&mut self, enough: f64) {
        let oscillates = self.rises.le(&self.rises.scalar(enough));
        let stuck = self.halved.affine(-1.0, 1.0) * self.top_loss.le(&self.checked);
        let halve = oscillates.maximum(&stuck);
        self.eta = &self.eta * &halve.affine(-0.5, 1.0);
        self.checked = self.top_loss.clone();
        self.rises = self.rises.fill(0.0);
        self.back(&halve);
        self.halved = halve;
    }

    /// The end of a window in L1: starts over from the best point with the longest step where that
    /// point has become sparser, else shortens the step.
    fn check_l1(&mut self, longest: f64) {
        let changed = sizes(Norm::L0, &(&self.top - &self.x0));
        let sparser = changed.lt(&(&self.changed * 0.95));
        self.spread = spread(&changed);
        let shorter = (&self.eta * (1.0 / 1.5)).maximum(&changed.scalar(longest / 10.0));
        self.eta = shorter.fill(longest).where_(&sparser, &shorter);
        self.changed = changed;
        self.back(&sparser);
    }
}

/// How many values an L1 step changes if the best point has changed so many: two thirds of them,
/// rounded up, at least 1.
fn spread(changed: &Tensor) -> Tensor {
    // There is no ceiling; thirds stay clear of the ties of rounding.
    (changed * (1.0 / 1.5) + 0.49).round().maximum(&changed.scalar(1.0))
}

impl Climb {
    pub(super) fn new(
        run: &Run<'_>,
        x0: &Tensor,
        x: &Tensor,
        objective: &Objective,
    ) -> Result<Self> {
        let x = run.threat().project(x, x0, run.bounds);
        let at = objective.at(run.model, &x)?;
        let found = Best::of(&x, &at.logits, at.loss.clone(), &objective.goal);
        let features: usize = x0.shape().iter().skip(1).product();
        let changed = sizes(Norm::L0, &(&x - x0));
        let (spread, changed) = if run.wide {
            (spread(&changed), changed)
        } else {
            (changed.fill((0.2 * features as f64).ceil()), changed.fill(features as f64))
        };
        let state = State {
            x0: x0.clone(),
            old: x.clone(),
            top: x.clone(),
            x,
            top_g: at.g.clone(),
            g: at.g,
            // The authors' code counts the first step as an increase if its loss is positive.
            before: at.loss.fill(0.0),
            rises: at.loss.fill(0.0),
            eta: at.loss.fill(run.reach()),
            halved: at.loss.fill(1.0),
            checked: at.loss.clone(),
            top_loss: at.loss,
            spread,
            changed,
        };
        let rows = (0..x0.dim(0)).collect();
        Ok(Climb { rows, objective: objective.clone(), found, state })
    }

    /// The points of largest loss.
    pub(super) fn top(self) -> Tensor {
        self.state.top
    }

    /// All steps. With `all`, samples that reach the goal are put there and dropped. With `seen`, each
    /// iterate is told, from the start on.
    pub(super) fn go(
        &mut self,
        run: &Run<'_>,
        mut all: Option<&mut Best>,
        mut seen: Option<&mut Seen<'_>>,
    ) -> Result<()> {
        if let Some(seen) = seen.as_deref_mut() {
            seen.tell(&self.rows, &self.found)?;
        }
        let mut windows = run.windows();
        let mut left = run.steps;
        let mut momentum = false;
        while left > 0 {
            if let Some(all) = all.as_deref_mut() {
                self.drop_done(all)?;
            }
            if self.rows.is_empty() {
                return Ok(());
            }
            let window = windows.next().unwrap_or(left);
            for _ in 0..window.min(left) {
                let x = self.ahead(run, momentum);
                let at = self.objective.at(run.model, &x)?;
                let goal = &self.objective.goal;
                let here = Best::of(&x, &at.logits, at.loss.clone(), goal);
                if let Some(seen) = seen.as_deref_mut() {
                    seen.tell(&self.rows, &here)?;
                }
                self.found.improve(here);
                self.state.arrive(x, at);
                momentum = true;
            }
            match run.norm {
                Norm::L1 => self.state.check_l1(run.reach()),
                _ => self.state.check(run.rho * window as f64),
            }
            self.state.x.check()?;
            left = left.saturating_sub(window);
        }
        Ok(())
    }

    fn drop_done(&mut self, all: &mut Best) -> Result<()> {
        let open = rows::unset(&self.found.reached)?;
        if open.len() == self.rows.len() {
            return Ok(());
        }
        all.replace(&self.rows, &self.found)?;
        let at = rows::index(&self.state.x, &open)?;
        self.state.each(|t| t.take(0, &at));
        self.found = self.found.select(&open)?;
        self.objective = self.objective.take(&at);
        self.rows = rows::pick(&self.rows, &open);
        Ok(())
    }

    /// The next iterate: a step, then three quarters of it and a quarter of the last one.
    fn ahead(&self, run: &Run<'_>, momentum: bool) -> Tensor {
        let State { x0, x, old, g, eta, spread, .. } = &self.state;
        let (threat, bounds) = (run.threat(), run.bounds);
        let step = match run.norm {
            Norm::L1 => scaled_signs(g, &g.abs(), spread),
            norm => direction(norm, L1Step::Dense, g, x, bounds),
        };
        let z = threat.project(&(x + &(step * eta.per_sample(x))), x0, bounds);
        if !momentum || run.norm == Norm::L1 {
            return z;
        }
        let mixed = (z * 0.75) + (x * 0.5) - &(old * 0.25);
        threat.project(&mixed, x0, bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_of_the_paper() {
        let first = |steps| windows(steps).take(8).collect::<Vec<_>>();
        assert_eq!(first(100), [22, 19, 16, 13, 10, 7, 6, 6]);
        assert_eq!(first(10), [2, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(first(1), [1; 8]);
    }
}
