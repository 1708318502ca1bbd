//! What decision-based attacks share: where to start from, and the way along the boundary between what
//! fools and what does not. They look for the smallest change; with a radius, a sample that has come
//! within is done.

use super::query::{Model, Sample};
use super::{Draws, Goal, Norm};
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// A sample on its way along the boundary.
pub(super) struct Walker {
    /// With the nearest point so far that fools.
    pub(super) sample: Sample,
    /// Where it is: a point that fools, once one is found.
    pub(super) at: Vec<f32>,
    /// Distance of `at`.
    pub(super) distance: f64,
    /// Distance of the nearest point; infinite before one is found.
    pub(super) nearest: f64,
}

impl AsMut<Sample> for Walker {
    fn as_mut(&mut self) -> &mut Sample {
        &mut self.sample
    }
}

impl Walker {
    /// Goes to a point that fools.
    pub(super) fn go(&mut self, norm: Norm, point: &[f32]) {
        self.at.copy_from_slice(point);
        self.distance = distance(norm, &self.sample.x0, point);
        if self.distance < self.nearest {
            self.nearest = self.distance;
            self.sample.x.copy_from_slice(point);
        }
    }

    /// Whether a point that fools is known.
    pub(super) fn found(&self) -> bool {
        self.nearest < f64::INFINITY
    }

    /// Whether there is nothing more to do: no point was found, or one within the radius, if there is
    /// one.
    pub(super) fn done(&self, eps: Option<f64>) -> bool {
        !self.found() || eps.is_some_and(|eps| self.nearest <= eps)
    }
}

/// How far a result is moved away from the original, relative to its distance: a hundred times what f32
/// can tell.
const MARGIN: f64 = 1e-5;

/// The results of walkers that end, a step back from the boundary where that fools too.
///
/// A walk ends as near to the boundary as f32 can tell, where the answer depends on how a sum was
/// rounded, and so on which samples are asked about together. Whoever asks again would get another
/// answer. It takes one query of each sample that has one left.
pub(super) fn settled(
    norm: Norm,
    model: &Model<'_>,
    eps: Option<f64>,
    mut walkers: Vec<Walker>,
) -> Result<Vec<Sample>> {
    let [lo, hi] = model.bounds;
    let next = |walker: &mut Walker, points: &mut Vec<f32>| {
        let Sample { x0, x, .. } = &walker.sample;
        if !walker.found() {
            return;
        }
        let away = |(&x0, &x): (&f32, &f32)| {
            let moved = f64::from(x0) + (f64::from(x) - f64::from(x0)) * (1.0 + MARGIN);
            (moved as f32).clamp(lo, hi)
        };
        points.extend(x0.iter().zip(x).map(away));
    };
    let answer = |walker: &mut Walker, point: &[f32], fools: &[bool]| {
        let inside = eps.is_none_or(|eps| distance(norm, &walker.sample.x0, point) <= eps);
        if fools[0] && inside {
            walker.sample.x.copy_from_slice(point);
        }
    };
    model.ask_decisions(&mut walkers, next, answer)?;
    Ok(walkers.into_iter().map(|walker| walker.sample).collect())
}

/// Distance of two points.
pub(super) fn distance(norm: Norm, a: &[f32], b: &[f32]) -> f64 {
    norm.of(a.iter().zip(b).map(|(&a, &b)| f64::from(b) - f64::from(a)))
}

/// Points tried in the search for one that fools, at the most.
const STARTS: usize = 1000;

/// The samples of a batch, each at a point that fools, where one was found: the first of the original
/// itself, the given points, and random images of ever coarser grain.
pub(super) fn start(
    norm: Norm,
    model: &Model<'_>,
    (x, goal, draws): (&Tensor, &Goal, &Draws),
    queries: usize,
    given: &[Vec<f32>],
) -> Result<Vec<Walker>> {
    if let Some(point) = given.iter().find(|point| point.len() != model.features) {
        let (got, want) = (point.len(), model.features);
        bail!(Shape, "attack: a starting point of {got} values for samples of {want}");
    }
    let [lo, hi] = model.bounds;
    if given.iter().flatten().any(|v| !(lo..=hi).contains(v)) {
        bail!(Data, "attack: a starting point is outside of the model's bounds [{lo}, {hi}]");
    }
    let samples = Sample::all(x, goal, draws, queries)?;
    let mut walkers: Vec<Walker> = samples
        .into_iter()
        .map(|sample| Walker {
            at: sample.x0.clone(),
            sample,
            distance: f64::INFINITY,
            nearest: f64::INFINITY,
        })
        .collect();
    for i in 0..STARTS {
        let next = |walker: &mut Walker, points: &mut Vec<f32>| {
            if walker.found() {
                return;
            }
            match i.checked_sub(1).map(|i| (given.get(i), i.saturating_sub(given.len()))) {
                None => points.extend_from_slice(&walker.sample.x0),
                Some((Some(point), _)) => points.extend_from_slice(point),
                Some((None, i)) => {
                    noise(&mut walker.sample.rng, &x.shape(), model.bounds, i, points);
                }
            }
        };
        let answer = |walker: &mut Walker, point: &[f32], fools: &[bool]| {
            if fools[0] {
                walker.go(norm, point);
            }
        };
        if !model.ask_decisions(&mut walkers, next, answer)? {
            break;
        }
    }
    Ok(walkers)
}

/// Sizes of the grains of random images, in turn.
const GRAINS: usize = 4;

/// A random image, the `i`-th: uniform values in cells of 1, 2, 4 or 8 pixels a side.
fn noise(rng: &mut Rng, batch: &[usize], [lo, hi]: [f32; 2], i: usize, points: &mut Vec<f32>) {
    let image = super::window::Image::of(batch);
    let cell = 1 << (i % GRAINS);
    let (rows, columns) = (image.height.div_ceil(cell), image.width.div_ceil(cell));
    for _ in 0..image.channels {
        let mut cells = vec![0f32; rows * columns];
        rng.fill_uniform(&mut cells, lo, hi);
        for row in 0..image.height {
            let line = &cells[row / cell * columns..][..columns];
            points.extend((0..image.width).map(|column| line[column / cell]));
        }
    }
}

/// Brings each walker of a batch that has found a point back towards its original, to the boundary: up
/// to a share `tolerance` of the distance, by bisection of the segment (L2), or of the cubes around the
/// original that cut off the point (Linf). What it comes to fools.
pub(super) fn approach<'w>(
    norm: Norm,
    model: &Model<'_>,
    walkers: impl Iterator<Item = &'w mut Walker>,
    tolerance: f64,
) -> Result<()> {
    let mut searches: Vec<Search<'_>> = walkers
        .filter(|w| w.found() && w.distance > 0.0)
        .map(|walker| Search { far: walker.at.clone(), walker, low: 0.0, high: 1.0 })
        .collect();
    let next = |search: &mut Search<'_>, points: &mut Vec<f32>| {
        if search.high - search.low > tolerance {
            search.middle(norm, points);
        }
    };
    let answer = |search: &mut Search<'_>, point: &[f32], fools: &[bool]| {
        let middle = f64::midpoint(search.low, search.high);
        if fools[0] {
            search.high = middle;
            search.walker.go(norm, point);
        } else {
            search.low = middle;
        }
    };
    while model.ask_decisions(&mut searches, next, answer)? {}
    Ok(())
}

/// A bisection.
struct Search<'a> {
    walker: &'a mut Walker,
    /// The point that it started from.
    far: Vec<f32>,
    /// Shares of the way from the original: one that does not fool, and one that does.
    low: f64,
    high: f64,
}

impl AsMut<Sample> for Search<'_> {
    fn as_mut(&mut self) -> &mut Sample {
        &mut self.walker.sample
    }
}

impl Search<'_> {
    fn middle(&self, norm: Norm, points: &mut Vec<f32>) {
        let share = f64::midpoint(self.low, self.high);
        let each = self.walker.sample.x0.iter().zip(&self.far);
        if norm == Norm::Linf {
            let size = (share * distance(norm, &self.walker.sample.x0, &self.far)) as f32;
            points.extend(each.map(|(&x0, far)| far.clamp(x0 - size, x0 + size)));
        } else {
            let blend =
                |a: f32, b: f32| (f64::from(a) * (1.0 - share) + f64::from(b) * share) as f32;
            points.extend(each.map(|(&x0, &far)| blend(x0, far)));
        }
    }
}
