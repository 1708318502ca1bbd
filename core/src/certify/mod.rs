//! Certificates: what no attack within a budget can do to a sample, proved rather than tried.
//!
//! An attack bounds the robust accuracy from above, a certificate from below, so the truth lies between
//! them. A [`Bound`] bounds the values of a network over a whole Linf ball (`interval`, `crown`); [`smoothing`]
//! certifies, with a stated probability of error, the majority vote of a network under Gaussian noise, and
//! [`vote`] attacks that.
//!
//! Bounds are computed in the dtype of the network and carry its rounding errors, some 1e-6 of the
//! logits in f32: a margin that is positive by less than [`SLACK`] of the logits is not counted.

mod crown;
mod interval;
pub mod smoothing;
pub mod vote;

use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::model::{Classifier as _, Network, predict};
use crate::nn::Params;
use crate::place::Placement;
use crate::{DType, Result, Tensor, bail};

/// Share of the largest logit that a margin must exceed to count, in f32.
pub const SLACK: f64 = 1e-5;

/// How the values of a network are bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Every value of a layer by itself (Gowal et al. 2018, arXiv 1810.12715): two forward passes, and
    /// loose unless the network was trained for it.
    Interval,
    /// Linear functions below and above every ReLU, walked back from the logits to the input, with
    /// interval bounds of the ReLUs' inputs (Zhang et al. 2020, arXiv 1906.06316).
    CrownIbp,
    /// The same walk for the input of every ReLU as well (Zhang et al. 2018, arXiv 1811.00866): the
    /// tightest here, at the cost of a walk for each neuron.
    Crown,
}

impl Bound {
    /// Every bound.
    pub const ALL: [Bound; 3] = [Bound::Interval, Bound::CrownIbp, Bound::Crown];

    /// Name in configurations and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Bound::Interval => "interval",
            Bound::CrownIbp => "crown_ibp",
            Bound::Crown => "crown",
        }
    }

    /// Lower bounds `[N, classes]` of `z_y - z_j` over the Linf ball of radius `eps` around each of `x`
    /// (`[N, ...]`) within the box, for labels `y` `[N]`; 0 where `j` is the label. Differentiable in
    /// `params`, save for [`Bound::Crown`], whose slopes are taken as constants.
    ///
    /// # Errors
    /// `eps` is negative or not finite, the network has a layer without such a bound, or the device
    /// failed.
    pub fn margins(
        self,
        network: &Network,
        params: &Params,
        (x, y): (&Tensor, &Tensor),
        eps: f64,
    ) -> Result<Tensor> {
        if !(eps >= 0.0 && eps.is_finite()) {
            bail!(Config, "certify: eps = {eps} must be finite and not negative");
        }
        let ball = interval::Interval::ball(x, eps, network.bounds());
        match self {
            Bound::Interval => interval::margins(network, params, ball, y),
            Bound::CrownIbp => crown::margins(network, params, &ball, y, crown::Inner::Interval),
            Bound::Crown => crown::margins(network, params, &ball, y, crown::Inner::Crown),
        }
    }
}

/// What is known of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Certified {
    /// Whether the prediction at the sample itself is the label.
    pub correct: bool,
    /// Lower bound of the smallest `z_y - z_j` in the ball.
    pub margin: f64,
    /// Whether the prediction is the label in all of the ball.
    pub holds: bool,
}

/// Certificates for the samples `rows` of a data set, in batches; `progress` hears how many are done.
///
/// # Errors
/// As [`Bound::margins`], or `progress` failed.
pub fn certify_rows(
    bound: Bound,
    network: &Network,
    data: &Dataset,
    rows: &[usize],
    eps: f64,
    place: &Placement,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Certified>> {
    let mut all = Vec::with_capacity(rows.len());
    let slack = if network.dtype() == DType::F64 { 0.0 } else { SLACK };
    for rows in place.portions(rows) {
        let (x, y) = place.tensors(data, rows)?;
        let margins = bound.margins(network, network.params(), (&x, &y), eps)?.to_f64_vec()?;
        let scale = network.logits(&x)?.to_f64_vec()?;
        let (predicted, labels) = (predict(network, &x)?, y.to_vec::<i64>()?);
        let classes = network.classes();
        for (i, (margins, scale)) in margins.chunks(classes).zip(scale.chunks(classes)).enumerate()
        {
            let largest = scale.iter().fold(0.0f64, |m, z| m.max(z.abs()));
            let others = margins.iter().enumerate().filter(|(j, _)| *j as i64 != labels[i]);
            let margin = others.map(|(_, &m)| m).fold(f64::INFINITY, |a, b| a.min(b));
            if margin.is_nan() {
                bail!(Numeric, "certify: the bounds of sample {} are not numbers", rows[i]);
            }
            let correct = predicted[i] == labels[i];
            let holds = correct && margin > slack * largest;
            all.push(Certified { correct, margin, holds });
        }
        progress(rows.len())?;
    }
    Ok(all)
}
