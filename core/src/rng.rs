//! Seeded randomness that is addressed, not consumed.
//!
//! A stream is named by a path of tags and numbers from the seed (`seed / "order" / epoch 3`), so
//! what is drawn in one place never depends on how much was drawn in another, on batch size, on
//! thread count or on the backend: everything random is drawn here, on the host, and uploaded.
//!
//! Built on ChaCha8, a counter-based generator. A key is 256 bits. The key of a child is the start
//! of the parent's keystream number `n`, with `n` the index or a hash of the tag; the stream number
//! zero is for drawing, and the top bit tells tags from indices, so the three never meet.

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Exp1, StandardNormal};

/// A stream of random numbers with a name.
#[derive(Clone, Debug)]
pub struct Rng {
    key: [u8; 32],
    stream: ChaCha8Rng,
}

const TAG: u64 = 1 << 63;

impl Rng {
    /// The root stream of a seed.
    pub fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self::from_key(key)
    }

    fn from_key(key: [u8; 32]) -> Self {
        Rng { key, stream: ChaCha8Rng::from_seed(key) }
    }

    fn derive(&self, number: u64) -> Self {
        let mut stream = ChaCha8Rng::from_seed(self.key);
        stream.set_stream(number);
        let mut key = [0; 32];
        stream.fill_bytes(&mut key);
        Self::from_key(key)
    }

    /// The stream named `tag` below this one, whatever has been drawn from this one.
    #[must_use]
    pub fn child(&self, tag: &str) -> Self {
        self.derive(fnv1a(tag) | TAG)
    }

    /// The stream number `i` below this one, for `i < 2^63 - 1`.
    #[must_use]
    pub fn index(&self, i: u64) -> Self {
        self.derive((i + 1) & !TAG)
    }

    /// Uniform in `[lo, hi)`.
    pub fn uniform(&mut self, lo: f64, hi: f64) -> f64 {
        lo + (hi - lo) * self.stream.random::<f64>()
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.stream)
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        Exp1.sample(&mut self.stream)
    }

    /// True with probability `p`.
    pub fn bernoulli(&mut self, p: f64) -> bool {
        self.stream.random::<f64>() < p
    }

    /// Uniform in `0..n`; 0 for `n = 0`.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { self.stream.random_range(0..n as u64) as usize }
    }

    /// Fills with uniform values in `[lo, hi)`.
    pub fn fill_uniform(&mut self, out: &mut [f32], lo: f32, hi: f32) {
        out.iter_mut().for_each(|v| *v = lo + (hi - lo) * self.stream.random::<f32>());
    }

    /// Fills with standard normal values.
    pub fn fill_normal(&mut self, out: &mut [f32]) {
        out.iter_mut().for_each(|v| *v = StandardNormal.sample(&mut self.stream));
    }

    /// `0..n` in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        self.choose(n, n)
    }

    /// `k` distinct numbers of `0..n` in random order (all of them if `k > n`).
    pub fn choose(&mut self, n: usize, k: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        for i in 0..k.min(n) {
            let j = i + self.below(n - i);
            all.swap(i, j);
        }
        all.truncate(k);
        all
    }
}

/// 64-bit FNV-1a.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_do_not_depend_on_what_was_drawn() {
        let parent = Rng::new(7);
        let mut drawn = parent.clone();
        let _ = drawn.uniform(0.0, 1.0);
        assert_eq!(drawn.child("order").below(1 << 40), parent.child("order").below(1 << 40));
        assert_ne!(parent.child("a").below(1 << 40), parent.child("b").below(1 << 40));
        assert_ne!(parent.index(0).below(1 << 40), parent.index(1).below(1 << 40));
        assert_ne!(parent.index(0).below(1 << 40), parent.clone().below(1 << 40));
    }

    /// A change of these values changes every seeded result: it belongs in the changelog.
    #[test]
    fn first_values_stay_as_they_are() {
        let mut rng = Rng::new(1).child("pinned").index(2);
        let got = [rng.uniform(0.0, 1.0), rng.normal(), rng.exponential()];
        assert_eq!(rng.permutation(5).len(), 5);
        assert_eq!(got.map(|v| (v * 1e6).round() as i64), [0, 0, 0]);
    }

    #[test]
    fn moments() {
        let mut rng = Rng::new(3);
        let n = 200_000;
        let draws: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let var = draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.01 && (var - 1.0).abs() < 0.015, "{mean} {var}");
        let exp = (0..n).map(|_| rng.exponential()).sum::<f64>() / f64::from(n);
        assert!((exp - 1.0).abs() < 0.01, "{exp}");
        let mut out = vec![0f32; 10_000];
        rng.fill_uniform(&mut out, -0.5, 0.25);
        assert!(out.iter().all(|v| (-0.5..0.25).contains(v)));
    }

    #[test]
    fn permutations_are_uniform() {
        let mut rng = Rng::new(5);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..24_000 {
            *counts.entry(rng.permutation(4)).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        // Chi-square with 23 degrees of freedom: above 60 has probability below 1e-4.
        let chi: f64 = counts.values().map(|&c| (f64::from(c) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 60.0, "{chi}");
    }
}
