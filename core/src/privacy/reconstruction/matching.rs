//! Gradients of a batch as a function of that batch, and how far they are from gradients that were
//! seen. Differentiating the distance needs second derivatives, which `grad_graph` gives.

use serde::{Deserialize, Serialize};

use crate::grad::{grad, grad_graph};
use crate::loss::cross_entropy;
use crate::model::Network;
use crate::nn::{Mode, Params};
use crate::{Error, ErrorKind, Result, Tensor};

/// The labels that a gradient is taken with.
#[derive(Debug, Clone)]
pub enum Target {
    /// Classes `[N]`.
    Classes(Tensor),
    /// Logits `[N, classes]` of distributions over classes: what an attacker optimises who does not
    /// know the labels (Zhu et al. 2019, section 3.2).
    Soft(Tensor),
}

/// Loss of each sample, `[N]`: the cross-entropy with a class or with a distribution.
fn losses(logits: &Tensor, target: &Target) -> Tensor {
    match target {
        Target::Classes(y) => cross_entropy(logits, y),
        Target::Soft(soft) => {
            let terms = soft.softmax(1) * logits.log_softmax(1);
            -terms.sum(&[1]).reshape(&[logits.dim(0)])
        }
    }
}

/// Gradients of the mean loss of a batch with respect to `params`, which must be tracked. With
/// `further`, they can be differentiated again.
///
/// # Errors
/// The batch or the weights do not fit the network, or the device failed.
pub fn gradients(
    network: &Network,
    params: &Params,
    x: &Tensor,
    target: &Target,
    further: bool,
) -> Result<Vec<Tensor>> {
    let logits = network.forward(params, x, &mut Mode::Eval)?;
    let loss = losses(&logits, target).mean_all();
    let by = if further { grad_graph } else { grad };
    by(&loss, &params.values())
}

/// How far gradients are from those that were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// Sum of squared differences (Zhu et al. 2019, equation 4).
    SquaredL2,
    /// `1 - cos`, over all parameters as one vector (Geiping et al. 2020, equation 4).
    Cosine,
}

impl Distance {
    /// The distance of `found` from `seen`, a scalar that can be differentiated.
    ///
    /// # Errors
    /// The two differ in number, or there is none.
    pub fn between(self, seen: &[Tensor], found: &[Tensor]) -> Result<Tensor> {
        let sum = |f: &dyn Fn(&Tensor, &Tensor) -> Tensor| {
            let terms = seen.iter().zip(found).map(|(a, b)| f(a, b).sum_all());
            terms.reduce(|a, b| a + b).filter(|_| seen.len() == found.len()).ok_or_else(|| {
                let (a, b) = (seen.len(), found.len());
                let text = format!("matching: {a} gradients against {b}; pass those of one model");
                Error::new(ErrorKind::Usage, text)
            })
        };
        Ok(match self {
            Distance::SquaredL2 => sum(&|a, b| (b - a).square())?,
            Distance::Cosine => {
                let (dot, aa) = (sum(&|a, b| a * b)?, sum(&|a, _| a.square())?);
                let bb = sum(&|_, b| b.square())?;
                (dot / (aa.sqrt() * bb.sqrt())).affine(-1.0, 1.0)
            }
        })
    }
}

/// Euclidean norm over all tensors.
///
/// # Errors
/// The device failed.
pub fn norm(values: &[Tensor]) -> Result<f64> {
    let squares = values.iter().map(|v| v.square().sum_all().item());
    Ok(squares.sum::<Result<f64>>()?.sqrt())
}
