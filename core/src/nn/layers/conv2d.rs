//! Convolution: cross-correlation of `[N, C, H, W]` with `w [channels, C / groups, kh, kw]`.

use serde::{Deserialize, Serialize};

use super::{image, one, yes};
use crate::nn::{Init, ParamSpec, Params};
use crate::op::Conv;
use crate::{Result, Tensor, bail};

/// Configuration of a convolution with a square kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Output channels.
    pub channels: usize,
    /// Extent of the kernel.
    pub kernel: usize,
    /// Step between windows.
    #[serde(default = "one")]
    pub stride: usize,
    /// Zeros added on each side.
    #[serde(default)]
    pub padding: usize,
    /// Distance between taps.
    #[serde(default = "one")]
    pub dilation: usize,
    /// Channel groups.
    #[serde(default = "one")]
    pub groups: usize,
    /// Whether a bias is added.
    #[serde(default = "yes")]
    pub bias: bool,
}

impl Conv2d {
    /// A convolution with one group, no dilation, and a bias.
    pub fn new(channels: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        Conv2d { channels, kernel, stride, padding, dilation: 1, groups: 1, bias: true }
    }

    pub(crate) fn conv(&self) -> Conv {
        Conv {
            stride: [self.stride; 2],
            padding: [self.padding; 2],
            dilation: [self.dilation; 2],
            groups: self.groups,
        }
    }

    pub(in crate::nn) fn output(&self, input: &[usize]) -> Result<Vec<usize>> {
        let [c, h, w] = image("conv2d", input)?;
        let Conv2d { channels, kernel, stride, dilation, groups, .. } = *self;
        if [channels, kernel, stride, dilation, groups].contains(&0) {
            bail!(Config, "conv2d: channels, kernel, stride, dilation, groups must be at least 1");
        }
        if c % groups != 0 || channels % groups != 0 {
            bail!(Config, "conv2d: {groups} groups must divide {c} inputs and {channels} outputs");
        }
        match self.conv().window([kernel; 2]).output([h, w]) {
            Some([oh, ow]) => Ok(vec![channels, oh, ow]),
            None => bail!(Config, "conv2d: a kernel of {kernel} does not fit an image {input:?}"),
        }
    }

    pub(in crate::nn) fn params(&self, name: &str, input: &[usize]) -> Vec<ParamSpec> {
        let inputs = input[0] / self.groups;
        let init = Init::FanIn(inputs * self.kernel * self.kernel);
        let weight = ParamSpec {
            name: format!("{name}.weight"),
            shape: vec![self.channels, inputs, self.kernel, self.kernel],
            init,
        };
        let bias = ParamSpec { name: format!("{name}.bias"), shape: vec![self.channels], init };
        if self.bias { vec![weight, bias] } else { vec![weight] }
    }

    /// `[N, C, H, W]` to `[N, channels, OH, OW]`; `relu` if a ReLU follows.
    pub(crate) fn forward(
        &self,
        params: &Params,
        name: &str,
        x: &Tensor,
        relu: bool,
    ) -> Result<Tensor> {
        let weight = params.of(name, "weight")?;
        if self.bias {
            let bias = params.of(name, "bias")?;
            return Ok(x.conv_bias(weight, bias, self.conv(), relu));
        }
        let z = x.conv2d(weight, self.conv());
        Ok(if relu { z.relu() } else { z })
    }
}
