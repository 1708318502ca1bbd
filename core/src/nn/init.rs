//! Initial weights.

use super::{Init, ModelSpec, Params};
use crate::rng::Rng;
use crate::{DType, Device, Result, Tensor};

/// Weights and biases uniform in `+-1 / sqrt(fan_in)`: the default of PyTorch's linear and
/// convolution layers (Kaiming uniform with a = sqrt(5)); tables of embeddings are standard normal, norms
/// start as the identity. Each parameter draws from a stream of its own name, so that adding a layer
/// leaves the others as they were.
///
/// # Errors
/// The layers do not fit together, or the device failed.
pub fn init_params(spec: &ModelSpec, device: &Device, dtype: DType, rng: &Rng) -> Result<Params> {
    let mut params = Params::new();
    for p in spec.params()? {
        let mut draws = rng.child(&p.name);
        let count = p.shape.iter().product();
        let values: Vec<f64> = match p.init {
            Init::Constant(value) => vec![value; count],
            Init::Normal => (0..count).map(|_| draws.normal()).collect(),
            Init::FanIn(fan_in) => {
                let limit = 1.0 / (fan_in as f64).sqrt();
                (0..count).map(|_| draws.uniform(-limit, limit)).collect()
            }
        };
        params.push(&p.name, Tensor::from_f64(device, dtype, &values, &p.shape)?);
    }
    Ok(params)
}
