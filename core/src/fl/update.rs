//! What a client sends, and weights as flat vectors on the host.
//!
//! The server computes in f64 on the host: its work is a few additions for each weight of a client,
//! and every client is trained on a device of its own. Order of the values is that of the parameters,
//! each row-major.

use crate::model::Network;
use crate::nn::Params;
use crate::{DType, Result, Tensor, bail};

/// What a client answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The client.
    pub client: usize,
    /// Its number of samples, as it says.
    pub samples: usize,
    /// Mean loss of its samples in its last epoch; none from clients that train privately.
    pub loss: Option<f64>,
    /// Its weights minus those that it was sent.
    pub delta: Vec<f64>,
}

impl Update {
    /// The Euclidean norm.
    pub fn norm(&self) -> f64 {
        norm(&self.delta)
    }
}

/// The Euclidean norm.
pub(super) fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The squared Euclidean distance.
pub(super) fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// `sum += a * values`.
pub(super) fn add_scaled(sum: &mut [f64], a: f64, values: &[f64]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += a * value);
}

/// The values of parameters, one after the other.
pub(super) fn flatten(params: &Params) -> Result<Vec<f64>> {
    let mut flat = Vec::new();
    for value in params.values() {
        flat.extend(value.to_f64_vec()?);
    }
    Ok(flat)
}

/// Puts `flat` into the weights of `network`.
pub(super) fn unflatten(network: &mut Network, flat: &[f64]) -> Result<()> {
    let (mut values, mut rest) = (Vec::new(), flat);
    for like in network.params().values() {
        let Some((part, more)) = rest.split_at_checked(like.shape().numel()) else {
            bail!(Data, "federation: {} values are too few for the network", flat.len());
        };
        values.push(Tensor::from_f64(network.device(), like.dtype(), part, &like.shape())?);
        rest = more;
    }
    if !rest.is_empty() {
        bail!(Data, "federation: {} values are too many for the network", flat.len());
    }
    let params = network.params().with_values(values)?;
    network.set_params(params);
    Ok(())
}

/// Rounds values to those that weights of `dtype` can have.
pub(super) fn round_to(dtype: DType, values: &mut [f64]) {
    if dtype == DType::F32 {
        values.iter_mut().for_each(|v| *v = f64::from(*v as f32));
    }
}
