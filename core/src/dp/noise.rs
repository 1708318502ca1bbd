//! Gaussian noise, drawn on the host so that every backend adds the same bits.

use crate::rng::Rng;
use crate::{Aval, Device, Result, Tensor, bail};

/// Independent normal values of mean 0 and standard deviation `std`, rounded to the dtype of `aval`.
///
/// They are a function of `rng`, whose stream anybody with the seed can repeat: for tests and for
/// measuring what noise costs, not for a release that has to be private.
///
/// # Errors
/// `std` is negative or not finite, `aval` is of integers, or the upload failed.
pub fn gaussian(device: &Device, aval: Aval, std: f64, rng: &mut Rng) -> Result<Tensor> {
    if !(std >= 0.0 && std.is_finite()) {
        bail!(Config, "noise: the standard deviation {std} must be finite and not negative");
    }
    if !aval.dtype.is_float() {
        bail!(Shape, "noise: {} cannot hold normal values", aval.dtype);
    }
    let values: Vec<f64> = (0..aval.shape.numel()).map(|_| std * rng.normal()).collect();
    Tensor::from_f64(device, aval.dtype, &values, &aval.shape)
}
