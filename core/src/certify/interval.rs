//! Interval bounds (Gowal et al. 2018, section 3): a box around the values of each layer in turn.

use crate::model::Network;
use crate::nn::layers::{Conv2d, Linear};
use crate::nn::{Layer, Mode, Params};
use crate::{Result, Tensor, bail};

/// Bounds on the values of a layer, `[N, ...]` each.
#[derive(Clone)]
pub(super) struct Interval {
    pub(super) lower: Tensor,
    pub(super) upper: Tensor,
}

impl Interval {
    /// The part of the Linf ball around `x` within the box.
    pub(super) fn ball(x: &Tensor, eps: f64, [lo, hi]: [f64; 2]) -> Self {
        Interval { lower: (x - eps).clamp(lo, hi), upper: (x + eps).clamp(lo, hi) }
    }

    pub(super) fn centre(&self) -> Tensor {
        (&self.lower + &self.upper) * 0.5
    }

    pub(super) fn radius(&self) -> Tensor {
        (&self.upper - &self.lower) * 0.5
    }

    /// Bounds behind a layer.
    pub(super) fn through(&self, layer: &Layer, name: &str, params: &Params) -> Result<Self> {
        let both = |f: &dyn Fn(&Tensor) -> Result<Tensor>| -> Result<Self> {
            Ok(Interval { lower: f(&self.lower)?, upper: f(&self.upper)? })
        };
        match layer {
            Layer::Linear(l) => self.linear(l, name, params),
            Layer::Conv2d(l) => self.conv2d(l, name, params),
            // Those that follow do not decrease in any value.
            Layer::Relu(_) => both(&|z| Ok(z.relu())),
            Layer::Tanh(_) => both(&|z| Ok(z.tanh())),
            Layer::MaxPool2d(l) => both(&|z| Ok(l.forward(z))),
            Layer::AvgPool2d(l) => both(&|z| Ok(l.forward(z))),
            Layer::Normalize(l) => both(&|z| l.forward(z)),
            Layer::Dropout(l) => both(&|z| l.forward(z, &mut Mode::Eval)),
            Layer::Embedding(_) => {
                bail!(Config, "certify: no bounds for layers that take rows of a table")
            }
            Layer::GroupNorm(_) | Layer::LayerNorm(_) => bail!(
                Config,
                "certify: no bounds for layers that normalise by the values of a sample"
            ),
            Layer::Flatten(_) => {
                both(&|z| Ok(z.reshape(&[z.dim(0), z.shape()[1..].iter().product()])))
            }
        }
    }

    fn linear(&self, layer: &Linear, name: &str, params: &Params) -> Result<Self> {
        let centre = layer.forward(params, name, &self.centre(), false)?;
        let weight = params.of(name, "weight")?.abs();
        Ok(around(&centre, &self.radius().matmul_t(&weight, false, true)))
    }

    fn conv2d(&self, layer: &Conv2d, name: &str, params: &Params) -> Result<Self> {
        let centre = layer.forward(params, name, &self.centre(), false)?;
        let weight = params.of(name, "weight")?.abs();
        Ok(around(&centre, &self.radius().conv2d(&weight, layer.conv())))
    }
}

fn around(centre: &Tensor, radius: &Tensor) -> Interval {
    Interval { lower: centre - radius, upper: centre + radius }
}

/// Bounds of the input of every layer, and last of the logits.
pub(super) fn trace(network: &Network, params: &Params, ball: Interval) -> Result<Vec<Interval>> {
    let spec = network.spec();
    let mut all = vec![ball];
    for (layer, name) in spec.layers.iter().zip(spec.names()) {
        let next = all[all.len() - 1].through(layer, &name, params)?;
        all.push(next);
    }
    Ok(all)
}

/// Lower bounds of `z_y - z_j` `[N, classes]`. The last layer is taken together with the difference:
/// `(w_y - w_j) z` is bounded tighter than `w_y z` and `w_j z` apart (section 3, "elision of the last
/// layer").
pub(super) fn margins(
    network: &Network,
    params: &Params,
    ball: Interval,
    y: &Tensor,
) -> Result<Tensor> {
    let spec = network.spec();
    let (Some((Layer::Linear(last), before)), names) = (spec.layers.split_last(), spec.names())
    else {
        bail!(Config, "certify: the last layer must be linear");
    };
    let mut z = ball;
    for (layer, name) in before.iter().zip(&names) {
        z = z.through(layer, name, params)?;
    }
    let (n, classes) = (y.dim(0), last.features);
    let name = &names[before.len()];
    let weight = params.of(name, "weight")?;
    let features = weight.dim(1);
    let of_label = weight.take(0, y).reshape(&[n, 1, features]);
    let difference = of_label - weight.reshape(&[1, classes, features]);
    let column = |t: Tensor| t.reshape(&[n, features, 1]);
    let rows = |t: Tensor| t.reshape(&[n, classes]);
    let lowest = rows(difference.matmul(&column(z.centre())))
        - rows(difference.abs().matmul(&column(z.radius())));
    if !last.bias {
        return Ok(lowest);
    }
    let bias = params.of(name, "bias")?;
    Ok(lowest + (bias.take(0, y).reshape(&[n, 1]) - bias.reshape(&[1, classes])))
}
