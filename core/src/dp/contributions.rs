//! What the samples of a step contribute, over the portions in which a batch is worked through.
//!
//! Each portion could give its sums, to be added up. For a large linear layer that is the dear way:
//! the sum is as large as the weight, however few the samples, and is written and read again for each
//! portion. Inputs and cotangents of few samples are smaller than the weight. So they are kept, scaled,
//! until they would be larger, or the batch ends, and contracted at once. A batch in portions then
//! costs what it costs as a whole.
//!
//! Gradients in weights of convolutions, made of each sample, would be more than all else of a step. So
//! they are made of a few samples at a time, from what the pass over the portion left, and are in a cache
//! still when their norms and then their sum are taken. What clips is asked once for each of these few.

use crate::{Result, Tensor, bail};

use super::ghost::{Part, PerSample, contracted, row_major};

/// What is held of the samples of a portion between its pass and their sums: whole batches of networks for
/// small images, whose pass is cheapest at once, and a bound on the memory of others.
const HELD_BYTES: usize = 64 << 20;

/// Gradients of samples that are there at a time: by measurement, what passes from kernel to kernel
/// through second and last caches.
const MADE_BYTES: usize = 10 << 20;

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
pub struct Contributions {
    params: Vec<Pending>,
    samples: usize,
    made_bytes: usize,
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

impl Default for Contributions {
    fn default() -> Self {
        Contributions::within(MADE_BYTES)
    }
}

impl Contributions {
    /// Of nobody yet; gradients of samples take `made_bytes` at a time, or are of one sample.
    pub fn within(made_bytes: usize) -> Self {
        Contributions { params: Vec::new(), samples: 0, made_bytes }
    }

    /// Adds `factors[p][n]` times the gradient of sample n in parameter p. For some samples at a time, in
    /// order, `factors` is given the squared norms `[n]` of their gradients in each parameter, and gives
    /// factors `[n]` for each parameter.
    ///
    /// # Errors
    /// The parameters are not those of earlier portions, factors do not fit, or the device failed.
    pub fn add(
        &mut self,
        each: &PerSample,
        mut factors: impl FnMut(Vec<Tensor>) -> Result<Vec<Tensor>>,
    ) -> Result<()> {
        let (parts, samples) = (each.parts(), each.samples());
        if self.samples > 0 && self.params.len() != parts.len() {
            bail!(Usage, "clip: {} parameters after {}", parts.len(), self.params.len());
        }
        self.params.resize_with(parts.len(), Pending::default);
        let held_norms = parts.iter().map(|part| part.held_norms(samples)).collect::<Vec<_>>();
        let mut of_held = vec![Vec::new(); parts.len()];
        let size = portion(samples, self.made_bytes / each.bytes_to_make().max(1));
        // Once for nobody, whose sums are zeros.
        for start in (0..samples.max(1)).step_by(size) {
            let count = size.min(samples - start);
            let made = parts.iter().map(|part| part.made(start, count)).collect::<Vec<_>>();
            let factors = factors(norms_of_some(&made, &held_norms, start, count)?)?;
            each.check_factors(&factors, count)?;
            for (param, (made, factors)) in made.iter().zip(factors).enumerate() {
                match made {
                    Some(part) => self.params[param].add(part, &factors)?,
                    None => of_held[param].push(factors),
                }
            }
        }
        for ((pending, part), factors) in self.params.iter_mut().zip(parts).zip(of_held) {
            if !factors.is_empty() {
                pending.add(part, &joined(factors))?;
            }
        }
        self.samples += samples;
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
            contracted.map(|()| pending.sum.map(row_major)).transpose()
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

/// Squared norms `[count]` of the gradients of the samples from `start` on: made, or from what is held of
/// all samples.
fn norms_of_some(
    made: &[Option<Part>],
    held: &[Option<Tensor>],
    start: usize,
    count: usize,
) -> Result<Vec<Tensor>> {
    let norms = made.iter().zip(held).filter_map(|(made, held)| match (made, held) {
        (Some(made), _) => Some(made.squared_norms(count)),
        (None, Some(all)) if all.dim(0) == count => Some(all.clone()),
        (None, all) => all.as_ref().map(|all| all.narrow(0, start, count)),
    });
    norms.map(|norms| norms.check().cloned()).collect()
}

/// Tensors as one along the first axis.
fn joined(rows: Vec<Tensor>) -> Tensor {
    match &rows[..] {
        [one] => one.clone(),
        [first, others @ ..] => first.concat(others, 0),
        [] => unreachable!("nothing is joined"),
    }
}
