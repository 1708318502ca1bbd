//! What the samples of a step contribute, over the portions in which a batch is worked through.
//!
//! Each portion could give its sums, to be added up. For a large linear layer that is the dear way:
//! the sum is as large as the weight, however few the samples, and is written and read again for each
//! portion. Inputs and cotangents of few samples are smaller than the weight. So they are kept, scaled,
//! until they would be larger, or the batch ends, and contracted at once. A batch in portions then
//! costs what it costs as a whole.
//!
//! Portions are there for what is held of each sample between the pass and the sum, mostly gradients in
//! weights of convolutions: of a whole batch that is more than all else of a step, and no longer fits
//! any cache. [`capacity`] is as many samples as do; of a small network that is the whole batch.

use crate::{Result, Tensor, bail};

use super::ghost::{Part, PerSample, contracted};

/// What is held of the samples of a portion: what last caches hold beside the weights.
const HELD_BYTES: usize = 16 << 20;

/// The most samples of a portion that are usual, given what is held of each ([`PerSample::bytes`]).
pub fn capacity(bytes: usize) -> usize {
    (HELD_BYTES / bytes.max(1)).max(1)
}

/// Samples of each portion but the last of a batch of `samples`, if one takes `capacity` at most: as many
/// portions as it needs, all of about one size, since the pass of a small remainder costs little less.
pub fn portion(samples: usize, capacity: usize) -> usize {
    let portions = samples.div_ceil(capacity.max(1)).max(1);
    samples.div_ceil(portions).max(1)
}

/// Sums over samples of scaled gradients, for each parameter, as far as they have been made.
#[derive(Default)]
pub struct Contributions {
    params: Vec<Pending>,
    samples: usize,
}

/// The sum in one parameter.
#[derive(Default)]
struct Pending {
    /// What has been summed.
    sum: Option<Tensor>,
    /// Inputs `[rows, I]` of a linear layer that have not been.
    x: Vec<Tensor>,
    /// Their cotangents `[rows, O]`, scaled.
    g: Vec<Tensor>,
}

impl Contributions {
    /// Adds `factors[p][n]` times the gradient of sample n in parameter p: factors `[N]` for each
    /// parameter.
    ///
    /// # Errors
    /// The parameters are not those of earlier portions, `factors` do not fit, or the device failed.
    pub fn add(&mut self, each: &PerSample, factors: &[Tensor]) -> Result<()> {
        each.check_factors(factors)?;
        let parts = each.parts();
        if self.samples > 0 && self.params.len() != parts.len() {
            bail!(Usage, "clip: {} parameters after {}", parts.len(), self.params.len());
        }
        self.params.resize_with(parts.len(), Pending::default);
        for ((pending, part), factors) in self.params.iter_mut().zip(parts).zip(factors) {
            pending.add(part, factors)?;
        }
        self.samples += each.samples();
        Ok(())
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The sums, a tensor a parameter; none if nothing was added.
    ///
    /// # Errors
    /// The device failed.
    pub fn sums(self) -> Result<Vec<Tensor>> {
        let sums = self.params.into_iter().filter_map(|mut pending| {
            let contracted = pending.contract();
            contracted.map(|()| pending.sum).transpose()
        });
        sums.collect()
    }
}

impl Pending {
    fn add(&mut self, part: &Part, factors: &Tensor) -> Result<()> {
        let Part::Outer { x, g } = part else { return self.put(part.weighted_sum(factors)) };
        let rows = |t: &Tensor| t.reshape(&[t.dim(0) * t.dim(1), t.dim(2)]);
        self.x.push(rows(x));
        self.g.push(rows(&(g * &factors.reshape(&[factors.dim(0), 1, 1]))));
        let kept = |of: &[Tensor]| of.iter().map(|t| t.shape().numel()).sum::<usize>();
        if kept(&self.x) + kept(&self.g) >= x.dim(2) * g.dim(2) {
            self.contract()?;
        }
        Ok(())
    }

    /// Sums what has been kept.
    fn contract(&mut self) -> Result<()> {
        let [x, g] = [&mut self.x, &mut self.g].map(std::mem::take);
        match x.is_empty() {
            true => Ok(()),
            false => self.put(contracted(&joined(x), &joined(g))),
        }
    }

    fn put(&mut self, sum: Tensor) -> Result<()> {
        let sum = match self.sum.take() {
            None => sum,
            Some(before) => before + sum,
        };
        self.sum = Some(sum.check()?.clone());
        Ok(())
    }
}

/// Tensors `[rows, I]` as one.
fn joined(rows: Vec<Tensor>) -> Tensor {
    match &rows[..] {
        [one] => one.clone(),
        [first, others @ ..] => first.concat(others, 0),
        [] => unreachable!("nothing is joined"),
    }
}
