//! What black-box attacks share: samples under attack as host arrays, and questions to a model.
//!
//! Proposals are random and cheap next to a forward pass, so they are made on the host, in f32 and
//! from one stream per sample: every backend is asked the same questions to the bit. Questions of all
//! samples that are still open go out together; one that is done, or has spent its queries, drops out.
//! That no sample asks more than its budget is decided here, in one place, and so is what an answer
//! may tell: [`Model::ask_scores`] for attacks that read logits, [`Model::ask_labels`] for those
//! that see the predicted class only. Neither leaves a history that a gradient could be taken of.

use super::{Draws, Goal};
use crate::model::Classifier;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// Rows and values of one forward pass at the most, unless the batch under attack is larger: enough to
/// fill a device, and a bound on its memory.
const ROWS: usize = 1024;
const VALUES: usize = 1 << 22;

/// What of the logits is ascended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Untargeted `max_{i != y} z_i - z_y`, targeted `z_t - max_{i != t} z_i`: positive where the goal
    /// is reached.
    Margin,
    /// Untargeted `-log softmax(z)_y`, targeted `log softmax(z)_t`.
    CrossEntropy,
}

/// A model that answers questions about samples of one shape.
pub(super) struct Model<'a> {
    model: &'a dyn Classifier,
    loss: Loss,
    /// Gives the device, the dtype and the shape of a sample.
    like: Tensor,
    targeted: bool,
    /// Rows of one forward pass at the most.
    rows: usize,
    /// Values of a sample.
    pub(super) features: usize,
    /// Smallest and largest value.
    pub(super) bounds: [f32; 2],
}

/// What the logits say of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Score {
    /// To be ascended.
    pub(super) loss: f64,
    /// Whether the goal is reached.
    pub(super) reached: bool,
}

impl Score {
    /// Worse than any answer.
    pub(super) const NONE: Score = Score { loss: f64::NEG_INFINITY, reached: false };

    /// Whether it reaches the goal where `other` does not, or else has the larger loss.
    pub(super) fn beats(self, other: Score) -> bool {
        (self.reached, self.loss) > (other.reached, other.loss)
    }

    fn of(kind: Loss, logits: &[f64], class: usize, targeted: bool) -> Self {
        let own = logits[class];
        let others = logits.iter().enumerate().filter(|(i, _)| *i != class).map(|(_, &z)| z);
        let top = others.clone().fold(f64::NEG_INFINITY, f64::max);
        let away = match kind {
            Loss::Margin => top - own,
            // From the larger of the two, so that neither overflows nor a small loss rounds to 0.
            Loss::CrossEntropy if own >= top => {
                others.map(|z| (z - own).exp()).sum::<f64>().ln_1p()
            }
            Loss::CrossEntropy => {
                top - own + ((own - top).exp() + others.map(|z| (z - top).exp()).sum::<f64>()).ln()
            }
        };
        // A point that the model has no finite answer to is of no use.
        if away.is_nan() || logits.iter().any(|z| z.is_nan()) {
            return Score::NONE;
        }
        let loss = if targeted { -away } else { away };
        Score { loss, reached: (first_largest(logits) == class) == targeted }
    }
}

/// Index of the first largest.
fn first_largest(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

impl<'a> Model<'a> {
    /// Of batches like `x` (`[N, ...]`), with this kind of goal.
    pub(super) fn new(model: &'a dyn Classifier, x: &Tensor, goal: &Goal, loss: Loss) -> Self {
        let features = x.shape().iter().skip(1).product();
        Model {
            model,
            loss,
            like: x.detach(),
            targeted: goal.is_targeted(),
            rows: (VALUES / usize::max(features, 1)).clamp(1, ROWS).max(x.dim(0)),
            features,
            bounds: model.bounds().map(|v| v as f32),
        }
    }

    /// A tensor typed like the samples, of these points one after the other.
    pub(super) fn tensor(&self, points: &[f32]) -> Result<Tensor> {
        let mut shape = self.like.shape().to_vec();
        shape[0] = points.len() / self.features.max(1);
        Ok(Tensor::from_slice(self.like.device(), points, &shape)?.cast(self.like.dtype()))
    }

    /// Asks for the scores of points that `next` adds to a list for each sample, and tells `answer` of
    /// them. Whether anything was asked. A sample gets no more answers than it has queries left.
    pub(super) fn ask_scores<S: AsMut<Sample>>(
        &self,
        states: &mut [S],
        next: impl FnMut(&mut S, &mut Vec<f32>),
        answer: impl FnMut(&mut S, &[f32], &[Score]),
    ) -> Result<bool> {
        self.ask(states, |points, classes| self.scores(points, classes), next, answer)
    }

    /// As [`Model::ask_scores`], for the predicted class of each point.
    pub(super) fn ask_labels<S: AsMut<Sample>>(
        &self,
        states: &mut [S],
        next: impl FnMut(&mut S, &mut Vec<f32>),
        answer: impl FnMut(&mut S, &[f32], &[i64]),
    ) -> Result<bool> {
        self.ask(states, |points, _| self.labels(points), next, answer)
    }

    /// As [`Model::ask_labels`], for whether points reach the goal.
    pub(super) fn ask_decisions<S: AsMut<Sample>>(
        &self,
        states: &mut [S],
        next: impl FnMut(&mut S, &mut Vec<f32>),
        mut answer: impl FnMut(&mut S, &[f32], &[bool]),
    ) -> Result<bool> {
        self.ask_labels(states, next, |state, points, labels| {
            let sample = state.as_mut();
            let reached: Vec<bool> = labels.iter().map(|&l| self.reached(l, sample)).collect();
            answer(state, points, &reached);
        })
    }

    /// Whether this class is the target of a sample, or is not its label.
    pub(super) fn reached(&self, class: i64, sample: &Sample) -> bool {
        (class == sample.class as i64) == self.targeted
    }

    fn ask<S: AsMut<Sample>, A>(
        &self,
        states: &mut [S],
        reply: impl Fn(&[f32], &[usize]) -> Result<Vec<A>>,
        mut next: impl FnMut(&mut S, &mut Vec<f32>),
        mut answer: impl FnMut(&mut S, &[f32], &[A]),
    ) -> Result<bool> {
        let each = self.features.max(1);
        let (mut first, mut any) = (0, false);
        while first < states.len() {
            // As many samples as fill a forward pass.
            let room = self.rows.min(states.len() - first) * each;
            let (mut points, mut classes, mut counts) =
                (Vec::with_capacity(room), Vec::new(), Vec::new());
            for state in &mut states[first..] {
                let start = points.len();
                if state.as_mut().left > 0 {
                    next(state, &mut points);
                }
                let sample = state.as_mut();
                let count = ((points.len() - start) / each).min(sample.left);
                points.truncate(start + count * each);
                classes.extend(std::iter::repeat_n(sample.class, count));
                sample.left -= count;
                if count > 0 {
                    self.model.attribute(sample.row, count);
                }
                counts.push(count);
                if classes.len() >= self.rows {
                    break;
                }
            }
            let answers = reply(&points, &classes)?;
            let mut at = 0;
            for (state, &count) in states[first..].iter_mut().zip(&counts) {
                let rows = at..at + count;
                at += count;
                if count > 0 {
                    any = true;
                    answer(state, &points[rows.start * each..rows.end * each], &answers[rows]);
                }
            }
            first += counts.len();
        }
        Ok(any)
    }

    /// Scores of points, each for the label or target in `classes`.
    fn scores(&self, points: &[f32], classes: &[usize]) -> Result<Vec<Score>> {
        let mut scores = Vec::with_capacity(classes.len());
        for part in points.chunks(self.rows * self.features.max(1)) {
            let logits = self.model.logits(&self.tensor(part)?)?.detach();
            let (width, values) = (logits.dim(1), logits.to_f64_vec()?);
            let rows = values.chunks(width).zip(&classes[scores.len()..]);
            scores.extend(rows.map(|(z, &class)| Score::of(self.loss, z, class, self.targeted)));
        }
        Ok(scores)
    }

    /// The class that each point is given.
    fn labels(&self, points: &[f32]) -> Result<Vec<i64>> {
        let mut labels = Vec::new();
        for part in points.chunks(self.rows * self.features.max(1)) {
            labels.extend(self.model.logits(&self.tensor(part)?)?.argmax(1).to_vec::<i64>()?);
        }
        Ok(labels)
    }

    /// The batch again, from the point of each sample.
    pub(super) fn gather(&self, mut samples: Vec<Sample>) -> Result<Tensor> {
        samples.sort_by_key(|s| s.row);
        if samples.len() != self.like.dim(0) {
            let (got, want) = (samples.len(), self.like.dim(0));
            bail!(Usage, "attack: {got} samples are left of {want}");
        }
        self.tensor(&samples.iter().flat_map(|s| s.x.iter().copied()).collect::<Vec<f32>>())
    }
}

/// A sample under attack.
pub(super) struct Sample {
    /// Its place in the batch.
    pub(super) row: usize,
    /// Its label or target.
    pub(super) class: usize,
    /// Its own randomness.
    pub(super) rng: Rng,
    /// The original.
    pub(super) x0: Vec<f32>,
    /// The best point so far.
    pub(super) x: Vec<f32>,
    /// Its score.
    pub(super) score: Score,
    /// Queries that it may still ask.
    pub(super) left: usize,
}

impl AsMut<Sample> for Sample {
    fn as_mut(&mut self) -> &mut Sample {
        self
    }
}

impl Sample {
    /// The samples of a batch, at their originals, with so many queries each.
    pub(super) fn all(x: &Tensor, goal: &Goal, draws: &Draws, queries: usize) -> Result<Vec<Self>> {
        let values: Vec<f32> = x.to_f64_vec()?.into_iter().map(|v| v as f32).collect();
        let classes: Vec<i64> = goal.classes().to_vec()?;
        let features: usize = x.shape().iter().skip(1).product();
        let samples = classes.into_iter().zip(&draws.ids).enumerate().map(|(row, (class, &id))| {
            let x0 = values[row * features..(row + 1) * features].to_vec();
            let (rng, score) = (draws.rng.index(id), Score::NONE);
            Sample { row, class: class as usize, rng, x: x0.clone(), x0, score, left: queries }
        });
        Ok(samples.collect())
    }

    /// Moves to a point if that is better.
    pub(super) fn take_better(&mut self, point: &[f32], score: Score) -> bool {
        let better = score.beats(self.score);
        if better {
            self.x.copy_from_slice(point);
            self.score = score;
        }
        better
    }
}

/// Moves the samples that are done from `open` to `closed`.
pub(super) fn close(
    open: &mut Vec<Sample>,
    closed: &mut Vec<Sample>,
    done: impl Fn(&Sample) -> bool,
) {
    closed.extend(open.extract_if(.., |sample| done(sample)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_by_hand() {
        let z = [1.0, 3.0, 3.0];
        let score = |class, targeted| Score::of(Loss::Margin, &z, class, targeted);
        assert_eq!(score(1, false), Score { loss: 0.0, reached: false });
        assert_eq!(score(2, false), Score { loss: 0.0, reached: true });
        assert_eq!(score(0, false), Score { loss: 2.0, reached: true });
        assert_eq!(score(0, true), Score { loss: -2.0, reached: false });
        assert!(score(1, true).reached && !score(2, true).reached);
        let total = 1f64.exp() + 2.0 * 3f64.exp();
        for (class, z) in [(0, 1.0), (1, 3.0)] {
            let entropy =
                |targeted| Score::of(Loss::CrossEntropy, &[1.0, 3.0, 3.0], class, targeted);
            assert!((entropy(false).loss - (total.ln() - z)).abs() < 1e-12);
            assert!((entropy(true).loss + (total.ln() - z)).abs() < 1e-12);
        }
        let sure = Score::of(Loss::CrossEntropy, &[60.0, 0.0], 0, false).loss;
        assert!((sure / (-60f64).exp() - 1.0).abs() < 1e-9, "{sure}");
    }

    #[test]
    fn an_answer_that_is_no_number_is_never_better() {
        let nan = Score::of(Loss::Margin, &[1.0, f64::NAN], 0, false);
        assert!(!nan.beats(Score { loss: -1e9, reached: false }));
    }
}
