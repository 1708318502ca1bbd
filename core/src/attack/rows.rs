//! Parts of a batch: an attack drops the samples that it has finished with, and works on the rest.
//!
//! The alternative, to carry them along under a mask, costs a forward and a backward pass for each
//! of them at every step. Which samples are finished has to be asked of the device, `[N]` flags, so
//! attacks ask when it is likely that some are.

use crate::{Result, Tensor};

/// The rows `at` as an index on the device of `like`.
pub(super) fn index(like: &Tensor, at: &[usize]) -> Result<Tensor> {
    let at: Vec<i64> = at.iter().map(|&i| i as i64).collect();
    Tensor::from_slice(like.device(), &at, &[at.len()])
}

/// `base` with the rows `at` (ascending) replaced by those of `new`, bit for bit.
pub(super) fn replaced(base: &Tensor, at: &[usize], new: &Tensor) -> Result<Tensor> {
    let n = base.dim(0);
    let mut from: Vec<usize> = (0..n).collect();
    for (k, &i) in at.iter().enumerate() {
        from[i] = n + k;
    }
    let from = index(base, &from)?;
    Ok(base.concat(std::slice::from_ref(new), 0).take(0, &from))
}

/// Positions where `flags` (`[N]`) are 0.
pub(super) fn unset(flags: &Tensor) -> Result<Vec<usize>> {
    let flags = flags.to_f64_vec()?;
    Ok((0..flags.len()).filter(|&i| flags[i] == 0.0).collect())
}

/// The elements of `list` at the positions `at`.
pub(super) fn pick(list: &[usize], at: &[usize]) -> Vec<usize> {
    at.iter().map(|&i| list[i]).collect()
}
