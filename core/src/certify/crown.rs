//! Linear bounds walked backwards (Zhang et al. 2018, "Efficient neural network robustness
//! certification with general activation functions", arXiv 1811.00866).
//!
//! A functional `a z + c` of a layer's values is bounded from below by one of the layer before: affine
//! layers are substituted exactly, and each ReLU by one of the lines that enclose it over the interval
//! that its input lies in, the line below it where `a` is positive and the line above it where it is
//! negative. At the input the smallest value over the ball is known.

use super::interval::{Interval, trace};
use crate::model::Network;
use crate::nn::layers::{Conv2d, Linear};
use crate::nn::{Layer, Params};
use crate::{Result, Tensor, bail};

/// Where the bounds on the inputs of the ReLUs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inner {
    Interval,
    Crown,
}

/// Neurons whose bounds are walked for together.
const BLOCK: usize = 256;

/// Functionals, times samples, that are walked for together.
const ROWS: usize = 2048;

/// Functionals of a layer's values, K of them for each of N samples, or for all alike (a leading 1).
struct Functionals {
    /// `[N or 1, K, ...]`.
    a: Tensor,
    /// `[N or 1, K]`.
    constant: Tensor,
}

/// Lower bounds of `z_y - z_j` `[N, classes]`.
pub(super) fn margins(
    network: &Network,
    params: &Params,
    ball: &Interval,
    y: &Tensor,
    inner: Inner,
) -> Result<Tensor> {
    let walk = Walk::new(network, params, ball, inner)?;
    let classes = network.spec().classes;
    let chosen = y.one_hot(classes, ball.lower.dtype()).reshape(&[y.dim(0), 1, classes]);
    let each = Tensor::iota(y.device(), classes).one_hot(classes, ball.lower.dtype());
    let a = chosen - each.reshape(&[1, classes, classes]);
    let constant = Tensor::zeros(a.device(), a.dtype(), &[y.dim(0), classes]);
    walk.lowest(Functionals { a, constant }, network.spec().layers.len())
}

/// A network, and bounds on the input of each of its layers.
struct Walk<'a> {
    layers: &'a [Layer],
    names: Vec<String>,
    params: &'a Params,
    inputs: Vec<Interval>,
}

impl<'a> Walk<'a> {
    fn new(
        network: &'a Network,
        params: &'a Params,
        ball: &Interval,
        inner: Inner,
    ) -> Result<Self> {
        let spec = network.spec();
        let inputs = trace(network, params, ball.clone())?;
        let mut walk = Walk { layers: &spec.layers, names: spec.names(), params, inputs };
        if inner == Inner::Interval {
            return Ok(walk);
        }
        let mut mixed = 0;
        for i in 0..walk.layers.len() {
            match &walk.layers[i] {
                Layer::Linear(_) | Layer::Conv2d(_) | Layer::AvgPool2d(_) => mixed += 1,
                // Behind one layer that mixes values, intervals are exact.
                Layer::Relu(_) if mixed > 1 => {
                    let bounds = walk.bounds_of_input(i)?;
                    // From here on intervals are those of the tighter bounds.
                    walk.inputs.truncate(i);
                    walk.inputs.push(bounds);
                    for k in i..walk.layers.len() {
                        let name = &walk.names[k];
                        let next = walk.inputs[k].through(&walk.layers[k], name, params)?;
                        walk.inputs.push(next);
                    }
                }
                _ => {}
            }
        }
        Ok(walk)
    }

    /// Bounds on each value that layer `i` gets, no wider than its interval.
    fn bounds_of_input(&self, i: usize) -> Result<Interval> {
        let known = &self.inputs[i];
        let (n, shape) = (known.lower.dim(0), known.lower.shape());
        let neurons: usize = shape[1..].iter().product();
        let device = known.lower.device();
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        for first in (0..neurons).step_by(BLOCK) {
            let count = BLOCK.min(neurons - first);
            let ids: Vec<i64> = (first..first + count).map(|id| id as i64).collect();
            let chosen = Tensor::from_slice(device, &ids, &[count])?;
            let mut dims = vec![1, count];
            dims.extend_from_slice(&shape[1..]);
            let a = chosen.one_hot(neurons, known.lower.dtype()).reshape(&dims);
            let constant = Tensor::zeros(device, a.dtype(), &[1, count]);
            // What does not depend on the samples is walked once for all of them.
            let (shared, from) = self.back_to_relu(Functionals { a, constant }, i)?;
            let opposite = Functionals { a: -&shared.a, constant: -&shared.constant };
            lower.push(self.lowest(shared, from)?);
            upper.push(-self.lowest(opposite, from)?);
        }
        let whole = |parts: Vec<Tensor>| -> Result<Tensor> {
            let Some((first, others)) = parts.split_first() else {
                bail!(Config, "certify: layer {} has no values", i + 1);
            };
            let mut dims = vec![n];
            dims.extend_from_slice(&shape[1..]);
            Ok(first.concat(others, 1).reshape(&dims))
        };
        let (lower, upper) = (whole(lower)?, whole(upper)?);
        // Of two valid bounds the tighter one; rounding must not turn them around.
        let lower = lower.maximum(&known.lower);
        let upper = upper.minimum(&known.upper).maximum(&lower);
        Ok(Interval { lower, upper })
    }

    /// Smallest values `[N, K]` over the ball of functionals of what layer `end - 1` gives, a few
    /// samples at a time.
    fn lowest(&self, functionals: Functionals, end: usize) -> Result<Tensor> {
        let (n, count) = (self.inputs[0].lower.dim(0), functionals.a.dim(1));
        let each = (ROWS / count.max(1)).clamp(1, n.max(1));
        let mut parts = Vec::with_capacity(n.div_ceil(each));
        for first in (0..n).step_by(each) {
            let samples = each.min(n - first);
            let own = |t: &Tensor| match t.dim(0) {
                1 if n > 1 => t.clone(),
                _ => t.narrow(0, first, samples),
            };
            let part = Functionals { a: own(&functionals.a), constant: own(&functionals.constant) };
            parts.push(self.lowest_of(part, end, [first, samples])?);
        }
        match parts.split_first() {
            Some((first, others)) => Ok(first.concat(others, 0)),
            None => bail!(Config, "certify: there are no samples"),
        }
    }

    fn lowest_of(
        &self,
        mut f: Functionals,
        end: usize,
        [first, samples]: [usize; 2],
    ) -> Result<Tensor> {
        for i in (0..end).rev() {
            f = match &self.layers[i] {
                Layer::Relu(_) => {
                    let own = |t: &Tensor| t.narrow(0, first, samples);
                    let Interval { lower, upper } = &self.inputs[i];
                    f.before_relu(&own(lower), &own(upper))
                }
                _ => self.before(f, i)?,
            };
        }
        let Interval { lower, upper } = &self.inputs[0];
        let ball = Interval {
            lower: lower.narrow(0, first, samples),
            upper: upper.narrow(0, first, samples),
        };
        let (n, count) = (samples, f.a.dim(1));
        let features = f.a.shape()[2..].iter().product();
        let a = f.for_all(n).reshape(&[n, count, features]);
        let column = |t: Tensor| t.reshape(&[n, features, 1]);
        let rows = |t: Tensor| t.reshape(&[n, count]);
        let centre = rows(a.matmul(&column(ball.centre())));
        let radius = rows(a.abs().matmul(&column(ball.radius())));
        let lowest = centre - radius + &f.constant;
        lowest.check()?;
        Ok(lowest)
    }

    /// Functionals of what the nearest ReLU before layer `end` gives, and the layer behind that ReLU.
    fn back_to_relu(&self, mut f: Functionals, end: usize) -> Result<(Functionals, usize)> {
        for i in (0..end).rev() {
            if matches!(self.layers[i], Layer::Relu(_)) {
                return Ok((f, i + 1));
            }
            f = self.before(f, i)?;
        }
        Ok((f, 0))
    }

    /// The same functionals as ones of what affine layer `i` gets.
    fn before(&self, f: Functionals, i: usize) -> Result<Functionals> {
        let (name, input) = (&self.names[i], self.inputs[i].lower.shape());
        match &self.layers[i] {
            Layer::Linear(l) => f.before_linear(l, name, self.params),
            Layer::Conv2d(l) => f.before_conv2d(l, name, self.params, [input[2], input[3]]),
            Layer::AvgPool2d(l) => {
                let (weight, conv) = l.kernel(&f.a, input[1]);
                Ok(f.with_rows(|a| a.conv2d_dx(&weight, conv, [input[2], input[3]])))
            }
            Layer::Flatten(_) => {
                let mut dims = vec![f.a.dim(0), f.a.dim(1)];
                dims.extend_from_slice(&input[1..]);
                Ok(Functionals { a: f.a.reshape(&dims), ..f })
            }
            Layer::Dropout(_) => Ok(f),
            Layer::Normalize(l) => {
                let mut dims = vec![1; f.a.shape().rank() - 1];
                dims[1] = l.mean.len();
                let shift: Vec<f64> = l.mean.iter().zip(&l.std).map(|(m, s)| -m / s).collect();
                let scale: Vec<f64> = l.std.iter().map(|s| 1.0 / s).collect();
                let per_channel =
                    |values: &[f64]| Tensor::from_f64(f.a.device(), f.a.dtype(), values, &dims);
                let constant = &f.constant + inner(&(&f.a * per_channel(&shift)?));
                Ok(Functionals { a: &f.a * per_channel(&scale)?, constant })
            }
            layer => bail!(
                Config,
                "certify: no linear bounds for {}; choose the bound interval",
                kind(layer)
            ),
        }
    }
}

impl Functionals {
    /// The coefficients, where they are the same for all samples repeated for each.
    fn for_all(&self, n: usize) -> Tensor {
        self.a.broadcast(self.a.shape().with(0, n))
    }

    /// With `f` applied to coefficients `[N K, ...]`.
    fn with_rows(&self, f: impl FnOnce(Tensor) -> Tensor) -> Self {
        let shape = self.a.shape();
        let mut dims = vec![shape[0] * shape[1]];
        dims.extend_from_slice(&shape[2..]);
        let a = f(self.a.reshape(&dims));
        let mut dims = vec![shape[0], shape[1]];
        dims.extend_from_slice(&a.shape()[1..]);
        Functionals { a: a.reshape(&dims), constant: self.constant.clone() }
    }

    /// `a (w x + b) + c = (a w) x + (a b + c)`.
    fn before_linear(&self, layer: &Linear, name: &str, params: &Params) -> Result<Self> {
        let weight = params.of(name, "weight")?;
        let mut f = self.with_rows(|a| a.matmul(weight));
        if layer.bias {
            let bias = params.of(name, "bias")?;
            f.constant = f.constant + inner(&(&self.a * bias.reshape(&[1, 1, layer.features])));
        }
        Ok(f)
    }

    fn before_conv2d(
        &self,
        layer: &Conv2d,
        name: &str,
        params: &Params,
        input: [usize; 2],
    ) -> Result<Self> {
        let weight = params.of(name, "weight")?;
        let mut f = self.with_rows(|a| a.conv2d_dx(weight, layer.conv(), input));
        if layer.bias {
            let bias = params.of(name, "bias")?.reshape(&[1, 1, layer.channels, 1, 1]);
            f.constant = f.constant + inner(&(&self.a * bias));
        }
        Ok(f)
    }

    /// Before a ReLU whose input lies in `[lower, upper]` (`[N, ...]`).
    ///
    /// Where the interval has 0 inside, the line above joins the ends, with slope `s = u / (u - l)`;
    /// the line below goes through 0 with slope 1 or 0, whichever leaves the smaller triangle.
    fn before_relu(&self, lower: &Tensor, upper: &Tensor) -> Self {
        let shape = lower.shape();
        let mut dims = vec![shape[0], 1];
        dims.extend_from_slice(&shape[1..]);
        let for_each = |t: Tensor| t.reshape(&dims);
        let (above, below) = (upper.relu(), -(-lower).relu());
        let width = (&above - &below).maximum(&lower.scalar(f64::from(f32::MIN_POSITIVE)));
        let slope = &above / width;
        let over = for_each(-(&slope * &below));
        let under = for_each((-lower).lt(upper).cast(lower.dtype()));
        let (slope, positive) = (for_each(slope), self.a.relu());
        let negative = &self.a - &positive;
        let constant = &self.constant + inner(&(&negative * over));
        Functionals { a: positive * under + negative * slope, constant }
    }
}

/// What a layer is called in configurations.
fn kind(layer: &Layer) -> String {
    let named = serde_json::to_value(layer).ok();
    let kind = named.as_ref().and_then(|layer| layer.get("type")).and_then(|kind| kind.as_str());
    kind.unwrap_or("this layer").to_owned()
}

/// `[N, K, ...]` summed over all but the first two axes.
fn inner(t: &Tensor) -> Tensor {
    let behind: crate::op::Axes = (2..t.shape().rank()).collect();
    t.sum(&behind).reshape(&[t.dim(0), t.dim(1)])
}
