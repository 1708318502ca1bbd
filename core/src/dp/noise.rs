//! Gaussian noise, drawn on the host so that every backend adds the same bits.

use crate::rng::Rng;
use crate::{Aval, DType, Device, Result, Tensor, bail};

/// Values of one stream. Part of the definition of the noise: it decides which values there are.
const STRETCH: usize = 1 << 15;

/// Independent normal values of mean 0 and standard deviation `std`, rounded to the dtype of `aval`.
///
/// They are a function of `rng`, whose stream anybody with the seed can repeat: for tests and for
/// measuring what noise costs, not for a release that has to be private. Stretches of 32,768 values
/// have a stream each, so that all cores draw and their number does not matter.
///
/// # Errors
/// `std` is negative or not finite, `aval` is of integers, or the upload failed.
pub fn gaussian(device: &Device, aval: Aval, std: f64, rng: &Rng) -> Result<Tensor> {
    if !(std >= 0.0 && std.is_finite()) {
        bail!(Config, "noise: the standard deviation {std} must be finite and not negative");
    }
    let count = aval.shape.numel();
    match aval.dtype {
        DType::F32 => {
            let values: Vec<f32> = drawn(count, rng, |normal| (std * normal) as f32);
            Tensor::from_slice(device, &values, &aval.shape)
        }
        DType::F64 => {
            let values: Vec<f64> = drawn(count, rng, |normal| std * normal);
            Tensor::from_slice(device, &values, &aval.shape)
        }
        DType::I64 => bail!(Shape, "noise: {} cannot hold normal values", aval.dtype),
    }
}

/// `count` values, each made from one of the standard normal distribution.
fn drawn<T: Copy + Default + Send>(
    count: usize,
    rng: &Rng,
    make: impl Fn(f64) -> T + Sync,
) -> Vec<T> {
    let mut values = vec![T::default(); count];
    let fill = |(i, stretch): (usize, &mut [T])| {
        let mut rng = rng.index(i as u64);
        stretch.iter_mut().for_each(|value| *value = make(rng.normal()));
    };
    let stretches = values.chunks_mut(STRETCH).enumerate();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let each = stretches.len().div_ceil(threads);
    if threads == 1 || stretches.len() == 1 {
        stretches.for_each(fill);
        return values;
    }
    std::thread::scope(|scope| {
        for (i, part) in values.chunks_mut(each * STRETCH).enumerate() {
            let fill = &fill;
            scope.spawn(move || {
                let stretches = part.chunks_mut(STRETCH).enumerate();
                stretches.for_each(|(j, stretch)| fill((i * each + j, stretch)));
            });
        }
    });
    values
}
