//! The forward pass: a function of description, weights and input.

use super::{Layer, ModelSpec, Params};
use crate::rng::Rng;
use crate::{Result, Tensor};

/// Whether layers behave as in training.
pub enum Mode<'a> {
    /// Evaluation: deterministic, no dropout. Attacks run in this mode.
    Eval,
    /// Training, with the randomness of dropout.
    Train(&'a mut Rng),
}

/// Logits `[N, classes]` of a batch `[N, ...spec.input]`.
///
/// # Errors
/// A parameter is missing, or a shape does not fit.
pub fn forward(
    spec: &ModelSpec,
    params: &Params,
    x: &Tensor,
    mode: &mut Mode<'_>,
) -> Result<Tensor> {
    forward_named(&spec.layers, &spec.names(), params, x, mode)
}

/// As [`forward`], for a caller that keeps the [names](ModelSpec::names) of the layers.
pub(crate) fn forward_named(
    layers: &[Layer],
    names: &[String],
    params: &Params,
    x: &Tensor,
    mode: &mut Mode<'_>,
) -> Result<Tensor> {
    let mut z = x.clone();
    let mut layers = layers.iter().zip(names).peekable();
    while let Some((layer, name)) = layers.next() {
        // A ReLU behind a linear layer runs in its epilogue, while the values are in cache; unless
        // a max-pool comes next. The two commute, gradients included (a maximum that is not positive
        // passes none on either way), and behind the pool there are fewer values, in both directions.
        let rest = &mut layers;
        let is_relu = |l: &Layer| matches!(l, Layer::Relu(_));
        let relu = layer.takes_relu() && rest.next_if(|(l, _)| is_relu(l)).is_some();
        let pool = match rest.peek() {
            Some((Layer::MaxPool2d(pool), _)) if relu => Some(pool),
            _ => None,
        };
        if pool.is_some() {
            rest.next();
        }
        let in_epilogue = relu && pool.is_none();
        z = match layer {
            Layer::Linear(l) => l.forward(params, name, &z, in_epilogue)?,
            Layer::Conv2d(l) => l.forward(params, name, &z, in_epilogue)?,
            Layer::Embedding(l) => l.forward(params, name, &z)?,
            Layer::Relu(_) => z.relu(),
            Layer::Tanh(_) => z.tanh(),
            Layer::MaxPool2d(l) => l.forward(&z),
            Layer::AvgPool2d(l) => l.forward(&z),
            Layer::Flatten(_) => {
                let features = z.shape().iter().skip(1).product();
                z.reshape(&[z.dim(0), features])
            }
            Layer::Dropout(l) => l.forward(&z, mode)?,
            Layer::Normalize(l) => l.forward(&z)?,
            Layer::GroupNorm(l) => l.forward(params, name, &z, in_epilogue)?,
            Layer::LayerNorm(l) => l.forward(params, name, &z, in_epilogue)?,
        };
        if let Some(pool) = pool {
            z = pool.forward(&z).relu();
        }
    }
    z.check()?;
    Ok(z)
}
