//! Clipped sums of per-sample gradients from one forward and one backward pass.
//!
//! For a weight that each sample meets once, the norm of a sample's gradient `g x^T` is
//! `|g| |x|`, so no per-sample gradient is made ("ghost norms": Goodfellow 2015; Li et al. 2022,
//! arXiv 2110.05679). The cotangents that gave the norms are kept, scaled by the clipping factors
//! and contracted with the inputs, so there is no second backward pass ("book-keeping": Bu et al.
//! 2023, arXiv 2210.00038). A convolution over T pixels has the choice of the norm from two T x T
//! Gram matrices or of making the gradient of each sample, and so has a table of which a sample takes T
//! rows; the rule of Bu et al. 2022
//! (arXiv 2205.10683, section 4), `2 T^2` against the size of the weight, decides for each one, except
//! that small convolutions always make gradients: those stay in cache from the kernel that makes them
//! to their norm and their sum, which then needs no second kernel over all windows. Gradients of
//! convolutions are made when they are used, so that `dp::contributions` can have them made of a few
//! samples at a time.

use crate::grad::per_sample::{Use, uses};
use crate::op::{Axes, Conv};
use crate::{Result, Tensor, bail};

use super::clip;
use super::contributions::Contributions;

/// Weights of a convolution up to which the gradients of samples are made whatever T is.
const SMALL: usize = 1 << 14;

/// The gradients of the losses of a batch, each sample's apart, as far as they have been made.
pub struct PerSample {
    parts: Vec<Part>,
    samples: usize,
}

/// The gradients in one parameter.
pub(super) enum Part {
    /// As inputs `[N, T, I]` and cotangents `[N, T, O]` of T linear maps.
    Outer { x: Tensor, g: Tensor },
    /// As inputs and cotangents of one convolution; norms by Gram matrices or by gradients.
    Windows { x: Tensor, g: Tensor, conv: Conv, kernel: [usize; 2], gram: bool },
    /// As numbers `[N, T]` of rows of a table and cotangents `[N, T, D]` of what was taken.
    Rows { rows: Tensor, g: Tensor, table: [usize; 2] },
    /// Made, `[N, ...shape]`.
    Each(Tensor),
    /// Made, in weights of a convolution, as rows with the channels last: `[N, O * kh * kw * C]`. Some kernels
    /// make them so, and their order matters to the sum alone.
    Made { rows: Tensor, weight: [usize; 4] },
}

impl PerSample {
    /// Of `losses` `[N]` with respect to tracked `params`, by one backward pass. A sample may meet a
    /// parameter several times (the two passes of TRADES): its gradient is the sum.
    ///
    /// # Errors
    /// As [`uses`], or a parameter is not used at all.
    pub fn of(losses: &Tensor, params: &[&Tensor]) -> Result<Self> {
        let [samples] = losses.shape()[..] else {
            bail!(Shape, "per-sample gradients: the losses are {}, not [N]", losses.shape());
        };
        let uses = uses(losses, params)?;
        let parts = params.iter().zip(uses).map(|(param, uses)| Part::new(uses, param, samples));
        Ok(PerSample { parts: parts.collect::<Result<_>>()?, samples })
    }

    /// Squared L2 norms `[N]` of the gradients in each parameter.
    ///
    /// # Errors
    /// The device failed.
    pub fn squared_norms(&self) -> Result<Vec<Tensor>> {
        let norms = self.parts.iter().map(|part| {
            let norms = part.squared_norms(self.samples);
            norms.check()?;
            Ok(norms)
        });
        norms.collect()
    }

    /// The sum over samples of `factors[n]` times the gradient of sample n, a tensor a parameter.
    ///
    /// # Errors
    /// `factors` is not `[N]`, or the device failed.
    pub fn weighted_sum(&self, factors: &Tensor) -> Result<Vec<Tensor>> {
        self.weighted_sums(&vec![factors.clone(); self.parts.len()])
    }

    /// The same with factors `[N]` for each parameter, as when layers are clipped by themselves.
    ///
    /// # Errors
    /// There are not as many as parameters, or as [`PerSample::weighted_sum`].
    pub fn weighted_sums(&self, factors: &[Tensor]) -> Result<Vec<Tensor>> {
        self.check_factors(factors, self.samples)?;
        let sums = self.parts.iter().zip(factors).map(|(part, factors)| {
            let sum = row_major(part.weighted_sum(factors));
            sum.check()?;
            Ok(sum)
        });
        sums.collect()
    }

    /// Checks factors `[count]` for each parameter.
    pub(super) fn check_factors(&self, factors: &[Tensor], count: usize) -> Result<()> {
        if factors.len() != self.parts.len() {
            bail!(Usage, "clip: {} factors for {} parameters", factors.len(), self.parts.len());
        }
        for factors in factors {
            if factors.check()?.shape()[..] != [count] {
                bail!(Shape, "clip: factors {} for {count} samples", factors.shape());
            }
        }
        Ok(())
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The gradients of a sample that are made when they are used, in bytes.
    pub(super) fn bytes_to_make(&self) -> usize {
        self.parts.iter().map(Part::bytes_to_make).sum()
    }

    /// What is held of the samples, in bytes.
    pub fn bytes(&self) -> usize {
        let held = |tensors: &[&Tensor]| tensors.iter().map(|t| t.aval().bytes()).sum::<usize>();
        let of = |part: &Part| match part {
            Part::Outer { x, g } | Part::Windows { x, g, .. } => held(&[x, g]),
            Part::Rows { rows, g, .. } => held(&[rows, g]),
            Part::Each(grads) | Part::Made { rows: grads, .. } => held(&[grads]),
        };
        self.parts.iter().map(of).sum()
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The sum over samples of their gradients, each clipped to `bound` in the L2 norm over all
    /// parameters.
    ///
    /// # Errors
    /// `bound` is not positive and finite, or the device failed.
    pub fn clipped_sum(&self, bound: f64) -> Result<Vec<Tensor>> {
        let parameters = self.parts.len();
        let mut sums = Contributions::default();
        sums.add(self, |norms| {
            let Some(total) = norms.into_iter().reduce(|a, b| a + b) else {
                bail!(Usage, "clip: there are no gradients");
            };
            Ok(vec![clip::factors(&total, bound)?; parameters])
        })?;
        sums.sums()
    }
}

impl Part {
    fn new(uses: Vec<Use>, param: &Tensor, samples: usize) -> Result<Self> {
        let pair = |of: &Use| match of {
            Use::Matrix { x, g } => Some((row(x), row(g))),
            _ => None,
        };
        let pairs: Option<(Vec<Tensor>, Vec<Tensor>)> = uses.iter().map(pair).collect();
        if let Some((x, g)) = pairs
            && let (Some(x), Some(g)) = (joined(&x), joined(&g))
        {
            return Ok(Part::Outer { x, g });
        }
        let taken = |of: &Use| match of {
            Use::Rows { rows, g } => Some((rows.clone(), g.clone())),
            _ => None,
        };
        let taken: Option<(Vec<Tensor>, Vec<Tensor>)> = uses.iter().map(taken).collect();
        if let Some((rows, g)) = taken
            && let (Some(rows), Some(g)) = (joined(&rows), joined(&g))
            && let [count, width] = param.shape()[..]
            && 2 * rows.dim(1) * rows.dim(1) < count * width
        {
            return Ok(Part::Rows { rows, g, table: [count, width] });
        }
        if let [Use::Conv { x, g, conv, kernel }] = &uses[..] {
            let pixels = g.dim(2) * g.dim(3);
            let size = param.shape().numel();
            let gram = size > SMALL && 2 * pixels * pixels < size;
            let (x, g) = (x.clone(), g.clone());
            return Ok(Part::Windows { x, g, conv: *conv, kernel: *kernel, gram });
        }
        let each = |of: &Use| each(of, param);
        let Some(sum) = uses.iter().map(each).reduce(|sum, next| sum + next) else {
            let mut shape: Axes = smallvec::smallvec![samples];
            shape.extend_from_slice(&param.shape());
            return Ok(Part::Each(Tensor::zeros(param.device(), param.dtype(), &shape)));
        };
        Ok(Part::Each(sum))
    }

    pub(super) fn squared_norms(&self, n: usize) -> Tensor {
        match self {
            Part::Outer { x, g } if x.dim(1) == 1 => {
                (x.square().sum(&[1, 2]) * g.square().sum(&[1, 2])).reshape(&[n])
            }
            // |sum_t g_t x_t^T|^2 = sum_(s,t) (g_s . g_t)(x_s . x_t).
            Part::Outer { x, g } => {
                let gram = |t: &Tensor| t.matmul_t(t, false, true);
                (gram(x) * gram(g)).sum(&[1, 2]).reshape(&[n])
            }
            Part::Windows { x, g, conv, kernel, gram: false } => {
                made(x, g, *conv, *kernel).squared_norms(n)
            }
            Part::Windows { x, g, conv, kernel, .. } => {
                // The same, x_t being the window of pixel t.
                let windows = x.unfold2d(conv.window(*kernel));
                let pixels = g.dim(2) * g.dim(3);
                let grouped = |t: &Tensor, rows: usize| {
                    t.reshape(&[n, conv.groups, rows / conv.groups, pixels])
                };
                let [x, g] = [grouped(&windows, windows.dim(1)), grouped(g, g.dim(1))];
                let gram = |t: &Tensor| t.matmul_t(t, true, false);
                (gram(&x) * gram(&g)).sum(&[1, 2, 3]).reshape(&[n])
            }
            // Two takes of the same row add up, others are apart: the same, with x of unit vectors.
            Part::Rows { rows, g, .. } => {
                let length = rows.dim(1);
                let [a, b] = [[n, length, 1], [n, 1, length]].map(|shape| rows.reshape(&shape));
                let same = a.eq(&b).cast(g.dtype());
                (same * g.matmul_t(g, false, true)).sum(&[1, 2]).reshape(&[n])
            }
            Part::Each(grads) | Part::Made { rows: grads, .. } => {
                let width = grads.shape()[1..].iter().product();
                let row = grads.reshape(&[n, 1, width]);
                row.matmul_t(&row, false, true).reshape(&[n])
            }
        }
    }

    /// Squared norms `[n]` where they need no gradients that have to be made.
    pub(super) fn held_norms(&self, n: usize) -> Option<Tensor> {
        let makes = matches!(self, Part::Windows { gram: false, .. });
        (!makes).then(|| self.squared_norms(n))
    }

    /// The gradients of `count` samples from `start` on, if they have to be made for their norms.
    pub(super) fn made(&self, start: usize, count: usize) -> Option<Part> {
        let Part::Windows { x, g, conv, kernel, gram: false } = self else { return None };
        let [x, g] = [x, g].map(|t| t.narrow(0, start, count));
        Some(made(&x, &g, *conv, *kernel))
    }

    /// What [`Part::made`] takes for a sample.
    fn bytes_to_make(&self) -> usize {
        let Part::Windows { x, g, conv, kernel: [height, width], gram: false } = self else {
            return 0;
        };
        let weights = g.dim(1) * (x.dim(1) / conv.groups) * height * width;
        weights * x.dtype().size()
    }

    /// The sum of `factors[n]` times the gradient of sample n, in whatever order it comes in memory.
    pub(super) fn weighted_sum(&self, factors: &Tensor) -> Tensor {
        let n = factors.dim(0);
        match self {
            Part::Outer { x, g } => {
                let flat = |t: &Tensor| t.reshape(&[n * t.dim(1), t.dim(2)]);
                contracted(&flat(x), &flat(&(g * &factors.reshape(&[n, 1, 1]))))
            }
            Part::Windows { x, g, conv, kernel, .. } => {
                x.conv2d_dw(&(g * &factors.reshape(&[n, 1, 1, 1])), *conv, *kernel)
            }
            Part::Rows { rows, g, table } => {
                let taken = n * rows.dim(1);
                let scaled = (g * &factors.reshape(&[n, 1, 1])).reshape(&[taken, table[1]]);
                let zeros = Tensor::zeros(g.device(), g.dtype(), table);
                zeros.put_add(0, &rows.reshape(&[taken]), &scaled)
            }
            Part::Each(grads) => combined(factors, grads),
            Part::Made { rows, weight } => {
                combined(factors, rows).reshape(weight).permute(&[0, 3, 1, 2])
            }
        }
    }
}

/// The same in row-major order, as the weights are: through a row, which is a view of what lies so already.
pub(super) fn row_major(t: Tensor) -> Tensor {
    t.reshape(&[t.shape().numel()]).reshape_to(t.shape())
}

fn made(x: &Tensor, g: &Tensor, conv: Conv, kernel: [usize; 2]) -> Part {
    let grads = x.conv_weight_grads(g, conv, kernel).permute(&[0, 1, 3, 4, 2]);
    let [n, weight @ ..] = std::array::from_fn::<_, 5, _>(|axis| grads.dim(axis));
    Part::Made { rows: grads.reshape(&[n, weight.iter().product()]), weight }
}

/// The sum of `factors[n]` times what `grads` `[N, ...]` has of sample n.
fn combined(factors: &Tensor, grads: &Tensor) -> Tensor {
    let (n, shape) = (factors.dim(0), grads.shape());
    let rows = grads.reshape(&[n, shape[1..].iter().product()]);
    factors.reshape(&[1, n]).matmul(&rows).reshape(&shape[1..])
}

/// The gradient of each sample in `param` through one use, `[N, ...]`.
fn each(of: &Use, param: &Tensor) -> Tensor {
    match of {
        Use::Matrix { x, g } => {
            let (n, i, o) = (x.dim(0), x.dim(1), g.dim(1));
            g.reshape(&[n, o, 1]).matmul(&x.reshape(&[n, 1, i]))
        }
        Use::Conv { x, g, conv, kernel } => x.conv_weight_grads(g, *conv, *kernel),
        Use::Each { grads } => grads.clone(),
        Use::Rows { rows, g } => {
            let (n, length, count) = (rows.dim(0), rows.dim(1), param.dim(0));
            let taken = rows.one_hot(count, g.dtype()).reshape(&[n, length, count]);
            taken.matmul_t(g, true, false)
        }
        Use::Bias { g } => {
            let behind: Axes = (2..g.shape().rank()).collect();
            g.sum(&behind).reshape(&[g.dim(0), g.dim(1)])
        }
    }
}

/// The sum of `g_r x_r^T` over rows `[R, I]` and `[R, O]`, `[O, I]`.
pub(super) fn contracted(x: &Tensor, g: &Tensor) -> Tensor {
    g.matmul_t(x, true, false)
}

/// `[N, I]` as `[N, 1, I]`.
fn row(x: &Tensor) -> Tensor {
    x.reshape(&[x.dim(0), 1, x.dim(1)])
}

/// Tensors `[N, 1, I]` as one along the second axis, if there is any.
fn joined(rows: &[Tensor]) -> Option<Tensor> {
    match rows.split_first()? {
        (one, []) => Some(one.clone()),
        (first, others) => Some(first.concat(others, 1)),
    }
}
