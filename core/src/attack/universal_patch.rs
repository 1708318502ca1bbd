//! The adversarial patch of Brown et al. (2017): one square of pixels that fools a model wherever it is put,
//! whatever the sample, found by gradient ascent over samples and random places. Of the transformations of
//! the paper it has the shifts, not the scales and rotations.
//!
//! It is made of the samples that it is then measured on, each with the patch at a random place of its own;
//! with a target class it is the sticker of the paper that makes everything that class.

use serde::{Deserialize, Serialize};

use super::ddn::annealed;
use super::patch::{l0, masks, step, window};
use super::samples::Samples;
use super::table::{at_least_one, check_threat, positive, share};
use super::window::{Image, Placed, Window};
use super::{Access, Attack, AttackSpec, Draws, Goal, Limits, Norm, Threat};
use crate::grad::grad;
use crate::model::Classifier;
use crate::{Result, Tensor, bail};

/// Configuration of the patch for all samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UniversalPatch {
    /// The norm; only L0 is defined.
    #[serde(default = "l0")]
    pub norm: Norm,
    /// Values that the patch may cover, each channel of a pixel counted: the patch is the largest square
    /// that has no more.
    pub eps: f64,
    /// Passes over all samples.
    #[serde(default = "epochs")]
    pub epochs: usize,
    /// Samples of one step.
    #[serde(default = "batch")]
    pub batch: usize,
    /// Length of the first step, as a share of the box; it falls to almost 0 along half a cosine.
    #[serde(default = "step")]
    pub step: f64,
}

fn epochs() -> usize {
    10
}
fn batch() -> usize {
    64
}

impl UniversalPatch {
    /// Ten passes in steps of 64 samples.
    pub fn new(eps: f64) -> Self {
        UniversalPatch { norm: l0(), eps, epochs: epochs(), batch: batch(), step: step() }
    }

    /// The patch that fools most of the samples of all that stood at the end of a pass.
    fn made(&self, model: &dyn Classifier, samples: &Samples<'_>) -> Result<Sticker> {
        let [lo, hi] = model.bounds();
        let (count, rng) = (samples.count(), samples.rng().child("universal patch"));
        let like = samples.portion(&[0])?.x;
        let image = Image::of(&like.shape());
        let window = window(Self::NAME, self.eps, image)?;
        let size = image.channels * window.height * window.width;
        let mut noise = vec![0f32; size];
        rng.child("start").fill_uniform(&mut noise, lo as f32, hi as f32);
        let patch = Tensor::from_slice(like.device(), &noise, &[size, 1])?.cast(like.dtype());
        let mut now = Sticker { threat: self.threat(), window, patch };
        let mut best = (now.clone(), now.fooled(model, samples, self.batch)?);
        let steps = self.epochs * count.div_ceil(self.batch);
        let mut step = 0;
        for epoch in 0..self.epochs {
            let order = rng.child("order").index(epoch as u64).permutation(count);
            for at in order.chunks(self.batch) {
                let part = samples.portion(at)?;
                let patch = now.patch.tracked();
                let places = now.places(image, &part.draws.index(step as u64));
                let logits = model.logits(&now.stuck(&part.x, &patch, &places)?)?;
                let Some(g) = grad(&part.goal.objective(&logits), &[&patch])?.pop() else {
                    bail!(Usage, "universal_patch: one gradient was asked for and none came");
                };
                let length = self.step * (hi - lo) * annealed(step, steps);
                now.patch = (&now.patch + &(g.sign() * length)).clamp(lo, hi);
                now.patch.check()?;
                step += 1;
            }
            let fooled = now.fooled(model, samples, self.batch)?;
            if fooled > best.1 {
                best = (now.clone(), fooled);
            }
        }
        Ok(best.0)
    }
}

/// One patch for every sample.
#[derive(Clone)]
struct Sticker {
    threat: Threat,
    window: Window,
    /// Values channel by channel, row by row: `[channels * height * width, 1]`.
    patch: Tensor,
}

impl Sticker {
    /// A random place for each sample.
    fn places(&self, image: Image, draws: &Draws) -> Vec<Placed> {
        draws.streams("place").map(|mut rng| self.window.placed(image, &mut rng)).collect()
    }

    /// The samples with `patch` at their places.
    fn stuck(&self, x: &Tensor, patch: &Tensor, places: &[Placed]) -> Result<Tensor> {
        let image = Image::of(&x.shape());
        let each = image.channels * image.height * image.width;
        let covered = self.window.height * self.window.width;
        // Which value of the patch is at each position; outside of it any will do.
        let mut from = vec![0i64; each * places.len()];
        for (from, place) in from.chunks_mut(each.max(1)).zip(places) {
            for channel in 0..image.channels {
                for (i, at) in place.pixels(image, channel).enumerate() {
                    from[at] = (channel * covered + i) as i64;
                }
            }
        }
        let from = Tensor::from_slice(x.device(), &from, &[from.len()])?;
        let spread = patch.take(0, &from).reshape(&x.shape());
        Ok(spread.where_(&masks(x, image, places)?, x))
    }

    /// The samples with the patch where it is measured: a place for each that belongs to the sample, and
    /// not to its batch.
    fn applied(&self, x: &Tensor, draws: &Draws) -> Result<Tensor> {
        let places = self.places(Image::of(&x.shape()), draws);
        self.stuck(x, &self.patch, &places)
    }

    /// How many of the samples reach their goal with it.
    fn fooled(&self, model: &dyn Classifier, samples: &Samples<'_>, batch: usize) -> Result<usize> {
        let mut all = 0;
        for part in samples.portions(batch) {
            let part = part?;
            let logits = model.logits(&self.applied(&part.x, &part.draws)?)?;
            let reached: Vec<i64> = part.goal.reached(&logits).to_vec()?;
            all += reached.into_iter().filter(|r| *r == 1).count();
        }
        Ok(all)
    }
}

impl Attack for Sticker {
    fn threat(&self) -> Threat {
        self.threat
    }

    fn limits(&self) -> Limits {
        Limits::Square
    }

    fn access(&self) -> Access {
        Access::Gradient
    }

    fn run(&self, _: &dyn Classifier, x: &Tensor, _: &Goal, draws: &Draws) -> Result<Tensor> {
        self.applied(x, draws)
    }
}

impl AttackSpec for UniversalPatch {
    const NAME: &'static str = "universal_patch";
    const SUMMARY: &'static str = "one patch for all samples, at random places (L0)";
    const NORMS: &'static [Norm] = &[Norm::L0];

    fn at(Threat { norm, eps }: Threat) -> Self {
        UniversalPatch { norm, ..UniversalPatch::new(eps) }
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("epochs", self.epochs)?;
        at_least_one::<Self>("batch", self.batch)?;
        positive::<Self>("step", self.step)?;
        share::<Self>("step", self.step)
    }

    fn label(&self) -> String {
        format!("Universal patch-{}", self.epochs)
    }

    fn with_threat(&self, Threat { norm, eps }: Threat) -> Self {
        UniversalPatch { norm, eps, ..self.clone() }
    }
}

impl Attack for UniversalPatch {
    fn threat(&self) -> Threat {
        Threat::new(self.norm, self.eps)
    }

    fn limits(&self) -> Limits {
        Limits::Square
    }

    fn access(&self) -> Access {
        Access::Gradient
    }

    fn coupling(&self) -> Option<&'static str> {
        Some("the attack makes one patch for all samples of a batch")
    }

    fn fitted(
        &self,
        model: &dyn Classifier,
        samples: &Samples<'_>,
    ) -> Result<Option<Box<dyn Attack>>> {
        Ok(Some(Box::new(self.made(model, samples)?)))
    }

    fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Tensor> {
        self.made(model, &Samples::batch(x, goal, draws))?.applied(x, draws)
    }
}
