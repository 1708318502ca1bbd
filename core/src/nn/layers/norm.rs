//! Normalisation of each sample by its own values: over groups of channels (Wu and He 2018), or over
//! all of them (Ba et al. 2016).
//!
//! What batch normalisation cannot give: a sample's output depends on that sample alone, in training as
//! in evaluation, so per-sample gradients exist and the network can be trained privately.

use serde::{Deserialize, Serialize};

use super::yes;
use crate::nn::{Init, ParamSpec, Params};
use crate::{Result, Tensor, bail};

/// Configuration of group normalisation of `[N, C, ...]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupNorm {
    /// Groups that the channels are divided into.
    pub groups: usize,
    /// Added to the variance.
    #[serde(default = "eps")]
    pub eps: f64,
    /// Whether each channel is scaled and shifted after.
    #[serde(default = "yes")]
    pub affine: bool,
}

/// Configuration of layer normalisation over everything but the batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerNorm {
    /// Added to the variance.
    #[serde(default = "eps")]
    pub eps: f64,
    /// Whether each value is scaled and shifted after.
    #[serde(default = "yes")]
    pub affine: bool,
}

fn eps() -> f64 {
    1e-5
}

impl GroupNorm {
    pub(in crate::nn) fn output(&self, input: &[usize]) -> Result<Vec<usize>> {
        let (groups, channels) = (self.groups, input[0]);
        if groups == 0 || !channels.is_multiple_of(groups) {
            bail!(Config, "group_norm: groups = {groups} must divide the {channels} channels");
        }
        check_eps("group_norm", self.eps)?;
        Ok(input.to_vec())
    }

    pub(in crate::nn) fn params(&self, name: &str, input: &[usize]) -> Vec<ParamSpec> {
        affine(self.affine, name, &input[..1])
    }

    /// `(x - mean) / sqrt(var + eps)` over each group, then scaled by channel; `relu` if a ReLU
    /// follows.
    pub(in crate::nn) fn forward(
        &self,
        params: &Params,
        name: &str,
        x: &Tensor,
        relu: bool,
    ) -> Result<Tensor> {
        // [C] beside [N, C, ...].
        let mut shape = vec![1; x.shape().rank().saturating_sub(1)];
        shape[0] = x.dim(1);
        let by_channel = |p: &Tensor| p.reshape(&shape);
        let z = standardized(x, self.groups, self.eps);
        finished(z, self.affine, params, name, by_channel, relu)
    }
}

impl LayerNorm {
    pub(in crate::nn) fn output(&self, input: &[usize]) -> Result<Vec<usize>> {
        check_eps("layer_norm", self.eps)?;
        Ok(input.to_vec())
    }

    pub(in crate::nn) fn params(&self, name: &str, input: &[usize]) -> Vec<ParamSpec> {
        affine(self.affine, name, input)
    }

    /// `(x - mean) / sqrt(var + eps)` over each sample, then scaled by place; `relu` if a ReLU
    /// follows.
    pub(in crate::nn) fn forward(
        &self,
        params: &Params,
        name: &str,
        x: &Tensor,
        relu: bool,
    ) -> Result<Tensor> {
        let z = standardized(x, 1, self.eps);
        finished(z, self.affine, params, name, Tensor::clone, relu)
    }
}

fn check_eps(what: &str, eps: f64) -> Result<()> {
    if !(eps > 0.0 && eps.is_finite()) {
        bail!(Config, "{what}: eps = {eps} must be positive and finite");
    }
    Ok(())
}

fn affine(affine: bool, name: &str, shape: &[usize]) -> Vec<ParamSpec> {
    let param = |(part, value): (&str, f64)| ParamSpec {
        name: format!("{name}.{part}"),
        shape: shape.to_vec(),
        init: Init::Constant(value),
    };
    let parts = [("weight", 1.0), ("bias", 0.0)];
    if affine { parts.map(param).to_vec() } else { Vec::new() }
}

/// Mean 0 and variance 1 over each of `groups` equal parts of each sample. The variance is that of the
/// values themselves, divided by their number.
fn standardized(x: &Tensor, groups: usize, eps: f64) -> Tensor {
    let each: usize = x.shape().iter().skip(1).product::<usize>() / groups;
    let z = x.reshape(&[x.dim(0), groups, each]);
    let mean = |t: &Tensor| t.sum(&[2]) * (1.0 / each as f64);
    let centred = &z - &mean(&z);
    let deviation = mean(&centred.square()).affine(1.0, eps).sqrt();
    (centred / deviation).reshape(&x.shape())
}

fn finished(
    z: Tensor,
    affine: bool,
    params: &Params,
    name: &str,
    placed: impl Fn(&Tensor) -> Tensor,
    relu: bool,
) -> Result<Tensor> {
    let z = match affine {
        false => z,
        true => {
            let weight = params.of(name, "weight")?;
            let bias = params.of(name, "bias")?;
            z * placed(weight) + placed(bias)
        }
    };
    Ok(if relu { z.relu() } else { z })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(groups: usize, eps: f64) -> GroupNorm {
        GroupNorm { groups, eps, affine: true }
    }

    #[test]
    fn shapes_stay_and_constants_are_checked() {
        assert_eq!(group(3, 1e-5).output(&[6, 4, 4]).unwrap(), [6, 4, 4]);
        for groups in [0, 4, 12] {
            let text = group(groups, 1e-5).output(&[6, 4, 4]).unwrap_err().to_string();
            assert!(text.contains(&format!("groups = {groups}")), "{text}");
        }
        for eps in [0.0, -1.0, f64::NAN] {
            assert!(group(3, eps).output(&[6]).is_err(), "{eps}");
            assert!(LayerNorm { eps, affine: false }.output(&[6]).is_err(), "{eps}");
        }
    }

    #[test]
    fn parameters_have_the_shapes_of_pytorch() {
        let shapes = |specs: Vec<ParamSpec>| specs.into_iter().map(|p| p.shape).collect::<Vec<_>>();
        assert_eq!(shapes(group(3, 1e-5).params("norm1", &[6, 4, 5])), [[6], [6]]);
        let layer = LayerNorm { eps: 1e-5, affine: true };
        assert_eq!(shapes(layer.params("norm1", &[6, 4, 5])), [[6, 4, 5], [6, 4, 5]]);
        let bare = LayerNorm { eps: 1e-5, affine: false };
        assert_eq!(bare.params("norm1", &[6]), []);
    }
}
