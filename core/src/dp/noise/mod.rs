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

use rayon::prelude::*;

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
    upload(device, &aval, std, streams(secret))
}

/// `to` and the noise that [`private`] gives.
///
/// # Errors
/// As there.
pub fn add_private(to: Tensor, std: f64, secret: &Secret) -> Result<Tensor> {
    add(to, std, streams(secret))
}

/// Independent normal values of mean 0 and standard deviation `std`, rounded to the dtype of `aval`.
///
/// They are a function of `rng`, whose stream anybody with the seed can repeat: for tests and for
/// measuring what noise costs, not for a release that has to be private.
///
/// # Errors
/// As [`private`].
pub fn gaussian(device: &Device, aval: Aval, std: f64, rng: &Rng) -> Result<Tensor> {
    upload(device, &aval, std, repeatable(rng))
}

/// `to` and the noise that [`gaussian`] gives.
///
/// # Errors
/// As there.
pub fn add_gaussian(to: Tensor, std: f64, rng: &Rng) -> Result<Tensor> {
    add(to, std, repeatable(rng))
}

/// What fills memory with the next standard normal numbers of a stream.
type Draw = Box<dyn FnMut(&mut [f64])>;

fn streams(secret: &Secret) -> impl Fn(u64) -> Draw + Sync {
    |i| {
        let mut stream = secret.stream(i);
        Box::new(move |values| stream.fill(values))
    }
}

fn repeatable(rng: &Rng) -> impl Fn(u64) -> Draw + Sync {
    |i| {
        let mut rng = rng.index(i);
        Box::new(move |values| values.iter_mut().for_each(|value| *value = rng.normal()))
    }
}

/// Draws from stream number `i`, which `open` gives, for every stretch, and adds that to a tensor: where
/// its elements lie, if they can be reached there, so that the noise is nowhere stored.
fn add(mut to: Tensor, std: f64, open: impl Fn(u64) -> Draw + Sync) -> Result<Tensor> {
    check(to.dtype(), std)?;
    let added = match to.dtype() {
        DType::F32 => to.write_in_place(|values: &mut [f32]| {
            draw(values, &open, |value, normal| *value += (std * normal) as f32);
        }),
        _ => to.write_in_place(|values: &mut [f64]| {
            draw(values, &open, |value, normal| *value += std * normal);
        }),
    };
    if added {
        return Ok(to);
    }
    let noise = upload(to.device(), &to.aval(), std, open)?;
    Ok(to + noise)
}

/// The same, put on the device.
fn upload(
    device: &Device,
    aval: &Aval,
    std: f64,
    open: impl Fn(u64) -> Draw + Sync,
) -> Result<Tensor> {
    check(aval.dtype, std)?;
    let count = aval.shape.numel();
    if aval.dtype == DType::F64 {
        let mut values = vec![0.0; count];
        draw(&mut values, open, |value, normal| *value = std * normal);
        return Tensor::from_slice(device, &values, &aval.shape);
    }
    KEPT.with_borrow_mut(|values| {
        values.resize(count.max(values.len()), 0.0);
        let values = &mut values[..count];
        draw(values, open, |value, normal| *value = (std * normal) as f32);
        Tensor::from_slice(device, values, &aval.shape)
    })
}

/// Checks what noise is asked for.
fn check(dtype: DType, std: f64) -> Result<()> {
    if !(std >= 0.0 && std.is_finite()) {
        bail!(Config, "noise: the standard deviation {std} must be finite and not negative");
    }
    if !dtype.is_float() {
        bail!(Shape, "noise: {dtype} cannot hold normal values");
    }
    Ok(())
}

thread_local! {
    /// Memory of the last noise, which that of the next step is drawn into: fresh pages from the system
    /// cost as much as the draws.
    static KEPT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Has `put` take a standard normal number to each of `values`.
fn draw<T: Send, D: FnMut(&mut [f64])>(
    values: &mut [T],
    open: impl Fn(u64) -> D + Sync,
    put: impl Fn(&mut T, f64) + Sync,
) {
    let fill = |(i, stretch): (usize, &mut [T])| {
        let mut draw = open(i as u64);
        let mut normal = [0.0; AT_A_TIME];
        for part in stretch.chunks_mut(AT_A_TIME) {
            let normal = &mut normal[..part.len()];
            draw(normal);
            part.iter_mut().zip(normal).for_each(|(value, normal)| put(value, *normal));
        }
    };
    // On threads that are there already: one that is started begins, on some systems, on the processor
    // of the thread that starts it, and shares that for longer than the draws take.
    match values.len() {
        ..=STRETCH => values.chunks_mut(STRETCH).enumerate().for_each(fill),
        _ => values.par_chunks_mut(STRETCH).enumerate().for_each(fill),
    }
}
