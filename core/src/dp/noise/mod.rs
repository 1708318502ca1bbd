//! Gaussian noise, drawn on the host so that every backend adds the same bits.
//!
//! [`private`] is the noise of releases: from a [`Secret`], and safe against an attack on the
//! doubles that a sampler can return (see `normal`). [`gaussian`] is one draw a value from a stream
//! that anybody with the seed can repeat. Both draw stretches of 32,768 values from a stream each, so
//! that all cores draw and their number does not matter.

mod keystream;
mod normal;
mod secret;
#[cfg(test)]
mod tests;

pub use self::secret::{Origin, Secret, Stream};

use std::cell::RefCell;
use std::sync::OnceLock;

use crate::rng::Rng;
use crate::{Aval, DType, Device, Result, Tensor, bail};

/// Values of one stream. Part of the definition of the noise: it decides which values there are.
const STRETCH: usize = 1 << 15;

/// Normal numbers in doubles at a time, few enough to stay in the nearest cache.
const AT_A_TIME: usize = 1024;

/// Independent normal values of mean 0 and standard deviation `std`, rounded to the dtype of `aval`,
/// from the streams of `secret`. A secret may be used once: the same one gives the same noise, so
/// take [`Secret::index`] of the step and of the parameter.
///
/// # Errors
/// `std` is negative or not finite, `aval` is of integers, or the upload failed.
pub fn private(device: &Device, aval: Aval, std: f64, secret: &Secret) -> Result<Tensor> {
    upload(device, &aval, std, |i| {
        let mut stream = secret.stream(i);
        move |values: &mut [f64]| stream.fill(values)
    })
}

/// Independent normal values of mean 0 and standard deviation `std`, rounded to the dtype of `aval`.
///
/// They are a function of `rng`, whose stream anybody with the seed can repeat: for tests and for
/// measuring what noise costs, not for a release that has to be private.
///
/// # Errors
/// As [`private`].
pub fn gaussian(device: &Device, aval: Aval, std: f64, rng: &Rng) -> Result<Tensor> {
    upload(device, &aval, std, |i| {
        let mut rng = rng.index(i);
        move |values: &mut [f64]| values.iter_mut().for_each(|value| *value = rng.normal())
    })
}

/// Draws from stream number `i`, which `open` gives, for every stretch, and puts them on the device.
fn upload<D: FnMut(&mut [f64])>(
    device: &Device,
    aval: &Aval,
    std: f64,
    open: impl Fn(u64) -> D + Sync,
) -> Result<Tensor> {
    if !(std >= 0.0 && std.is_finite()) {
        bail!(Config, "noise: the standard deviation {std} must be finite and not negative");
    }
    let count = aval.shape.numel();
    match aval.dtype {
        DType::F32 => KEPT.with_borrow_mut(|values| {
            values.resize(count.max(values.len()), 0.0);
            let values = &mut values[..count];
            draw(values, open, |normal| (std * normal) as f32);
            Tensor::from_slice(device, values, &aval.shape)
        }),
        DType::F64 => {
            let mut values = vec![0.0; count];
            draw(&mut values, open, |normal| std * normal);
            Tensor::from_slice(device, &values, &aval.shape)
        }
        DType::I64 => bail!(Shape, "noise: {} cannot hold normal values", aval.dtype),
    }
}

thread_local! {
    /// Memory of the last noise, which that of the next step is drawn into: fresh pages from the system
    /// cost as much as the draws.
    static KEPT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// How many threads run at once. It is read from files, so not for every parameter of every step.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Fills `values`, each made from one of the standard normal distribution.
fn draw<T: Send, D: FnMut(&mut [f64])>(
    values: &mut [T],
    open: impl Fn(u64) -> D + Sync,
    make: impl Fn(f64) -> T + Sync,
) {
    let fill = |(i, stretch): (usize, &mut [T])| {
        let mut draw = open(i as u64);
        let mut normal = [0.0; AT_A_TIME];
        for part in stretch.chunks_mut(AT_A_TIME) {
            let normal = &mut normal[..part.len()];
            draw(normal);
            part.iter_mut().zip(normal).for_each(|(value, normal)| *value = make(*normal));
        }
    };
    let stretches = values.chunks_mut(STRETCH).enumerate();
    let threads = cores();
    let each = stretches.len().div_ceil(threads);
    if threads == 1 || stretches.len() <= 1 {
        stretches.for_each(fill);
        return;
    }
    let work = |(i, part): (usize, &mut [T])| {
        let stretches = part.chunks_mut(STRETCH).enumerate();
        stretches.for_each(|(j, stretch)| fill((i * each + j, stretch)));
    };
    let work = &work;
    std::thread::scope(|scope| {
        let mut parts = values.chunks_mut(each * STRETCH).enumerate();
        let own = parts.next();
        for part in parts {
            scope.spawn(move || work(part));
        }
        own.into_iter().for_each(work);
    });
}
