//! Adversarial patches, one for each sample: a square of pixels that may be anything of the box, on a place
//! that is searched for (Rao et al. 2020, "Adversarial training against location-optimized adversarial
//! patches"); the patch of Brown et al. (2017) that works on all samples is `universal_patch`.
//!
//! The threat is a ball in L0 with a limit more: `eps` values change at the most, and all in one square,
//! which [`Limits::Square`] has [`perturb`](super::perturb) check.

use serde::{Deserialize, Serialize};

use super::best::Best;
use super::ddn::annealed;
use super::fgsm::gradient;
use super::table::{at_least_one, check_threat, positive, share};
use super::window::{Image, Placed, Window};
use super::{Access, Attack, AttackSpec, Draws, Goal, Limits, Norm, Threat, rows};
use crate::model::Classifier;
use crate::op::Conv;
use crate::{Result, Tensor, bail};

/// Configuration of the patch of each sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// The norm; only L0 is defined.
    #[serde(default = "l0")]
    pub norm: Norm,
    /// Values that the patch may cover, each channel of a pixel counted: the patch is the largest square
    /// that has no more. 25 is a square of side 5 in one channel.
    pub eps: f64,
    /// Steps at one place.
    #[serde(default = "steps")]
    pub steps: usize,
    /// Length of the first step, as a share of the box; it falls to almost 0 along half a cosine.
    #[serde(default = "step")]
    pub step: f64,
    /// Places that are tried: first where the gradient is largest, then at random.
    #[serde(default = "places")]
    pub places: usize,
}

pub(super) fn l0() -> Norm {
    Norm::L0
}
fn steps() -> usize {
    40
}
pub(super) fn step() -> f64 {
    0.25
}
fn places() -> usize {
    10
}

impl Patch {
    /// 40 steps at each of ten places.
    pub fn new(eps: f64) -> Self {
        Patch { norm: l0(), eps, steps: steps(), step: step(), places: places() }
    }

    /// The best filling of the window where `mask` (shaped like `x0`) is 1.
    fn filled(
        &self,
        model: &dyn Classifier,
        x0: &Tensor,
        goal: &Goal,
        mask: &Tensor,
        draws: &Draws,
    ) -> Result<Best> {
        let [lo, hi] = model.bounds();
        let noise = draws.tensor(x0, |rng, out| rng.fill_uniform(out, lo as f32, hi as f32))?;
        let mut x = noise.where_(mask, x0);
        let mut best: Option<Best> = None;
        for step in 0..self.steps {
            let (logits, g) = gradient(model, &x, goal)?;
            Best::update(&mut best, Best::at(&x, &logits, goal));
            let length = self.step * (hi - lo) * annealed(step, self.steps);
            x = (x + g.sign() * length).clamp(lo, hi).where_(mask, x0);
            x.check()?;
        }
        let last = Best::at(&x, &model.logits(&x)?, goal);
        Best::update(&mut best, last.clone());
        Ok(best.unwrap_or(last))
    }
}

/// The square that so many values cover.
pub(super) fn window(name: &str, eps: f64, image: Image) -> Result<Window> {
    match image.holding(eps) {
        Some(window) => Ok(window),
        None => bail!(
            Config,
            "{name}: eps = {eps} values cover no pixel of {} channels; allow at least {}",
            image.channels,
            image.channels
        ),
    }
}

/// 1 in the window at its place in each sample, else 0; shaped like `x`.
pub(super) fn masks(x: &Tensor, image: Image, places: &[Placed]) -> Result<Tensor> {
    let each = image.channels * image.height * image.width;
    let mut values = vec![0f32; each * places.len()];
    for (mask, place) in values.chunks_mut(each.max(1)).zip(places) {
        for at in (0..image.channels).flat_map(|channel| place.pixels(image, channel)) {
            mask[at] = 1.0;
        }
    }
    Ok(Tensor::from_slice(x.device(), &values, &x.shape())?.cast(x.dtype()))
}

/// For each sample the place where the absolute gradients within the window sum to most.
fn steepest(
    model: &dyn Classifier,
    x: &Tensor,
    goal: &Goal,
    image: Image,
    window: Window,
) -> Result<Vec<Placed>> {
    let Image { channels, height, width } = image;
    let (_, g) = gradient(model, x, goal)?;
    let g = g.abs().reshape(&[x.dim(0), channels, height, width]);
    let ones =
        Tensor::full(x.device(), x.dtype(), &[1, channels, window.height, window.width], 1.0);
    let sums = g.conv2d(&ones, Conv::new(1, 0));
    let across = width - window.width + 1;
    let best = sums.reshape(&[x.dim(0), (height - window.height + 1) * across]).argmax(1);
    let best: Vec<i64> = best.to_vec()?;
    let placed = |at: i64| {
        let (row, column) = (at as usize / across, at as usize % across);
        Placed { row, column, height: window.height, width: window.width }
    };
    Ok(best.into_iter().map(placed).collect())
}

impl AttackSpec for Patch {
    const NAME: &'static str = "patch";
    const SUMMARY: &'static str = "a square of each sample that may be anything (L0)";
    const NORMS: &'static [Norm] = &[Norm::L0];

    fn at(Threat { norm, eps }: Threat) -> Self {
        Patch { norm, ..Patch::new(eps) }
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("steps", self.steps)?;
        at_least_one::<Self>("places", self.places)?;
        positive::<Self>("step", self.step)?;
        share::<Self>("step", self.step)
    }

    fn label(&self) -> String {
        format!("Patch-{} x {}", self.steps, self.places)
    }

    fn with_threat(&self, Threat { norm, eps }: Threat) -> Self {
        Patch { norm, eps, ..self.clone() }
    }
}

impl Attack for Patch {
    fn threat(&self) -> Threat {
        Threat::new(self.norm, self.eps)
    }

    fn limits(&self) -> Limits {
        Limits::Square
    }

    fn access(&self) -> Access {
        Access::Gradient
    }

    fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Tensor> {
        let image = Image::of(&x.shape());
        let window = window(Self::NAME, self.eps, image)?;
        let mut best: Option<Best> = None;
        let mut open: Vec<usize> = (0..x.dim(0)).collect();
        for place in 0..self.places {
            if open.is_empty() {
                break;
            }
            let at = rows::index(x, &open)?;
            let (x0, goal) = (x.take(0, &at), goal.take(&at));
            let draws = draws.select(&open).index(place as u64);
            let places = if place == 0 {
                steepest(model, &x0, &goal, image, window)?
            } else {
                draws.streams("place").map(|mut rng| window.placed(image, &mut rng)).collect()
            };
            let mask = masks(&x0, image, &places)?;
            let here = self.filled(model, &x0, &goal, &mask, &draws)?;
            let best = match &mut best {
                None => best.insert(here),
                Some(best) => {
                    best.improve_at(&open, here)?;
                    best
                }
            };
            open = rows::unset(&best.reached)?;
        }
        Ok(best.map_or_else(|| x.clone(), |best| best.x))
    }
}
