//! The strongest experiment: canaries in gradient space, and an auditor who sees every update.
//!
//! Each canary has a direction to itself (a Dirac gradient), so canaries do not disturb each other,
//! and against Gaussian noise the sum over the steps of the update along its direction is the best
//! score that there is. Real samples would only add what the auditor can subtract: that he knows all
//! of them is part of the definition of privacy. So there are none here.

use crate::dp::ghost::PerSample;
use crate::dp::mechanism::Mechanism;
use crate::dp::noise::Secret;
use crate::rng::Rng;
use crate::{DType, Device, Result, Tensor, bail};

/// Canaries, and how often they are looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Canaries {
    /// m, their number.
    pub count: usize,
    /// T, the updates that are released.
    pub steps: u64,
    /// q, the probability with which a canary that is in the data joins a batch.
    pub sampling_rate: f64,
}

impl Canaries {
    /// Refuses what is no experiment.
    ///
    /// # Errors
    /// There is no canary, or the sampling rate is no probability.
    pub fn check(&self) -> Result<()> {
        if self.count == 0 {
            bail!(Config, "audit: 0 canaries show nothing; take 1000, say");
        }
        if !(0.0..=1.0).contains(&self.sampling_rate) {
            bail!(Config, "audit: sampling rate {} must be in [0, 1]", self.sampling_rate);
        }
        Ok(())
    }
}

/// Which of `count` canaries are in the data: a fair coin each, independently.
pub fn coins(count: usize, rng: &Rng) -> Vec<bool> {
    let mut rng = rng.child("coins");
    (0..count).map(|_| rng.bernoulli(0.5)).collect()
}

/// The scores `[M]` of the canaries after all steps. `release` is the mechanism: it gets the number
/// of a step and the canaries in its batch, in order, and returns the update along each canary's
/// direction, `[M]`. Batches are drawn by Poisson sampling from the canaries whose coin is true.
///
/// # Errors
/// As [`Canaries::check`], there is not a coin and a value for each canary, or `release` failed.
pub fn gradient_canaries(
    canaries: &Canaries,
    coins: &[bool],
    sampling: &Secret,
    mut release: impl FnMut(u64, &[usize]) -> Result<Vec<f64>>,
) -> Result<Vec<f64>> {
    canaries.check()?;
    let count = canaries.count;
    if coins.len() != count {
        bail!(Usage, "audit: {} coins for {count} canaries; toss one each", coins.len());
    }
    let mut scores = vec![0.0; count];
    for step in 0..canaries.steps {
        let mut draws = sampling.stream(step);
        let batch: Vec<usize> =
            (0..count).filter(|i| coins[*i] && draws.bernoulli(canaries.sampling_rate)).collect();
        let along = release(step, &batch)?;
        if along.len() != count {
            bail!(Usage, "audit: {} values of an update for {count} canaries", along.len());
        }
        scores.iter_mut().zip(along).for_each(|(score, value)| *score += value);
    }
    Ok(scores)
}

/// One release of the real `mechanism` on `device`: canary i of `batch` has the gradient
/// `norm` e_i, and the noisy mean is returned along every e_i, `[count]`, in units of the mechanism's
/// bound over its expected batch.
///
/// The gradients are those of a linear model with one output, so they go the way of every other
/// gradient: backwards through the graph, ghost norms, clipping, the sum, noise.
///
/// # Errors
/// A canary of the batch is not below `count`, or the mechanism failed.
pub fn dirac_update(
    device: &Device,
    mechanism: &Mechanism,
    norm: f64,
    count: usize,
    batch: &[usize],
    noise: &Rng,
) -> Result<Vec<f64>> {
    let mut rows = vec![0.0; batch.len() * count];
    for (row, &canary) in rows.chunks_mut(count.max(1)).zip(batch) {
        let Some(value) = row.get_mut(canary) else {
            bail!(Usage, "audit: there is no canary {canary} among {count}");
        };
        *value = norm;
    }
    let x = Tensor::from_f64(device, DType::F32, &rows, &[batch.len(), count])?;
    let weight = Tensor::zeros(device, DType::F32, &[1, count]).tracked();
    let losses = x.matmul_t(&weight, false, true).reshape(&[batch.len()]);
    let gradients = PerSample::of(&losses, &[&weight])?;
    let mean = mechanism.mean(&gradients, noise)?;
    let unit = mechanism.bound / mechanism.expected_batch;
    let values = mean.iter().map(Tensor::to_f64_vec).collect::<Result<Vec<_>>>()?;
    Ok(values.concat().into_iter().map(|v| v / unit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_only_those_that_are_in_at_their_rate() {
        let canaries = Canaries { count: 1000, steps: 50, sampling_rate: 0.3 };
        let coins = coins(canaries.count, &Rng::new(1));
        let mut seen = vec![0.0; canaries.count];
        let secret = Secret::seeded(&Rng::new(2));
        let scores = gradient_canaries(&canaries, &coins, &secret, |_, batch| {
            assert!(batch.is_sorted());
            batch.iter().for_each(|i| seen[*i] += 1.0);
            Ok((0..1000).map(|i| f64::from(u8::from(batch.contains(&i)))).collect())
        })
        .unwrap();
        assert_eq!(scores, seen);
        assert!(seen.iter().zip(&coins).all(|(n, coin)| *coin || *n == 0.0));
        let inside = coins.iter().filter(|c| **c).count() as f64;
        let expected = inside * 50.0 * 0.3;
        let found: f64 = seen.iter().sum();
        assert!((found - expected).abs() < 4.0 * (expected * 0.7).sqrt(), "{found} {expected}");
        assert!((inside - 500.0).abs() < 4.0 * 250.0_f64.sqrt(), "{inside}");
    }

    #[test]
    fn experiments_that_fit_nothing_are_refused() {
        let secret = Secret::seeded(&Rng::new(2));
        let canaries = Canaries { count: 2, steps: 1, sampling_rate: 1.0 };
        let run = |canaries: Canaries, coins: &[bool], values: usize| {
            gradient_canaries(&canaries, coins, &secret, |_, _| Ok(vec![0.0; values])).is_err()
        };
        assert!(!run(canaries, &[true, false], 2));
        assert!(run(canaries, &[true], 2));
        assert!(run(canaries, &[true, false], 3));
        assert!(run(Canaries { count: 0, ..canaries }, &[], 0));
        assert!(run(Canaries { sampling_rate: 1.5, ..canaries }, &[true, false], 2));
    }
}
