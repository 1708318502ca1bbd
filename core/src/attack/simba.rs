//! SimBA (Guo et al. 2019, "Simple black-box adversarial attacks"): one vector of an orthonormal basis at
//! a time, in random order, added or taken away if that lowers the confidence. The basis is the pixels, or
//! the cosines of the discrete cosine transform, lowest frequencies first.

use serde::{Deserialize, Serialize};

use super::cw::l2;
use super::estimate::project;
use super::query::{Loss, Model, Sample, Score};
use super::table::{at_least_one, check_threat, positive};
use super::window::Image;
use super::{Access, Attack, AttackSpec, Draws, Goal, Norm, Threat};
use crate::model::Classifier;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// The basis that SimBA moves along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Single values.
    Pixel,
    /// Cosines over each channel.
    Dct,
}

/// Configuration of SimBA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simba {
    /// The norm; L2 and Linf are defined.
    #[serde(default = "l2")]
    pub norm: Norm,
    /// Radius of the ball.
    pub eps: f64,
    /// The most queries per sample.
    #[serde(default = "queries")]
    pub queries: usize,
    /// Length of a step, in units of the box.
    #[serde(default = "step")]
    pub step: f64,
    /// The basis.
    #[serde(default = "pixel")]
    pub basis: Basis,
    /// With cosines, the share of frequencies along each axis that comes first; then twice as many, and
    /// so on.
    #[serde(default = "low")]
    pub low: f64,
}

fn queries() -> usize {
    5000
}
fn step() -> f64 {
    0.2
}
fn pixel() -> Basis {
    Basis::Pixel
}
fn low() -> f64 {
    0.125
}

impl Simba {
    /// 5,000 queries over pixels.
    pub fn new(norm: Norm, eps: f64) -> Self {
        Simba { norm, eps, queries: queries(), step: step(), basis: pixel(), low: low() }
    }

    /// The vectors of the basis in the order in which they are tried, as positions in a sample: with
    /// cosines, of their frequencies.
    fn order(&self, image: Image, rng: &mut Rng) -> Vec<usize> {
        let mut order = rng.permutation(image.channels * image.height * image.width);
        if self.basis == Basis::Dct {
            order.sort_by_key(|&at| self.octave(image, at));
        }
        order
    }

    /// How often the share of low frequencies must double to hold one.
    fn octave(&self, image: Image, at: usize) -> u32 {
        let (row, column) = (at / image.width % image.height, at % image.width);
        let doublings = |frequency: usize, extent: usize| {
            let within =
                |k: &u32| (frequency as f64) < self.low * extent as f64 * f64::from(1 << k);
            (0..20).find(within).unwrap_or(20)
        };
        doublings(row, image.height).max(doublings(column, image.width))
    }
}

/// The cosine of a frequency over `extent` points, of length 1.
fn cosine(frequency: usize, extent: usize) -> impl Fn(usize) -> f64 {
    let scale = (if frequency == 0 { 1.0 } else { 2.0 } / extent as f64).sqrt();
    let turn = std::f64::consts::PI * frequency as f64 / extent as f64;
    move |i| scale * (turn * (i as f64 + 0.5)).cos()
}

/// A sample, and where in the basis it is.
struct Walk {
    sample: Sample,
    /// Vectors still to try, the next one last.
    order: Vec<usize>,
    /// Whether the next one has been added in vain, and is to be taken away.
    back: bool,
}

impl AsMut<Sample> for Walk {
    fn as_mut(&mut self) -> &mut Sample {
        &mut self.sample
    }
}

impl Walk {
    /// The point that the next vector leads to.
    fn proposal(&mut self, simba: &Simba, image: Image, [lo, hi]: [f32; 2]) -> Vec<f32> {
        if self.order.is_empty() {
            self.order = simba.order(image, &mut self.sample.rng);
            self.order.reverse();
        }
        let at = self.order.last().copied().unwrap_or_default();
        let size = simba.step * f64::from(hi - lo) * if self.back { -1.0 } else { 1.0 };
        let mut x: Vec<f64> = self.sample.x.iter().map(|&v| f64::from(v)).collect();
        match simba.basis {
            Basis::Pixel => x[at] += size,
            Basis::Dct => {
                let Image { height, width, .. } = image;
                let (down, along) =
                    (cosine(at / width % height, height), cosine(at % width, width));
                let channel = at / (height * width) * height * width;
                for (i, v) in x[channel..channel + height * width].iter_mut().enumerate() {
                    *v += size * down(i / width) * along(i % width);
                }
            }
        }
        project(Threat::new(simba.norm, simba.eps), &self.sample.x0, x.into_iter(), [lo, hi])
    }

    /// The next point that differs from the best one: the box and the ball stop many.
    fn next(&mut self, simba: &Simba, image: Image, bounds: [f32; 2], points: &mut Vec<f32>) {
        for _ in 0..2 * self.sample.x.len() {
            let point = self.proposal(simba, image, bounds);
            if point != self.sample.x {
                points.extend(point);
                return;
            }
            self.advance(false);
        }
    }

    /// Keeps what is better.
    fn hear(&mut self, point: &[f32], score: Score) {
        let better = self.sample.take_better(point, score);
        self.advance(better);
    }

    /// Goes on to the next vector, or to the other way along this one.
    fn advance(&mut self, better: bool) {
        self.back = !better && !self.back;
        if !self.back {
            self.order.pop();
        }
    }
}

impl AttackSpec for Simba {
    const NAME: &'static str = "simba";
    const SUMMARY: &'static str = "one pixel or cosine at a time, from scores (L2, Linf)";
    const NORMS: &'static [Norm] = &[Norm::L2, Norm::Linf];

    fn at(threat: Threat) -> Self {
        Simba::new(threat.norm, threat.eps)
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("queries", self.queries)?;
        positive::<Self>("step", self.step)?;
        if !(self.low > 0.0 && self.low <= 1.0) {
            bail!(Config, "simba: low = {} must be in (0, 1]", self.low);
        }
        Ok(())
    }

    fn label(&self) -> String {
        match self.basis {
            Basis::Pixel => format!("SimBA-{}", self.queries),
            Basis::Dct => format!("SimBA-DCT-{}", self.queries),
        }
    }

    fn with_threat(&self, Threat { norm, eps }: Threat) -> Self {
        Simba { norm, eps, ..self.clone() }
    }
}

impl Attack for Simba {
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
        let model = Model::new(model, x, goal, Loss::CrossEntropy);
        let image = Image::of(&x.shape());
        let samples = Sample::all(x, goal, draws, self.queries)?;
        let begin = |sample| Walk { sample, order: Vec::new(), back: false };
        let mut open: Vec<Walk> = samples.into_iter().map(begin).collect();
        let mut closed = Vec::new();
        // The confidence to begin with.
        let original = |walk: &mut Walk, points: &mut Vec<f32>| points.extend(&walk.sample.x0);
        let first = |walk: &mut Walk, point: &[f32], scores: &[Score]| {
            walk.sample.take_better(point, scores[0]);
        };
        let mut any = model.ask_scores(&mut open, original, first)?;
        while any {
            closed.extend(open.extract_if(.., |walk| walk.sample.score.reached));
            let next = |walk: &mut Walk, points: &mut Vec<f32>| {
                walk.next(self, image, model.bounds, points);
            };
            let answer = |walk: &mut Walk, point: &[f32], scores: &[Score]| {
                walk.hear(point, scores[0]);
            };
            any = model.ask_scores(&mut open, next, answer)?;
        }
        model.gather(closed.into_iter().chain(open).map(|walk| walk.sample).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_are_orthonormal() {
        for a in 0..7 {
            for b in 0..7 {
                let (f, g) = (cosine(a, 7), cosine(b, 7));
                let dot: f64 = (0..7).map(|i| f(i) * g(i)).sum();
                assert!((dot - f64::from(u8::from(a == b))).abs() < 1e-12, "{a}, {b}: {dot}");
            }
        }
    }

    #[test]
    fn low_frequencies_come_first() {
        let image = Image { channels: 2, height: 16, width: 8 };
        let dct = Simba { basis: Basis::Dct, low: 0.25, ..Simba::new(Norm::L2, 1.0) };
        let order = dct.order(image, &mut Rng::new(1));
        let low = |at: usize| at / 8 % 16 < 4 && at % 8 < 2;
        assert!(order[..16].iter().all(|&at| low(at)) && order[16..].iter().all(|&at| !low(at)));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..256).collect::<Vec<_>>());
    }
}
