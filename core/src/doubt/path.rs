//! What the trace of an attack tells: successes that were lost, losses that still rose at the end.

use crate::attack::{Iterate, Traces};

/// The iterates of an attack on the samples that it left standing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Path {
    /// Samples left standing that have a trace.
    pub left: usize,
    /// Those of them that an iterate fooled, though what the attack returned does not.
    pub silent: usize,
    /// Those of the others whose largest loss still grew in the last [`Path::window`] steps, and there more
    /// than three quarters as fast as over the whole run.
    pub rising: usize,
    /// Steps of a run, the longest.
    pub steps: usize,
    /// Steps at the end that are looked at.
    pub window: usize,
    /// Mean loss at the start of the run that came farthest.
    pub first_loss: f64,
    /// Mean of the largest loss of that run before the window.
    pub loss_before: f64,
    /// Mean of the largest loss of that run.
    pub largest_loss: f64,
}

/// Speed of growth in the window, over that of the whole run, from which on a path is unfinished. The
/// constant of Pintor et al. 2022, 1 % of all growth (5 % in their code), is passed by most runs of PGD in
/// L2 to which more steps add nothing; a run that was cut off grows as fast at its end as before.
const SPEED: f64 = 0.75;

/// The last ten steps, or the last quarter of fewer than forty.
fn window(steps: usize) -> usize {
    steps.div_ceil(4).min(10)
}

/// A run of a sample, in short.
struct Course {
    steps: usize,
    first: f64,
    before: f64,
    largest: f64,
}

impl Course {
    fn of(run: &[Iterate]) -> Option<Self> {
        let steps = run.len().checked_sub(1).filter(|&steps| steps > 0)?;
        let largest = |part: &[Iterate]| part.iter().map(|i| i.loss).fold(f64::MIN, f64::max);
        let before = largest(&run[..run.len() - window(steps)]);
        let course = Course { steps, first: run[0].loss, before, largest: largest(run) };
        let finite = [course.first, course.before, course.largest].iter().all(|v| v.is_finite());
        finite.then_some(course)
    }

    fn rises(&self) -> bool {
        let late = (self.largest - self.before) / window(self.steps) as f64;
        late > SPEED * (self.largest - self.first) / self.steps as f64
    }
}

impl Path {
    /// The paths of the samples `ids` that were left standing; `None` if none of them has a trace.
    pub(super) fn of(traces: &Traces, left: impl Iterator<Item = u64>) -> Option<Self> {
        let mut path = Path::default();
        let mut counted = 0;
        for id in left {
            let runs = traces.runs(id);
            if runs.iter().all(Vec::is_empty) {
                continue;
            }
            path.left += 1;
            if runs.iter().flatten().any(|iterate| iterate.reached) {
                path.silent += 1;
                continue;
            }
            let courses = runs.iter().filter_map(|run| Course::of(run));
            let farthest = courses.max_by(|a, b| a.largest.total_cmp(&b.largest));
            let Some(course) = farthest else { continue };
            counted += 1;
            path.rising += usize::from(course.rises());
            path.steps = path.steps.max(course.steps);
            path.first_loss += course.first;
            path.loss_before += course.before;
            path.largest_loss += course.largest;
        }
        path.window = window(path.steps);
        for sum in [&mut path.first_loss, &mut path.loss_before, &mut path.largest_loss] {
            *sum /= f64::from(counted.max(1));
        }
        (path.left > 0).then_some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(losses: &[f64]) -> Vec<Iterate> {
        losses.iter().map(|&loss| Iterate { loss, reached: loss > 9.0 }).collect()
    }

    #[test]
    fn a_path_is_unfinished_if_its_last_steps_matter() {
        let rises = |losses: &[f64]| Course::of(&run(losses)).unwrap().rises();
        assert!(rises(&[0.0, 1.0, 2.0]));
        assert!(!rises(&[0.0, 2.0, 1.0]), "the largest loss came earlier");
        assert!(!rises(&[1.0, 1.0, 1.0]), "no growth at all");
        // Ten of 40 steps that bring 0.22 after 1 are 0.72 times as fast as all of them, 0.24 is 0.77.
        let late = |gain: f64| (0..=40).map(|i| if i <= 30 { 1.0 } else { 1.0 + gain }).collect();
        let with = |gain| {
            let mut losses: Vec<f64> = late(gain);
            losses[0] = 0.0;
            losses
        };
        assert!(!rises(&with(0.22)) && rises(&with(0.24)));
        assert!(Course::of(&run(&[1.0])).is_none() && Course::of(&run(&[1.0, f64::NAN])).is_some());
    }
}
