//! Which samples each step of an epoch gets.
//!
//! Batches from a shuffle see every sample once an epoch. Under differential privacy the accountants
//! count on Poisson sampling: a sample joins each batch on its own coin, so that a batch says nothing
//! of the next, and may be empty.

use crate::dp::accounting::Sampling;
use crate::rng::Rng;

/// How the batches of a training are drawn.
pub(super) struct Batches {
    pub(super) sampling: Sampling,
    /// Samples to draw from.
    pub(super) samples: usize,
    /// Samples of a batch; under Poisson sampling their expected number.
    pub(super) size: usize,
    pub(super) rng: Rng,
}

impl Batches {
    /// Steps of an epoch.
    pub(super) fn steps(&self) -> usize {
        self.samples.div_ceil(self.size)
    }

    /// Probability with which a sample is in a batch.
    pub(super) fn rate(&self) -> f64 {
        (self.size as f64 / self.samples as f64).min(1.0)
    }

    /// Places in the data of the samples of each batch of epoch `epoch`, a batch at a time.
    pub(super) fn epoch(&self, epoch: usize) -> Box<dyn Iterator<Item = Vec<usize>>> {
        let (samples, size, rate) = (self.samples, self.size, self.rate());
        let rng = self.rng.child(self.stream()).index(epoch as u64);
        let steps = 0..self.steps();
        match self.sampling {
            Sampling::Shuffled => {
                let order = rng.clone().permutation(samples);
                let end = move |start: usize| (start + size).min(samples);
                Box::new(steps.map(move |i| order[i * size..end(i * size)].to_vec()))
            }
            Sampling::Poisson => Box::new(steps.map(move |i| {
                let mut rng = rng.index(i as u64);
                (0..samples).filter(|_| rng.bernoulli(rate)).collect()
            })),
            Sampling::Fixed => {
                Box::new(steps.map(move |i| rng.index(i as u64).choose(samples, size.min(samples))))
            }
        }
    }

    fn stream(&self) -> &'static str {
        match self.sampling {
            Sampling::Shuffled => "order",
            Sampling::Poisson => "poisson",
            Sampling::Fixed => "fixed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(sampling: Sampling, samples: usize, size: usize) -> Batches {
        Batches { sampling, samples, size, rng: Rng::new(3) }
    }

    #[test]
    fn a_shuffle_has_every_sample_once() {
        let batches = batches(Sampling::Shuffled, 10, 4);
        let epoch: Vec<Vec<usize>> = batches.epoch(1).collect();
        let sizes: Vec<usize> = epoch.iter().map(Vec::len).collect();
        assert_eq!(sizes, [4, 4, 2]);
        let mut all = epoch.concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_ne!(epoch, batches.epoch(2).collect::<Vec<_>>());
    }

    #[test]
    fn fixed_batches_have_their_size_and_no_sample_twice() {
        for mut batch in batches(Sampling::Fixed, 10, 4).epoch(1) {
            batch.sort_unstable();
            batch.dedup();
            assert_eq!(batch.len(), 4);
        }
    }

    /// Over 20,000 steps: each sample joins at the rate, a batch has the variance of independent
    /// coins, two samples join together as often as independent ones, empty batches come as often as
    /// they must. Bounds are five standard errors.
    #[test]
    fn poisson_sampling_is_independent_coins() {
        let (n, size, epochs) = (8, 2, 5000);
        let (batches, q) = (batches(Sampling::Poisson, n, size), 0.25);
        let (mut joined, mut pair, mut empty, mut squares) = (vec![0.0; n], 0.0, 0.0, 0.0);
        let steps = (epochs * batches.steps()) as f64;
        for batch in (1..=epochs).flat_map(|epoch| batches.epoch(epoch)) {
            batch.iter().for_each(|&i| joined[i] += 1.0);
            pair += f64::from(u8::from(batch.contains(&2) && batch.contains(&5)));
            empty += f64::from(u8::from(batch.is_empty()));
            squares += (batch.len() as f64 - size as f64).powi(2);
        }
        let near =
            |count: f64, p: f64| (count / steps - p).abs() < 5.0 * (p * (1.0 - p) / steps).sqrt();
        assert!(joined.iter().all(|&count| near(count, q)), "{joined:?} of {steps}");
        assert!(near(pair, q * q), "{pair} of {steps}");
        assert!(near(empty, (1.0 - q).powi(n as i32)), "{empty} of {steps}");
        let variance = n as f64 * q * (1.0 - q);
        assert!((squares / steps / variance - 1.0).abs() < 0.06, "{}", squares / steps);
    }

    #[test]
    fn whole_batches_have_everybody() {
        let whole = batches(Sampling::Poisson, 5, 5);
        assert_eq!((whole.steps(), whole.rate()), (1, 1.0));
        assert!(whole.epoch(1).all(|batch| batch == [0, 1, 2, 3, 4]));
    }
}
