//! Rotation and translation (Engstrom et al. 2019, "Exploring the landscape of spatial robustness"): the
//! worst of a grid of angles and shifts, or of a few of the grid for each sample, which is the paper's
//! worst-of-k. Their third form, gradients in the angle and the shift, is much weaker there, and is left out.
//!
//! No norm bounds this: what the attack keeps to is [`Limits::Motions`]. It asks for scores, one query a
//! motion, until a sample is fooled.

use serde::{Deserialize, Serialize};

use super::motion::Motions;
use super::query::{Loss, Model, Sample};
use super::table::at_least_one;
use super::window::Image;
use super::{Access, Attack, AttackSpec, Draws, Goal, Limits, Norm, Threat};
use crate::model::Classifier;
use crate::{Result, Tensor, bail};

/// Configuration of rotations and translations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spatial {
    /// The largest rotation either way.
    pub degrees: f64,
    /// The largest shift either way, along rows as along columns, in pixels.
    pub pixels: f64,
    /// Rotations of the grid; with 1, none.
    pub angles: usize,
    /// Shifts of the grid along each axis; with 1, none.
    pub shifts: usize,
    /// Members of the grid that are tried for each sample, at random; all of them if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random: Option<usize>,
}

/// Motions that are asked for at once.
const ROUND: usize = 25;

impl Spatial {
    /// The grid of the paper for MNIST: 31 angles up to 30 degrees, 5 shifts of up to 3 pixels along each
    /// axis.
    pub fn new() -> Self {
        Spatial { degrees: 30.0, pixels: 3.0, angles: 31, shifts: 5, random: None }
    }

    /// All that it may do.
    pub fn motions(&self) -> Motions {
        let Spatial { degrees, pixels, angles, shifts, .. } = *self;
        Motions { degrees, pixels, angles, shifts }
    }

    /// The motions of a sample, the next one last.
    fn order(&self, sample: &mut Sample) -> Vec<usize> {
        let all = self.motions().count();
        match self.random {
            Some(tries) => sample.rng.choose(all, tries.min(all)),
            None => (0..all).rev().collect(),
        }
    }
}

impl Default for Spatial {
    fn default() -> Self {
        Spatial::new()
    }
}

/// A sample, and the motions that are still to be tried.
struct Tried {
    sample: Sample,
    order: Vec<usize>,
}

impl AsMut<Sample> for Tried {
    fn as_mut(&mut self) -> &mut Sample {
        &mut self.sample
    }
}

impl AttackSpec for Spatial {
    const NAME: &'static str = "spatial";
    const SUMMARY: &'static str = "rotations and shifts, from scores (no norm)";
    const NORMS: &'static [Norm] = &[];

    fn at(_: Threat) -> Self {
        Spatial::new()
    }

    fn check(&self) -> Result<()> {
        at_least_one::<Self>("angles", self.angles)?;
        at_least_one::<Self>("shifts", self.shifts)?;
        self.random.map_or(Ok(()), |tries| at_least_one::<Self>("random", tries))?;
        if !(0.0..=180.0).contains(&self.degrees) {
            bail!(Config, "spatial: degrees = {} must be in [0, 180]", self.degrees);
        }
        if !(self.pixels >= 0.0 && self.pixels.is_finite()) {
            bail!(Config, "spatial: pixels = {} must be a number of at least 0", self.pixels);
        }
        // So that a grid can be walked, and its members counted.
        if self.angles > 10_000 || self.shifts > 1_000 {
            let Spatial { angles, shifts, .. } = self;
            bail!(Config, "spatial: angles = {angles} and shifts = {shifts} are too fine a grid");
        }
        Ok(())
    }

    fn label(&self) -> String {
        let Spatial { degrees, pixels, .. } = self;
        let all = self.motions().count();
        let tries = self.random.map_or(all, |tries| tries.min(all));
        format!("Spatial ±{degrees}°, ±{pixels} px, {tries} of {all}")
    }

    fn with_threat(&self, _: Threat) -> Self {
        self.clone()
    }
}

impl Attack for Spatial {
    /// No ball; sizes are told in L2.
    fn threat(&self) -> Threat {
        Threat::unbounded(Norm::L2)
    }

    fn limits(&self) -> Limits {
        Limits::Motions(self.motions())
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
        if !matches!(x.shape().rank(), 3 | 4) {
            bail!(Usage, "spatial: images rotate and shift, not samples of {}", x.aval());
        }
        let image = Image::of(&x.shape());
        let (model, motions) = (Model::new(model, x, goal, Loss::Margin), self.motions());
        let samples = Sample::all(x, goal, draws, motions.count())?;
        let mut open: Vec<Tried> = samples
            .into_iter()
            .map(|mut sample| Tried { order: self.order(&mut sample), sample })
            .collect();
        let mut closed: Vec<Tried> = Vec::new();
        loop {
            let next = |tried: &mut Tried, points: &mut Vec<f32>| {
                let rest = tried.order.len().saturating_sub(ROUND);
                for i in tried.order.drain(rest..).rev() {
                    motions.get(i).apply(image, &tried.sample.x0, model.bounds, points);
                }
            };
            let asked = model.ask_scores(&mut open, next, |tried, points, scores| {
                for (point, score) in points.chunks(model.features).zip(scores) {
                    tried.sample.take_better(point, *score);
                }
            })?;
            closed.extend(open.extract_if(.., |tried| tried.sample.score.reached));
            if !asked {
                break;
            }
        }
        model.gather(closed.into_iter().chain(open).map(|tried| tried.sample).collect())
    }
}
