//! The layers: each file has the configuration, the shape rule, the parameters and the forward pass.

mod activation;
mod conv2d;
mod dropout;
mod embedding;
mod linear;
mod norm;
mod normalize;
mod pool;

pub use activation::{Flatten, Relu, Tanh};
pub use conv2d::Conv2d;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use linear::Linear;
pub use norm::{GroupNorm, LayerNorm};
pub use normalize::Normalize;
pub use pool::{AvgPool2d, MaxPool2d};

use crate::{Result, bail};

pub(super) fn yes() -> bool {
    true
}

pub(super) fn one() -> usize {
    1
}

/// `[C, H, W]` of an image sample.
fn image(what: &str, input: &[usize]) -> Result<[usize; 3]> {
    match *input {
        [c, h, w] => Ok([c, h, w]),
        _ => bail!(Config, "{what}: input {input:?} must be an image [C, H, W]"),
    }
}
