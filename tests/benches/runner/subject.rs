//! The networks that are measured, with their batches.
//!
//! Sizes that pull in opposite directions: the MNIST network of Madry et al. (2018), where the
//! kernels decide, and a network of a few thousand weights, where the cost of an operation itself
//! does. Private training is measured on the network of its literature as well.

use inocula_core::attack::{Attack, Draws, Goal, craft};
use inocula_core::model::Network;
use inocula_core::nn::layers::{Linear, Relu};
use inocula_core::nn::{Layer, ModelSpec, Params, Preset};
use inocula_core::rng::Rng;
use inocula_core::{Result, Tensor};

use crate::row::Context;
use crate::scale::Scale;

/// Name of the labels that the large network gives its batch.
pub(crate) const PREDICTED: &str = "madry.predicted";

/// A network by name.
#[derive(Clone, Copy)]
pub(crate) enum Net {
    /// 5x5 convolutions to 32 and 64 channels, each pooled, and 1024 hidden units.
    Madry,
    /// 64 inputs, 32 hidden units, 10 classes.
    Mlp,
    /// 8x8 and 4x4 convolutions of stride 2 to 16 and 32 channels, 32 hidden units.
    DpCnn,
}

impl Net {
    pub(crate) fn spec(&self) -> Result<ModelSpec> {
        let linear = |features| Layer::Linear(Linear { features, bias: true });
        match self {
            Net::Madry => Preset::find("madry")?.spec(&[1, 28, 28], 10, [0.0, 1.0]),
            Net::DpCnn => Preset::find("dp-cnn")?.spec(&[1, 28, 28], 10, [0.0, 1.0]),
            Net::Mlp => Ok(ModelSpec {
                input: vec![64],
                classes: 10,
                bounds: [0.0, 1.0],
                layers: vec![linear(32), Layer::Relu(Relu {}), linear(10)],
            }),
        }
    }

    /// Samples in its input arrays.
    pub(crate) fn batch(&self, scale: &Scale) -> usize {
        match self {
            Net::Madry => scale.private_batch.max(scale.batch),
            Net::DpCnn => scale.private_batch,
            Net::Mlp => 32,
        }
    }

    /// Name of one of its arrays in the file of inputs.
    pub(crate) fn array(&self, part: &str) -> String {
        let net = match self {
            Net::Madry => "madry",
            Net::Mlp => "mlp",
            Net::DpCnn => "dp-cnn",
        };
        format!("{net}.{part}")
    }

    /// Multiplications and additions of a forward pass of one sample, biases and pools aside: of all
    /// layers, and of the first, whose input gradient training does not need.
    fn flops(&self) -> [f64; 2] {
        match self {
            Net::Madry => {
                let first = (28 * 28 * 32 * 25) as f64;
                let others = 14 * 14 * 64 * 32 * 25 + 3136 * 1024 + 1024 * 10;
                [2.0 * (first + others as f64), 2.0 * first]
            }
            Net::Mlp => [2.0 * (64 * 32 + 32 * 10) as f64, 2.0 * (64 * 32) as f64],
            Net::DpCnn => {
                let first = (14 * 14 * 16 * 64) as f64;
                let others = 5 * 5 * 32 * 16 * 16 + 512 * 32 + 32 * 10;
                [2.0 * (first + others as f64), 2.0 * first]
            }
        }
    }

    /// Those of `passes` forward passes of `batch` samples and as many gradients of their inputs.
    pub(crate) fn attack_flops(&self, batch: usize, passes: usize) -> f64 {
        2.0 * (passes * batch) as f64 * self.flops()[0]
    }

    /// Those of a forward pass of `batch` samples and the gradient of all weights.
    pub(crate) fn training_flops(&self, batch: usize) -> f64 {
        let [all, first] = self.flops();
        batch as f64 * (3.0 * all - first)
    }

    pub(crate) fn forward_flops(&self, batch: usize) -> f64 {
        batch as f64 * self.flops()[0]
    }
}

/// A network with a batch.
pub(crate) struct Subject {
    pub(crate) network: Network,
    pub(crate) x: Tensor,
    pub(crate) y: Tensor,
}

impl Subject {
    /// The network and the first `batch` samples of its input arrays.
    pub(crate) fn new(context: &Context, net: Net, batch: usize) -> Result<Self> {
        let spec = net.spec()?;
        let mut params = Params::new();
        for param in spec.params()? {
            params.push(&param.name, context.get(&net.array(&param.name))?);
        }
        let part = |name: &str| -> Result<Tensor> {
            Ok(context.get(&net.array(name))?.narrow(0, 0, batch).check()?.clone())
        };
        Ok(Subject {
            network: Network::new(spec, params, &context.device)?,
            x: part("x")?,
            y: part("y")?,
        })
    }

    /// Adversarial versions of the batch, on the device when this returns.
    pub(crate) fn attack(&self, attack: &dyn Attack) -> Result<Tensor> {
        let ids = (0..self.x.dim(0) as u64).collect();
        let draws = Draws::new(Rng::new(2), ids);
        let goal = Goal::Untargeted(self.y.clone());
        let found = craft(attack, &self.network, &self.x, &goal, &draws)?;
        found.check()?;
        self.network.device().sync()?;
        Ok(found)
    }
}
