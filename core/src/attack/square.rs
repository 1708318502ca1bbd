//! Square (Andriushchenko et al. 2020): random search. A proposal changes one square of the image as far
//! as the ball allows, and is kept if the loss grew; the squares shrink as queries are spent.
//!
//! In Linf every value of every proposal is at one of the two ends of what ball and box allow, where
//! the maxima of networks mostly are. L2 and L1 are in `bumps`.

use serde::{Deserialize, Serialize};

use super::bumps::Bumps;
use super::fgsm::linf;
use super::query::{Loss, Model, Sample, Score, close};
use super::table::{at_least_one, check_threat};
use super::window::Image;
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat};
use crate::model::Classifier;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// Configuration of Square.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Square {
    /// The norm.
    #[serde(default = "linf")]
    pub norm: Norm,
    /// Radius of the ball.
    pub eps: f64,
    /// The most queries per sample.
    #[serde(default = "queries")]
    pub queries: usize,
    /// Share of the image that the first squares cover: `p` of the paper.
    #[serde(default = "share")]
    pub share: f64,
    /// Shrinks the squares by the share of the budget that is spent, as in the paper, rather than by
    /// the number of queries, as if there were 10,000: what AutoAttack does.
    #[serde(default = "yes")]
    pub rescale: bool,
}

fn queries() -> usize {
    5000
}
fn share() -> f64 {
    0.8
}
fn yes() -> bool {
    true
}

/// Queries after which the share of a square halves, of [`SCHEDULE`] (section 4.1 of the paper).
const HALVED_AFTER: [usize; 9] = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];
const SCHEDULE: usize = 10_000;

/// Draws of a proposal that would change nothing before one is asked for all the same.
const REDRAWS: usize = 20;

impl Square {
    /// 5,000 queries, with a schedule made to fit them.
    pub fn new(norm: Norm, eps: f64) -> Self {
        Square { norm, eps, queries: queries(), share: share(), rescale: true }
    }

    /// Share of the image that proposal `i` (from 0) changes.
    pub fn share_at(&self, i: usize) -> f64 {
        let spent = if self.rescale { i * SCHEDULE / self.queries.max(1) } else { i };
        let halvings = HALVED_AFTER.iter().filter(|&&after| spent > after).count();
        self.share * 0.5f64.powi(halvings as i32)
    }

    /// Asks once for each of `open`: the first time for its start, then for a proposal.
    fn ask(&self, i: usize, model: &Model<'_>, image: Image, open: &mut [Sample]) -> Result<bool> {
        let [lo, hi] = model.bounds;
        let ends = Ends { image, eps: self.eps as f32, lo, hi };
        let bumps = Bumps { image, norm: self.norm, eps: self.eps, lo, hi };
        let share = i.checked_sub(1).map(|i| self.share_at(i));
        let next = |Sample { rng, x0, x, .. }: &mut Sample, points: &mut Vec<f32>| {
            let start = points.len();
            points.extend_from_slice(x);
            let point = &mut points[start..];
            match (share, self.norm) {
                (None, Norm::Linf) => ends.stripes(rng, x0, point),
                (None, _) => bumps.tiles(rng, x0, point),
                (Some(share), Norm::Linf) => ends.propose(rng, share, x0, point),
                (Some(share), _) => bumps.propose(rng, share, x0, point),
            }
        };
        let answer = |sample: &mut Sample, point: &[f32], scores: &[Score]| {
            sample.take_better(point, scores[0]);
        };
        model.ask_scores(open, next, answer)
    }
}

impl AttackSpec for Square {
    const NAME: &'static str = "square";
    const SUMMARY: &'static str = "random search over squares, from scores (Linf, L2, L1)";

    fn at(threat: Threat) -> Self {
        Square::new(threat.norm, threat.eps)
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("queries", self.queries)?;
        if !(self.share > 0.0 && self.share <= 1.0) {
            bail!(Config, "square: share = {} must be in (0, 1]", self.share);
        }
        Ok(())
    }

    fn label(&self) -> String {
        format!("Square-{}", self.queries)
    }

    fn with_threat(&self, Threat { norm, eps }: Threat) -> Self {
        Square { norm, eps, ..self.clone() }
    }
}

impl Attack for Square {
    fn threat(&self) -> Threat {
        Threat::new(self.norm, self.eps)
    }

    fn access(&self) -> Access {
        Access::Score
    }

    fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Tensor> {
        let loss = if goal.is_targeted() { Loss::CrossEntropy } else { Loss::Margin };
        let model = Model::new(model, x, goal, loss);
        let image = Image::of(&x.shape());
        let mut open = Sample::all(x, goal, draws, self.queries)?;
        let (mut closed, mut asked) = (Vec::new(), 0);
        while self.ask(asked, &model, image, &mut open)? {
            asked += 1;
            close(&mut open, &mut closed, |sample| sample.score.reached);
        }
        closed.append(&mut open);
        model.gather(closed)
    }
}

/// Proposals in Linf.
struct Ends {
    image: Image,
    eps: f32,
    lo: f32,
    hi: f32,
}

impl Ends {
    /// The end of what ball and box allow a value, upwards or downwards.
    fn end(&self, x0: f32, up: bool) -> f32 {
        if up { (x0 + self.eps).min(self.hi) } else { (x0 - self.eps).max(self.lo) }
    }

    /// Vertical stripes one pixel wide, each channel of each at an end of its own.
    fn stripes(&self, rng: &mut Rng, x0: &[f32], x: &mut [f32]) {
        let Image { channels, height, width } = self.image;
        for channel in 0..channels {
            for column in 0..width {
                let up = rng.bernoulli(0.5);
                for row in 0..height {
                    let at = (channel * height + row) * width + column;
                    x[at] = self.end(x0[at], up);
                }
            }
        }
    }

    /// Brings one square to an end for each channel.
    fn propose(&self, rng: &mut Rng, share: f64, x0: &[f32], x: &mut [f32]) {
        for _ in 0..REDRAWS {
            let window = self.image.window(share).placed(self.image, rng);
            let mut changed = false;
            for channel in 0..self.image.channels {
                let up = rng.bernoulli(0.5);
                for at in window.pixels(self.image, channel) {
                    let end = self.end(x0[at], up);
                    changed |= x[at] != end;
                    x[at] = end;
                }
            }
            if changed {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_halve_on_the_schedule_of_the_paper() {
        let plain = Square { rescale: false, queries: 5000, ..Square::new(Norm::Linf, 0.1) };
        let whole = Square { queries: 10_000, ..Square::new(Norm::Linf, 0.1) };
        let short = Square { queries: 1000, ..Square::new(Norm::Linf, 0.1) };
        for (k, after) in HALVED_AFTER.into_iter().enumerate() {
            let (before, then) = (0.8 / f64::from(1 << k), 0.4 / f64::from(1 << k));
            for attack in [&plain, &whole] {
                assert_eq!((attack.share_at(after), attack.share_at(after + 1)), (before, then));
            }
            let after = after / 10;
            assert_eq!((short.share_at(after), short.share_at(after + 1)), (before, then));
        }
    }

    #[test]
    fn a_proposal_is_a_square_of_ends() {
        let image = Image { channels: 2, height: 6, width: 9 };
        let ends = Ends { image, eps: 0.25, lo: 0.0, hi: 1.0 };
        let x0: Vec<f32> = (0..108).map(|i| i as f32 / 107.0).collect();
        let mut x = x0.clone();
        let mut rng = Rng::new(3);
        ends.stripes(&mut rng, &x0, &mut x);
        let at_an_end = |x: &[f32]| {
            let mut each = x.iter().zip(&x0);
            each.all(|(&x, &x0)| x == ends.end(x0, true) || x == ends.end(x0, false))
        };
        assert!(at_an_end(&x));
        for _ in 0..200 {
            let before = x.clone();
            ends.propose(&mut rng, 0.2, &x0, &mut x);
            assert!(at_an_end(&x));
            let changed: Vec<usize> = (0..108).filter(|&i| x[i] != before[i]).collect();
            // round(sqrt(0.2 * 54)) = 3
            let rows: Vec<usize> = changed.iter().map(|i| i / 9 % 6).collect();
            let columns: Vec<usize> = changed.iter().map(|i| i % 9).collect();
            for side in [rows, columns] {
                let (least, most) = (side.iter().min().unwrap(), side.iter().max().unwrap());
                assert!(most - least < 3, "{changed:?}");
            }
        }
    }
}
