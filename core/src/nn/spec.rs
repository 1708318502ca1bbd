//! The description of a network: input shape, classes, value range, layers.

use serde::{Deserialize, Serialize};

use super::layers::{
    AvgPool2d, Conv2d, Dropout, Embedding, Flatten, GroupNorm, LayerNorm, Linear, MaxPool2d,
    Normalize, Relu, Tanh,
};
use crate::{Result, Shape, bail};

/// A layer, without its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Layer {
    /// Fully connected.
    Linear(Linear),
    /// A row of a table for each number of a sequence.
    Embedding(Embedding),
    /// Convolution.
    Conv2d(Conv2d),
    /// `max(x, 0)`.
    Relu(Relu),
    /// Hyperbolic tangent.
    Tanh(Tanh),
    /// Largest value of each window.
    MaxPool2d(MaxPool2d),
    /// Mean of each window.
    AvgPool2d(AvgPool2d),
    /// `[N, C, H, W]` to `[N, C * H * W]`.
    Flatten(Flatten),
    /// Zeros a random part of the activations in training.
    Dropout(Dropout),
    /// `(x - mean) / std` per channel, so that attacks see the original value range.
    Normalize(Normalize),
    /// Normalises each sample over groups of its channels.
    GroupNorm(GroupNorm),
    /// Normalises each sample over all of its values.
    LayerNorm(LayerNorm),
}

impl Layer {
    /// Prefix of the parameter names of such layers; they are numbered per prefix from 1.
    pub(super) fn prefix(&self) -> Option<&'static str> {
        match self {
            Layer::Linear(_) => Some("fc"),
            Layer::Conv2d(_) => Some("conv"),
            Layer::Embedding(_) => Some("embedding"),
            Layer::GroupNorm(_) | Layer::LayerNorm(_) => Some("norm"),
            _ => None,
        }
    }

    /// Whether a ReLU behind it can run in its epilogue.
    pub(super) fn takes_relu(&self) -> bool {
        matches!(
            self,
            Layer::Linear(_) | Layer::Conv2d(_) | Layer::GroupNorm(_) | Layer::LayerNorm(_)
        )
    }

    /// Shape of a sample after the layer, given the one before.
    fn output(&self, input: &[usize]) -> Result<Vec<usize>> {
        match self {
            Layer::Linear(l) => l.output(input),
            Layer::Conv2d(l) => l.output(input),
            Layer::Embedding(l) => l.output(input),
            Layer::MaxPool2d(l) => l.output(input),
            Layer::AvgPool2d(l) => l.output(input),
            Layer::Flatten(_) => Ok(vec![input.iter().product()]),
            Layer::Normalize(l) => l.output(input),
            Layer::Dropout(l) => l.output(input),
            Layer::GroupNorm(l) => l.output(input),
            Layer::LayerNorm(l) => l.output(input),
            Layer::Relu(_) | Layer::Tanh(_) => Ok(input.to_vec()),
        }
    }
}

/// A parameter that a layer needs.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamSpec {
    /// Name in checkpoints: `conv1.weight`.
    pub name: String,
    /// Shape, in PyTorch's layout.
    pub shape: Vec<usize>,
    /// Its values before training.
    pub init: Init,
}

/// Values before training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Uniform in `+-1 / sqrt(fan_in)`, where one output sums over `fan_in` inputs.
    FanIn(usize),
    /// The same everywhere.
    Constant(f64),
    /// Of the standard normal distribution.
    Normal,
}

/// A classifier's description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Shape of a sample: `[C, H, W]` of an image, `[F]` of a table row.
    pub input: Vec<usize>,
    /// Number of classes; the last layer gives this many logits.
    pub classes: usize,
    /// Smallest and largest value an input may have.
    #[serde(default = "unit_interval")]
    pub bounds: [f64; 2],
    /// The layers, in order.
    pub layers: Vec<Layer>,
}

fn unit_interval() -> [f64; 2] {
    [0.0, 1.0]
}

impl ModelSpec {
    /// Checks that the layers fit together and end in `[classes]`.
    ///
    /// # Errors
    /// Names the layer that does not fit, with the shape it gets.
    pub fn check(&self) -> Result<()> {
        self.walk(|_, _, _| ()).map(|_| ())
    }

    /// The parameters, in order.
    ///
    /// # Errors
    /// As [`ModelSpec::check`].
    pub fn params(&self) -> Result<Vec<ParamSpec>> {
        let mut out = Vec::new();
        self.walk(|layer, name, input| match layer {
            Layer::Linear(l) => out.extend(l.params(name, input)),
            Layer::Conv2d(l) => out.extend(l.params(name, input)),
            Layer::Embedding(l) => out.extend(l.params(name)),
            Layer::GroupNorm(l) => out.extend(l.params(name, input)),
            Layer::LayerNorm(l) => out.extend(l.params(name, input)),
            _ => {}
        })?;
        Ok(out)
    }

    /// Number of trainable values.
    ///
    /// # Errors
    /// As [`ModelSpec::check`].
    pub fn numel(&self) -> Result<usize> {
        Ok(self.params()?.iter().map(|p| p.shape.iter().product::<usize>()).sum())
    }

    /// Names of the layers: `conv1`, `relu`, `fc1`; those without parameters have their type's.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut counts = std::collections::BTreeMap::new();
        let mut name = |layer: &Layer| match layer.prefix() {
            None => String::new(),
            Some(prefix) => {
                let count = counts.entry(prefix).or_insert(0);
                *count += 1;
                format!("{prefix}{count}")
            }
        };
        self.layers.iter().map(&mut name).collect()
    }

    fn walk(&self, mut visit: impl FnMut(&Layer, &str, &[usize])) -> Result<Vec<usize>> {
        let [lo, hi] = self.bounds;
        if !(lo < hi && lo.is_finite() && hi.is_finite()) {
            bail!(Config, "model: bounds [{lo}, {hi}] must be finite and increasing");
        }
        Shape::new(&self.input).map_err(|e| e.context("model"))?;
        if self.input.is_empty() || self.input.contains(&0) {
            bail!(Config, "model: input {:?} has an empty axis; give [C, H, W] or [F]", self.input);
        }
        let mut shape = self.input.clone();
        for (i, (layer, name)) in self.layers.iter().zip(self.names()).enumerate() {
            let inputs_fit = |_: &Vec<usize>| match layer {
                Layer::Embedding(l) => l.check_inputs(i == 0, self.bounds),
                _ => Ok(()),
            };
            let next = layer
                .output(&shape)
                .and_then(|next| inputs_fit(&next).map(|()| next))
                .map_err(|e| e.context(format_args!("model: layer {}", i + 1)))?;
            visit(layer, &name, &shape);
            shape = next;
        }
        if shape != [self.classes] || self.classes < 2 {
            bail!(
                Config,
                "model: the layers end in {shape:?}, but {} classes (at least 2) need [{}]",
                self.classes,
                self.classes
            );
        }
        Ok(shape)
    }
}
