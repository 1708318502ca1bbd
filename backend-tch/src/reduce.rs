//! Sums and maxima along axes, which stay with extent 1.
//!
//! libtorch's `argmax` gives the first of equal maxima, on all devices, and takes NaN for the largest.

use inocula_core::op::Axes;
use tch::Tensor;

use crate::buf::sizes;
use crate::failure::Made;

/// Sum over at least one axis. To libtorch an empty list means all axes, so that is not for here.
pub(crate) fn sum(x: &Tensor, axes: &Axes) -> Made<Tensor> {
    Ok(x.f_sum_dim_intlist(sizes(axes), true, None)?)
}

/// The largest along `axis`.
pub(crate) fn max(x: &Tensor, axis: usize) -> Made<Tensor> {
    Ok(x.f_amax(axis as i64, true)?)
}

/// The position of the first largest along `axis`.
pub(crate) fn argmax(x: &Tensor, axis: usize) -> Made<Tensor> {
    Ok(x.f_argmax(axis as i64, true)?)
}
