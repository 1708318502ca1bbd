//! Pooling over windows of `[N, C, H, W]`.

use serde::{Deserialize, Serialize};

use super::image;
use crate::op::{Conv, Window};
use crate::{Result, Tensor, bail};

/// Configuration of max-pooling. Padding never wins; of equal values the first does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPool2d {
    /// Extent of the window.
    pub kernel: usize,
    /// Step between windows; the kernel's extent if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    /// Rows and columns added on each side.
    #[serde(default)]
    pub padding: usize,
}

/// Configuration of average pooling, without padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvgPool2d {
    /// Extent of the window.
    pub kernel: usize,
    /// Step between windows; the kernel's extent if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
}

fn pooled(what: &str, window: Window, input: &[usize]) -> Result<Vec<usize>> {
    let [c, h, w] = image(what, input)?;
    if window.kernel[0] == 0 || window.stride[0] == 0 {
        bail!(Config, "{what}: kernel and stride must be at least 1");
    }
    if window.padding[0] * 2 > window.kernel[0] {
        bail!(Config, "{what}: padding must be at most half of the kernel");
    }
    match window.output([h, w]) {
        Some([oh, ow]) => Ok(vec![c, oh, ow]),
        None => bail!(
            Config,
            "{what}: a window of {} does not fit an image {input:?}",
            window.kernel[0]
        ),
    }
}

impl MaxPool2d {
    fn window(&self) -> Window {
        Window::square(self.kernel, self.stride.unwrap_or(self.kernel), self.padding)
    }

    pub(in crate::nn) fn output(&self, input: &[usize]) -> Result<Vec<usize>> {
        pooled("max_pool2d", self.window(), input)
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.max_pool2d(self.window())
    }
}

impl AvgPool2d {
    fn window(&self) -> Window {
        Window::square(self.kernel, self.stride.unwrap_or(self.kernel), 0)
    }

    pub(in crate::nn) fn output(&self, input: &[usize]) -> Result<Vec<usize>> {
        pooled("avg_pool2d", self.window(), input)
    }

    /// A convolution of each channel with equal weights.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let (weight, conv) = self.kernel(x, x.dim(1));
        x.conv2d(&weight, conv)
    }

    /// The weights of that convolution, as `like` in dtype and device.
    pub(crate) fn kernel(&self, like: &Tensor, channels: usize) -> (Tensor, Conv) {
        let Window { kernel: [kh, kw], stride, .. } = self.window();
        let shape = [channels, 1, kh, kw];
        let share = 1.0 / (kh * kw) as f64;
        let weight = Tensor::full(like.device(), like.dtype(), &shape, share);
        (weight, Conv { stride, groups: channels, ..Conv::new(1, 0) })
    }
}
