//! How like two pictures are: mean squared error, PSNR, and the structural similarity of Wang et al.
//! (2004).
//!
//! PSNR is a logarithm of the squared error, which weighs every pixel alone; SSIM compares means,
//! variances and covariances of windows, and sees that a blurred digit is still that digit. A
//! reconstruction is judged by both, since each is fooled where the other is not.

use crate::{Result, bail};

/// Mean squared difference.
///
/// # Errors
/// The two differ in length, or are empty.
pub fn mse(a: &[f32], b: &[f32]) -> Result<f64> {
    if a.len() != b.len() || a.is_empty() {
        bail!(Shape, "mse: {} and {} values; pass two records of one shape", a.len(), b.len());
    }
    let squares = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    Ok(squares.sum::<f64>() / a.len() as f64)
}

/// Peak signal-to-noise ratio in decibels, `10 log10(range^2 / mse)`: infinite where nothing differs.
pub fn psnr(mse: f64, range: f64) -> f64 {
    10.0 * (range * range / mse).log10()
}

/// A structural similarity, and the window that it was taken with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ssim {
    /// Mean over windows and channels, in `[-1, 1]`; 1 where nothing differs.
    pub value: f64,
    /// Side of the square window, in pixels.
    pub window: usize,
}

/// Side of the window of the paper, and the standard deviation of its weights.
const WINDOW: usize = 11;
const SIGMA: f64 = 1.5;
/// The constants `K1` and `K2` of the paper, which keep the quotients finite.
const K: [f64; 2] = [0.01, 0.03];

/// Structural similarity of two pictures `[C, H, W]` whose values span `range` (Wang et al. 2004,
/// equation 13, with the Gaussian window of 11 x 11 and deviation 1.5 of section III-C), over windows
/// that lie within the picture. A picture that is smaller than the window gets the largest odd window
/// that fits; the result says which.
///
/// # Errors
/// The shape is not that of a picture, or does not fit the values.
pub fn ssim(a: &[f32], b: &[f32], shape: &[usize], range: f64) -> Result<Ssim> {
    let &[channels, height, width] = shape else {
        bail!(Shape, "ssim: shape {shape:?} is not [channels, height, width]; pass a picture");
    };
    let plane = height * width;
    if a.len() != channels * plane || b.len() != a.len() || a.is_empty() {
        let (a, b) = (a.len(), b.len());
        bail!(Shape, "ssim: {a} and {b} values for shape {shape:?}; pass two pictures of it");
    }
    let side = WINDOW.min(height).min(width);
    let window = side - usize::from(side.is_multiple_of(2));
    let weights = gaussian(window);
    let stabilisers = K.map(|k| (k * range).powi(2));
    let planes = a.chunks(plane).zip(b.chunks(plane));
    let sum: f64 = planes.map(|(a, b)| of_plane(a, b, width, &weights, stabilisers)).sum();
    Ok(Ssim { value: sum / channels as f64, window })
}

/// Weights of one axis of the window, which sum to 1; the window is their outer product.
fn gaussian(side: usize) -> Vec<f64> {
    let middle = (side / 2) as f64;
    let weight = |i: usize| (-(i as f64 - middle).powi(2) / (2.0 * SIGMA * SIGMA)).exp();
    let total: f64 = (0..side).map(weight).sum();
    (0..side).map(|i| weight(i) / total).collect()
}

fn of_plane(a: &[f32], b: &[f32], width: usize, weights: &[f64], [c1, c2]: [f64; 2]) -> f64 {
    let mean = |of: &dyn Fn(f64, f64) -> f64| {
        let values = a.iter().zip(b).map(|(a, b)| of(f64::from(*a), f64::from(*b)));
        filtered(&values.collect::<Vec<_>>(), width, weights)
    };
    let (ma, mb) = (mean(&|a, _| a), mean(&|_, b| b));
    let (aa, bb, ab) = (mean(&|a, _| a * a), mean(&|_, b| b * b), mean(&|a, b| a * b));
    let similarity = |i: usize| {
        let (va, vb) = (aa[i] - ma[i] * ma[i], bb[i] - mb[i] * mb[i]);
        let cov = ab[i] - ma[i] * mb[i];
        let luminance = (2.0 * ma[i] * mb[i] + c1) / (ma[i].powi(2) + mb[i].powi(2) + c1);
        luminance * (2.0 * cov + c2) / (va + vb + c2)
    };
    (0..ma.len()).map(similarity).sum::<f64>() / ma.len() as f64
}

/// Weighted means of all windows within a plane, one axis after the other.
fn filtered(plane: &[f64], width: usize, weights: &[f64]) -> Vec<f64> {
    let side = weights.len();
    let across: Vec<f64> = plane
        .chunks(width)
        .flat_map(|row| row.windows(side))
        .map(|w| w.iter().zip(weights).map(|(v, w)| v * w).sum())
        .collect();
    let columns = width - side + 1;
    let rows = across.len() / columns - side + 1;
    let down = |at: usize| (0..side).map(|i| across[at + i * columns] * weights[i]).sum();
    (0..rows * columns).map(down).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_decibels_are_those_of_a_calculation_by_hand() {
        // Differences 0.1, -0.2, 0, 0.3: squares sum to 0.14.
        let (a, b) = ([0.5f32, 0.5, 0.5, 0.5], [0.4f32, 0.7, 0.5, 0.2]);
        let error = mse(&a, &b).unwrap();
        assert!((error - 0.035).abs() < 1e-8, "{error}");
        assert!((psnr(error, 1.0) - 14.559_319_556).abs() < 1e-5);
        assert!((psnr(0.01, 1.0) - 20.0).abs() < 1e-12);
        assert!((psnr(0.01, 2.0) - (20.0 + 20.0 * 2f64.log10())).abs() < 1e-12);
        assert!(psnr(mse(&a, &a).unwrap(), 1.0).is_infinite());
        assert!(mse(&a, &b[..3]).is_err() && mse(&[], &[]).is_err());
    }

    /// One pixel has variance 0, so only the luminance is left: `(2 a b + C1) / (a^2 + b^2 + C1)`.
    #[test]
    fn similarity_of_one_pixel_is_that_of_its_luminance() {
        let got = ssim(&[0.5], &[0.25], &[1, 1, 1], 1.0).unwrap();
        let want = (2.0 * 0.125 + 1e-4) / (0.25 + 0.0625 + 1e-4);
        assert!((got.value - want).abs() < 1e-12 && got.window == 1, "{got:?}");
    }

    /// A window of 3 x 3 with one bright pixel in the middle against a flat one: with weight w of
    /// the middle, means w and m, variance w - w^2 and 0, covariance 0.
    #[test]
    fn similarity_of_one_window_is_that_of_a_calculation_by_hand() {
        let mut point = [0.0f32; 9];
        point[4] = 1.0;
        let flat = [0.5f32; 9];
        let side = (-1.0 / 4.5f64).exp();
        let w = (1.0 / (1.0 + 2.0 * side)).powi(2);
        let (c1, c2) = (1e-4, 9e-4);
        let want = (2.0 * w * 0.5 + c1) / (w * w + 0.25 + c1) * c2 / (w - w * w + c2);
        let got = ssim(&point, &flat, &[1, 3, 3], 1.0).unwrap();
        assert!((got.value - want).abs() < 1e-9 && got.window == 3, "{got:?} {want}");
    }

    #[test]
    fn windows_are_odd_fit_and_slide() {
        let picture: Vec<f32> = (0..2 * 16 * 14).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
        let noisy: Vec<f32> = picture.iter().map(|v| 0.9 * v + 0.05).collect();
        let same = ssim(&picture, &picture, &[2, 16, 14], 1.0).unwrap();
        assert!((same.value - 1.0).abs() < 1e-12 && same.window == 11);
        let near = ssim(&picture, &noisy, &[2, 16, 14], 1.0).unwrap().value;
        let far: Vec<f32> = picture.iter().map(|v| 1.0 - v).collect();
        let far = ssim(&picture, &far, &[2, 16, 14], 1.0).unwrap().value;
        assert!(near > 0.9 && near < 1.0 && far < 0.0, "{near} {far}");
        assert_eq!(ssim(&picture[..64], &noisy[..64], &[1, 8, 8], 1.0).unwrap().window, 7);
        assert!(ssim(&picture[..64], &noisy[..64], &[64], 1.0).is_err());
    }

    #[test]
    fn similarity_does_not_depend_on_the_unit() {
        let a: Vec<f32> = (0..144).map(|i| (i * 29 % 67) as f32 / 67.0).collect();
        let b: Vec<f32> = (0..144).map(|i| (i * 31 % 71) as f32 / 71.0).collect();
        let scaled = |v: &[f32]| v.iter().map(|v| v * 4.0).collect::<Vec<_>>();
        let one = ssim(&a, &b, &[1, 12, 12], 1.0).unwrap().value;
        let four = ssim(&scaled(&a), &scaled(&b), &[1, 12, 12], 4.0).unwrap().value;
        assert!((one - four).abs() < 1e-12, "{one} {four}");
    }
}
