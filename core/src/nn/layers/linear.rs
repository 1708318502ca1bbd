//! Fully connected layer: `x w^T + b` with `w [features, inputs]`.

use serde::{Deserialize, Serialize};

use super::yes;
use crate::nn::{Init, ParamSpec, Params};
use crate::{Result, Tensor, bail};

/// Configuration of a fully connected layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Number of outputs.
    pub features: usize,
    /// Whether a bias is added.
    #[serde(default = "yes")]
    pub bias: bool,
}

impl Linear {
    pub(in crate::nn) fn output(&self, input: &[usize]) -> Result<Vec<usize>> {
        match input {
            [_] if self.features > 0 => Ok(vec![self.features]),
            [_] => bail!(Config, "linear: features must be at least 1"),
            _ => bail!(Config, "linear: input {input:?} must be flat; put a flatten layer before"),
        }
    }

    pub(in crate::nn) fn params(&self, name: &str, input: &[usize]) -> Vec<ParamSpec> {
        let init = Init::FanIn(input[0]);
        let weight = ParamSpec {
            name: format!("{name}.weight"),
            shape: vec![self.features, input[0]],
            init,
        };
        let bias = ParamSpec { name: format!("{name}.bias"), shape: vec![self.features], init };
        if self.bias { vec![weight, bias] } else { vec![weight] }
    }

    /// `[N, inputs]` to `[N, features]`; `relu` if a ReLU follows.
    pub(crate) fn forward(
        &self,
        params: &Params,
        name: &str,
        x: &Tensor,
        relu: bool,
    ) -> Result<Tensor> {
        let weight = params.of(name, "weight")?;
        if self.bias {
            return Ok(x.linear(weight, params.of(name, "bias")?, relu));
        }
        let z = x.matmul_t(weight, false, true);
        Ok(if relu { z.relu() } else { z })
    }
}
