//! A model seen through random resizing: each image made a little smaller and put somewhere on a black
//! one of the same extent (Xie et al. 2019).
//!
//! Resizing is linear and separable, so it is two matrix products per image, with matrices that the
//! host makes from each sample's own draws; the gradient comes with them.

use super::Draws;
use crate::model::Classifier;
use crate::{Result, Tensor};

/// The smallest extent, as a share of the image's.
const SMALLEST: f64 = 0.9;

/// A model of images `[N, C, H, W]` that it sees resized.
pub(super) struct Resizing<'a> {
    model: &'a dyn Classifier,
    /// `[N, C, H, H]`.
    rows: Tensor,
    /// `[N, C, W, W]`.
    columns: Tensor,
}

impl<'a> Resizing<'a> {
    /// Draws, for each image of `x`, whether it is resized, to what extent, and where it is put.
    pub(super) fn draw(
        model: &'a dyn Classifier,
        x: &Tensor,
        probability: f64,
        draws: &Draws,
    ) -> Result<Self> {
        let [n, c, h, w] = [x.dim(0), x.dim(1), x.dim(2), x.dim(3)];
        let zeros = Tensor::zeros(x.device(), x.dtype(), &[n, h * h + w * w]);
        let both = draws.tensor(&zeros, |rng, out| {
            let (rows, columns) = out.split_at_mut(h * h);
            let resized = rng.bernoulli(probability);
            let share = if resized { rng.uniform(SMALLEST, 1.0) } else { 1.0 };
            for (matrix, extent) in [(rows, h), (columns, w)] {
                let small = ((share * extent as f64).round() as usize).clamp(1, extent);
                interpolation(matrix, extent, small, rng.below(extent - small + 1));
            }
        })?;
        let matrix = |start: usize, extent: usize| {
            let flat = both.narrow(1, start, extent * extent);
            let one = flat.reshape(&[n, 1, extent, extent]);
            one.concat(&vec![one.clone(); c.saturating_sub(1)], 1)
        };
        Ok(Resizing { model, rows: matrix(0, h), columns: matrix(h * h, w) })
    }
}

/// The bilinear map from `extent` pixels to `small` ones that start at `offset`, `[extent, extent]` in
/// row-major order; centres of the outermost pixels' outer edges coincide.
fn interpolation(out: &mut [f32], extent: usize, small: usize, offset: usize) {
    let scale = extent as f64 / small as f64;
    for i in 0..small {
        let at = ((i as f64 + 0.5) * scale - 0.5).clamp(0.0, (extent - 1) as f64);
        let (left, share) = (at.floor() as usize, at.fract());
        let row = &mut out[(offset + i) * extent..][..extent];
        row[left] += (1.0 - share) as f32;
        row[(left + 1).min(extent - 1)] += share as f32;
    }
}

impl Classifier for Resizing<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        self.model.logits(&self.rows.matmul(x).matmul_t(&self.columns, false, true))
    }

    fn bounds(&self) -> [f64; 2] {
        self.model.bounds()
    }

    fn classes(&self) -> usize {
        self.model.classes()
    }

    fn attribute(&self, row: usize, count: usize) {
        self.model.attribute(row, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_image_keeps_what_is_constant() {
        let mut whole = [0.0; 16];
        interpolation(&mut whole, 4, 4, 0);
        let identity: Vec<f32> = (0..16).map(|i| f32::from(i % 5 == 0)).collect();
        assert_eq!(whole[..], identity[..]);
        let mut halved = [0.0; 16];
        interpolation(&mut halved, 4, 2, 1);
        let rows = [[0.0; 4], [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5], [0.0; 4]];
        assert_eq!(halved[..], rows.concat()[..]);
    }
}
