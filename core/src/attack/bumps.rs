//! The proposals of Square in L2 and L1 (Andriushchenko et al. 2020, algorithm 3; in L1 as Croce and
//! Hein 2021, "Mind the box"): a change moves from one window to another, where it takes the form of
//! a bump, one half up and one half down.

use super::Norm;
use super::window::{Image, Placed};
use crate::rng::Rng;

/// Proposals in L2 and L1.
pub(super) struct Bumps {
    pub(super) image: Image,
    pub(super) norm: Norm,
    pub(super) eps: f64,
    pub(super) lo: f32,
    pub(super) hi: f32,
}

/// Tiles along each axis at the start.
const TILES: usize = 5;

impl Bumps {
    /// Five by five tiles with a bump in each (fewer where there are not as many pixels).
    pub(super) fn tiles(&self, rng: &mut Rng, x0: &[f32], x: &mut [f32]) {
        let Image { channels, height, width } = self.image;
        let (tile_h, tile_w) = ((height / TILES).max(1), (width / TILES).max(1));
        let (rows, columns) = (height.min(TILES), width.min(TILES));
        let (top, left) = ((height - rows * tile_h) / 2, (width - columns * tile_w) / 2);
        let mut delta = vec![0.0; x0.len()];
        for tile in 0..rows * columns {
            let (row, column) = (top + tile / columns * tile_h, left + tile % columns * tile_w);
            let place = Placed { row, column, height: tile_h, width: tile_w };
            let bump = bump(rng, [tile_h, tile_w], self.norm);
            for channel in 0..channels {
                let sign = sign(rng);
                for (at, v) in place.pixels(self.image, channel).zip(&bump) {
                    delta[at] = sign * v;
                }
            }
        }
        let scale = self.eps / (self.norm.of(delta.iter().copied()) + TINY);
        delta.iter_mut().for_each(|d| *d *= scale);
        self.land(delta, x0, x);
    }

    /// Moves what one window has changed to another.
    pub(super) fn propose(&self, rng: &mut Rng, share: f64, x0: &[f32], x: &mut [f32]) {
        let mut delta: Vec<f64> =
            x.iter().zip(x0).map(|(&x, &x0)| f64::from(x) - f64::from(x0)).collect();
        let window = self.image.window(share).odd(self.image);
        let (to, from) = (window.placed(self.image, rng), window.placed(self.image, rng));
        let bump = bump(rng, [window.height, window.width], self.norm);
        let free = self.free(&delta) / self.image.channels as f64;
        for channel in 0..self.image.channels {
            let target: Vec<usize> = to.pixels(self.image, channel).collect();
            let source: Vec<usize> = from.pixels(self.image, channel).collect();
            let here = target.iter().copied();
            let there = source.iter().copied().filter(|&at| !to.holds(self.image, at));
            let moved = self.norm.of(here.clone().chain(there).map(|at| delta[at]));
            let old = self.norm.of(here.map(|at| delta[at])) + TINY;
            let sign = sign(rng);
            let mut new: Vec<f64> =
                target.iter().zip(&bump).map(|(&at, v)| sign * v + delta[at] / old).collect();
            let scale = self.joined(moved, free) / (self.norm.of(new.iter().copied()) + TINY);
            new.iter_mut().for_each(|v| *v *= scale);
            source.iter().for_each(|&at| delta[at] = 0.0);
            target.iter().zip(new).for_each(|(&at, v)| delta[at] = v);
        }
        self.land(delta, x0, x);
    }

    /// What the box has cut off from the budget, in terms that add up: squares in L2.
    fn free(&self, delta: &[f64]) -> f64 {
        let size = self.norm.of(delta.iter().copied());
        match self.norm {
            Norm::L2 => (self.eps * self.eps - size * size).max(0.0),
            _ => (self.eps - size).max(0.0),
        }
    }

    fn joined(&self, size: f64, free: f64) -> f64 {
        match self.norm {
            Norm::L2 => (size * size + free).sqrt(),
            _ => size + free,
        }
    }

    /// Brings a change to the radius and the point into the box: in L2 one after the other, in L1 at
    /// once.
    fn land(&self, mut delta: Vec<f64>, x0: &[f32], x: &mut [f32]) {
        // A little less than the radius, so that the sum in f32 does not leave the ball.
        let eps = self.eps * (1.0 - 1e-6);
        if self.norm == Norm::L1 {
            self.project_l1(&mut delta, x0, eps);
        } else {
            let scale = eps / (self.norm.of(delta.iter().copied()) + TINY);
            delta.iter_mut().for_each(|d| *d *= scale);
        }
        for ((x, x0), d) in x.iter_mut().zip(x0).zip(delta) {
            *x = ((f64::from(*x0) + d) as f32).clamp(self.lo, self.hi);
        }
    }

    /// As `Threat::project` does it, on the host: shrinks all changes by the same amount, within the
    /// room that each has.
    fn project_l1(&self, delta: &mut [f64], x0: &[f32], eps: f64) {
        let room = |d: f64, x0: f32| f64::from(if d > 0.0 { self.hi - x0 } else { x0 - self.lo });
        let spent = |delta: &[f64], t: f64| -> f64 {
            let each = delta.iter().zip(x0);
            each.map(|(&d, &x0)| (d.abs() - t).max(0.0).min(room(d, x0))).sum()
        };
        let (mut below, mut above) = (0.0, Norm::Linf.of(delta.iter().copied()));
        if spent(delta, 0.0) <= eps {
            return;
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(below, above);
            if spent(delta, middle) <= eps { above = middle } else { below = middle }
        }
        for (d, &x0) in delta.iter_mut().zip(x0) {
            *d = d.signum() * (d.abs() - above).max(0.0).min(room(*d, x0));
        }
    }
}

/// Halvings of the interval that holds a threshold: more than an f32 can resolve.
const HALVINGS: usize = 30;

/// Keeps a division by the size of no change finite.
const TINY: f64 = 1e-12;

fn sign(rng: &mut Rng) -> f64 {
    if rng.bernoulli(0.5) { 1.0 } else { -1.0 }
}

/// A bump of size 1: two hills side by side or one above the other, one of them negative.
fn bump(rng: &mut Rng, [height, width]: [usize; 2], norm: Norm) -> Vec<f64> {
    let stacked = width < 2 || (height >= 2 && rng.bernoulli(0.5));
    let [long, wide] = if stacked { [height, width] } else { [width, height] };
    let first = long / 2;
    let mut values = hill([first, wide]);
    values.extend(hill([long - first, wide]).into_iter().map(|v| -v));
    let size = norm.of(values.iter().copied()).max(TINY);
    let at = |i: usize| match stacked {
        true => values[i],
        false => values[i % width * wide + i / width],
    };
    (0..height * width).map(|i| at(i) / size).collect()
}

/// A hill of squares around the middle, each two larger than the one within, which adds `1 / k^2` (the
/// k-th); of length 1.
fn hill([height, width]: [usize; 2]) -> Vec<f64> {
    let (middle_row, middle_column) = (height / 2, width / 2);
    let rings = middle_row.max(middle_column) + 1;
    let mut values: Vec<f64> = (0..height * width)
        .map(|i| {
            let away = (i / width).abs_diff(middle_row).max((i % width).abs_diff(middle_column));
            (away..rings).map(|k| 1.0 / ((k + 1) * (k + 1)) as f64).sum()
        })
        .collect();
    let length = Norm::L2.of(values.iter().copied()).max(TINY);
    values.iter_mut().for_each(|v| *v /= length);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hills_are_nested_squares() {
        // Middle 1 + 1/4, ring 1/4.
        let length = (1.25f64 * 1.25 + 8.0 / 16.0).sqrt();
        let hill = hill([3, 3]);
        assert!((hill[4] - 1.25 / length).abs() < 1e-12);
        assert!(hill.iter().enumerate().all(|(i, v)| i == 4 || (v - 0.25 / length).abs() < 1e-12));
    }

    #[test]
    fn bumps_have_size_1_and_two_signs() {
        let mut rng = Rng::new(5);
        for sides in [[1, 1], [1, 4], [5, 1], [3, 3], [4, 7]] {
            for norm in [Norm::L2, Norm::L1] {
                let bump = bump(&mut rng, sides, norm);
                assert_eq!(bump.len(), sides[0] * sides[1]);
                assert!((norm.of(bump.iter().copied()) - 1.0).abs() < 1e-9, "{sides:?}");
                let negative = bump.iter().any(|v| *v < 0.0);
                assert!(negative && (bump.len() == 1 || bump.iter().any(|v| *v > 0.0)));
            }
        }
    }

    #[test]
    fn proposals_stay_in_ball_and_box_and_use_the_budget() {
        let image = Image { channels: 2, height: 9, width: 7 };
        let x0: Vec<f32> = (0..126).map(|i| i as f32 / 125.0).collect();
        for (norm, eps) in [(Norm::L2, 1.5), (Norm::L1, 8.0)] {
            let bumps = Bumps { image, norm, eps, lo: 0.0, hi: 1.0 };
            let (mut rng, mut x) = (Rng::new(7), x0.clone());
            bumps.tiles(&mut rng, &x0, &mut x);
            for share in [0.8, 0.4, 0.1, 0.01] {
                for _ in 0..50 {
                    bumps.propose(&mut rng, share, &x0, &mut x);
                    let size = norm.distance(&x0, &x).unwrap();
                    assert!(size <= eps && size > 0.5 * eps, "{norm}: {size}");
                    assert!(x.iter().all(|v| (0.0..=1.0).contains(v)));
                }
            }
        }
    }
}
