//! What an attack may do to a sample where a norm does not tell it all: [`perturb`](super::perturb) holds
//! every result to it, as it holds it to ball and box.
//!
//! The alternative, other kinds of [`Threat`], would put a case for patches and rotations into every
//! projection, step and random start, none of which have a meaning there. So a threat stays a ball, a patch
//! is a ball in L0 with a further limit, and what no norm bounds says so by a ball without a radius.

use super::Threat;
use super::motion::Motions;
use super::window::Image;
use crate::{Result, bail};

/// What bounds a perturbation besides the box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limits {
    /// The ball of the attack's threat.
    Ball,
    /// That ball, which is in L0, and one square of pixels of as many values at the most (in an image that
    /// is not as high or as wide, a rectangle): everything outside of it is as it was.
    Square,
    /// No ball: the sample is one of these motions of the original.
    Motions(Motions),
}

impl Limits {
    /// Checks perturbed samples against their originals, both as values of a batch of this shape in
    /// row-major order.
    ///
    /// # Errors
    /// A sample was changed in another way.
    pub(super) fn check(
        &self,
        threat: Threat,
        shape: &[usize],
        [before, after]: [&[f64]; 2],
        [lo, hi]: [f64; 2],
    ) -> Result<()> {
        let each = shape.iter().skip(1).product::<usize>().max(1);
        let image = Image::of(shape);
        let pairs = before.chunks(each).zip(after.chunks(each)).enumerate();
        for (i, (before, after)) in pairs.filter(|(_, (before, after))| before != after) {
            match self {
                Limits::Ball => {}
                Limits::Square => one_square(i, image, threat, before, after)?,
                Limits::Motions(motions) => {
                    if !motions.lead_to(image, before, after, [lo, hi]) {
                        bail!(Numeric, "attack: sample {i} is none of the motions of its original");
                    }
                }
            }
        }
        Ok(())
    }
}

fn one_square(
    sample: usize,
    image: Image,
    threat: Threat,
    before: &[f64],
    after: &[f64],
) -> Result<()> {
    let changed = (0..before.len()).filter(|&at| before[at] != after[at]);
    let places = changed.map(|at| (at / image.width % image.height, at % image.width));
    let ends = places.fold(None, |ends: Option<[usize; 4]>, (row, column)| {
        let [top, bottom, left, right] = ends.unwrap_or([row, row, column, column]);
        Some([top.min(row), bottom.max(row), left.min(column), right.max(column)])
    });
    let Some([top, bottom, left, right]) = ends else { return Ok(()) };
    let (height, width) = (bottom - top + 1, right - left + 1);
    match image.holding(threat.eps) {
        Some(square) if height <= square.height && width <= square.width => Ok(()),
        _ => bail!(
            Numeric,
            "attack: sample {sample} was changed in {height} x {width} pixels, more than a patch of \
             {} values covers",
            threat.eps
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Norm;

    /// Whether a 1 x 4 x 5 image with changes at these positions is within a patch of so many values.
    fn fits(changed: &[usize], eps: f64) -> bool {
        let before = [0.25; 20];
        let mut after = before;
        changed.iter().for_each(|&at| after[at] = 0.75);
        let threat = Threat::new(Norm::L0, eps);
        Limits::Square.check(threat, &[1, 1, 4, 5], [&before, &after], [0.0, 1.0]).is_ok()
    }

    #[test]
    fn a_patch_is_one_square_however_few_values_change() {
        assert!(fits(&[], 4.0) && fits(&[6, 12], 4.0) && fits(&[6, 7, 11, 12], 5.0));
        assert!(!fits(&[6, 8], 4.0), "three columns");
        assert!(!fits(&[0, 19], 4.0), "two corners");
        assert!(!fits(&[6], 0.5), "no pixel at all");
    }

    #[test]
    fn what_was_not_moved_as_stated_is_told() {
        let motions = Motions { degrees: 0.0, pixels: 1.0, angles: 1, shifts: 3 };
        let before: Vec<f64> = (0..20).map(|v| f64::from(v) / 20.0).collect();
        let threat = Threat::unbounded(Norm::L2);
        let check = |after: &[f64]| {
            Limits::Motions(motions).check(threat, &[1, 1, 4, 5], [&before, after], [0.0, 1.0])
        };
        let mut moved = vec![0.0; 5];
        moved.extend_from_slice(&before[..15]);
        assert!(check(&before).is_ok() && check(&moved).is_ok());
        moved[12] += 0.01;
        assert!(check(&moved).is_err());
    }
}
