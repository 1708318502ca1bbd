//! Seeded randomness whose streams do not depend on the order of use.
//!
//! Every random choice of a run (initial weights, batch order, random starts, DP noise) comes from
//! one seed. If all of it were drawn from one generator, an extra draw in an attack would change
//! the weights of the next run. So a generator here is a key, and [`Rng::child`] and [`Rng::index`]
//! derive further keys from the key alone: `rng.child("noise").index(step)` is the same stream
//! whatever else was drawn, on any thread. Randomness is drawn on the host and uploaded, so every
//! backend sees the same bits.
//!
//! # Derivation
//!
//! ChaCha8 maps (256-bit key, 64-bit nonce, 64-bit block counter) to a block of 64 bytes.
//! * Draws read nonce 0 from counter 0 upwards.
//! * Derived keys are the first 32 bytes of blocks whose counter has its top bit set, where draws
//!   cannot arrive: a word `w` of domain `d` gives the key `block(key, nonce = w, 2^63 + d)`.
//! * `index(i)` is one step with `w = i` in the index domain. `child(tag)` is one step with the
//!   length of the tag and one for each 8 bytes of it (little-endian, padded with zeros). The length
//!   comes first, so no tag's chain is the beginning of another's: the cascade construction of
//!   Bellare, Canetti and Krawczyk (1996, "Pseudorandom functions revisited"), which is
//!   pseudorandom if the block function is.
//! * `new(seed)` takes the key `seed || "inocula rng, version 1"`.
//!
//! The alternative, hashing tags into a fresh 64-bit seed, would make collisions of streams likely
//! after 2^32 of them, and the batches, samples and steps of a long run are that many.
//!
//! A run that publishes a model with a privacy guarantee must keep its noise secret: take
//! [`Rng::from_key`] with 32 bytes of the operating system's entropy, because a seed that can be
//! guessed lets the noise be subtracted.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use rand_distr::{Distribution, Exp1, StandardNormal};

/// The upper part of the key of [`Rng::new`]. Changing it changes every stream of every run.
const KEY_DOMAIN: &[u8; 24] = b"inocula rng, version 1\0\0";

/// What a derivation word stands for. Part of the block counter, so the domains never meet.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Domain {
    Index = 0,
    TagLength = 1,
    TagBytes = 2,
}

/// A stream of random numbers, and a key from which independent streams are derived.
///
/// See the [module](self) for the derivation.
#[derive(Clone)]
pub struct Rng {
    key: [u8; 32],
    stream: ChaCha8Rng,
}

impl Rng {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..].copy_from_slice(KEY_DOMAIN);
        Rng::from_key(key)
    }

    /// The generator of a key: for noise that must stay secret, 32 bytes of system entropy.
    pub fn from_key(key: [u8; 32]) -> Self {
        Rng { key, stream: ChaCha8Rng::from_seed(key) }
    }

    /// The independent generator that belongs to `tag`, whatever was drawn from this one.
    #[must_use]
    pub fn child(&self, tag: &str) -> Rng {
        let start = derive(self.key, Domain::TagLength, tag.len() as u64);
        let key = tag.as_bytes().chunks(8).fold(start, |key, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            derive(key, Domain::TagBytes, u64::from_le_bytes(word))
        });
        Rng::from_key(key)
    }

    /// The independent generator number `i`: of a sample, a step, an epoch, a client.
    #[must_use]
    pub fn index(&self, i: u64) -> Rng {
        Rng::from_key(derive(self.key, Domain::Index, i))
    }

    /// A number of `[lo, hi)` in steps of `(hi - lo) / 2^53`; `lo` when the interval is empty.
    ///
    /// # Panics
    /// When `hi < lo`, or `hi - lo` is not finite.
    pub fn uniform(&mut self, lo: f64, hi: f64) -> f64 {
        let width = hi - lo;
        assert!(width >= 0.0 && width.is_finite(), "rng: [{lo}, {hi}) is not an interval");
        // Rounding may carry the largest fractions up to `hi` itself.
        (lo + width * self.fraction()).min(hi.next_down()).max(lo)
    }

    /// A number of the standard normal distribution (ziggurat).
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.stream)
    }

    /// A number of the exponential distribution of mean 1 (ziggurat).
    pub fn exponential(&mut self) -> f64 {
        Exp1.sample(&mut self.stream)
    }

    /// Whether an event of probability `p` happens: never for `p <= 0`, always for `p >= 1`.
    pub fn bernoulli(&mut self, p: f64) -> bool {
        self.fraction() < p
    }

    /// One of `0..n`, each with exactly the same probability (Lemire 2019, "Fast random integer
    /// generation in an interval").
    ///
    /// # Panics
    /// When `n` is zero.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "rng: there is no number below zero to draw");
        let n = n as u64;
        loop {
            let product = u128::from(self.stream.next_u64()) * u128::from(n);
            let (high, low) = ((product >> 64) as u64, product as u64);
            // `2^64 mod n` of the low halves are surplus; only a low half below `n` can be one.
            if low >= n || low >= n.wrapping_neg() % n {
                return high as usize;
            }
        }
    }

    /// Fills `out` with numbers of `[lo, hi)` in steps of `(hi - lo) / 2^24`.
    ///
    /// # Panics
    /// When `hi < lo`, or `hi - lo` is not finite.
    pub fn fill_uniform(&mut self, out: &mut [f32], lo: f32, hi: f32) {
        let width = hi - lo;
        assert!(width >= 0.0 && width.is_finite(), "rng: [{lo}, {hi}) is not an interval");
        let last = hi.next_down();
        for value in out {
            let fraction = (self.stream.next_u32() >> 8) as f32 * (1.0 / (1u32 << 24) as f32);
            *value = (lo + width * fraction).min(last).max(lo);
        }
    }

    /// Fills `out` with numbers of the standard normal distribution.
    pub fn fill_normal(&mut self, out: &mut [f32]) {
        for value in out {
            *value = self.normal() as f32;
        }
    }

    /// Puts `items` into a random order, each order equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// The numbers `0..n` in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }

    /// `k` different ones of `0..n` in random order, each choice and order equally likely.
    ///
    /// # Panics
    /// When `k > n`.
    pub fn choose(&mut self, n: usize, k: usize) -> Vec<usize> {
        assert!(k <= n, "rng: cannot choose {k} different numbers out of {n}");
        let mut order: Vec<usize> = (0..n).collect();
        for first in 0..k {
            order.swap(first, first + self.below(n - first));
        }
        order.truncate(k);
        order
    }

    /// A multiple of `2^-53` in `[0, 1)`.
    fn fraction(&mut self) -> f64 {
        (self.stream.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

impl std::fmt::Debug for Rng {
    /// Without the key, because a log must not give the noise away.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rng").finish_non_exhaustive()
    }
}

/// One step of the derivation: 32 bytes of a block that draws never reach.
fn derive(key: [u8; 32], domain: Domain, word: u64) -> [u8; 32] {
    const WORDS_PER_BLOCK: u128 = 16;
    let mut cipher = ChaCha8Rng::from_seed(key);
    cipher.set_stream(word);
    cipher.set_word_pos(((1u128 << 63) + domain as u128) * WORDS_PER_BLOCK);
    let mut derived = [0; 32];
    cipher.fill_bytes(&mut derived);
    derived
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(mut rng: Rng) -> u64 {
        rng.stream.next_u64()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    /// Kolmogorov and Smirnov's distance of a sample from a distribution function.
    fn ks_distance(mut sample: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
        sample.sort_by(f64::total_cmp);
        let n = sample.len() as f64;
        let gap = |(i, &x): (usize, &f64)| {
            let p = cdf(x);
            (p - i as f64 / n).abs().max(((i + 1) as f64 / n - p).abs())
        };
        sample.iter().enumerate().map(gap).fold(0.0, f64::max)
    }

    /// The normal distribution function by Simpson's rule on its density.
    fn normal_cdf(x: f64) -> f64 {
        let density = |t: f64| (-t * t / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let (steps, h) = (200, x / 200.0);
        let inner: f64 =
            (1..steps).map(|i| f64::from(2 + 2 * (i % 2)) * density(f64::from(i) * h)).sum();
        0.5 + h / 3.0 * (density(0.0) + inner + density(x))
    }

    fn chi_square(counts: &[usize]) -> f64 {
        let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
        counts.iter().map(|&c| (c as f64 - expected).powi(2) / expected).sum()
    }

    #[test]
    fn first_values_are_those_of_every_release() {
        let root = Rng::new(42);
        let streams = [
            root.clone(),
            root.child("noise"),
            root.child("a tag longer than one word"),
            root.index(7),
            root.child("noise").index(7),
        ];
        assert_eq!(streams.map(bits), PINNED_BITS);
        let mut rng = Rng::new(0);
        let drawn = [rng.uniform(-1.0, 1.0), rng.normal(), rng.exponential()];
        assert_eq!(drawn, PINNED_FLOATS);
        assert_eq!(rng.permutation(8), PINNED_ORDER);
        assert_eq!(rng.choose(100, 4), PINNED_CHOICE);
        let mut fill = [0.0; 3];
        rng.fill_uniform(&mut fill, 0.0, 1.0);
        assert_eq!(fill, PINNED_UNIFORM);
        rng.fill_normal(&mut fill);
        assert_eq!(fill, PINNED_NORMAL);
    }

    #[test]
    fn derived_streams_do_not_depend_on_what_was_drawn() {
        let mut rng = Rng::new(3);
        let before = (bits(rng.child("x")), bits(rng.index(1)));
        let _ = (rng.normal(), rng.permutation(50), rng.child("y").normal());
        assert_eq!((bits(rng.child("x")), bits(rng.index(1))), before);
    }

    #[test]
    fn no_two_derivations_share_a_stream() {
        let root = Rng::new(1);
        // What a careless derivation would confuse: padding, prefixes, chains, the other domain.
        let tags = ["", "\0", "a", "a\0", "ab", "aaaaaaaa", "aaaaaaaaa", "aaaaaaaa\0"];
        let mut seen: Vec<u64> = tags.iter().map(|tag| bits(root.child(tag))).collect();
        seen.extend((0..64).map(|i| bits(root.index(i))));
        seen.extend([0x61, u64::from_le_bytes(*b"aaaaaaaa")].map(|i| bits(root.index(i))));
        seen.push(bits(root.child("a").child("b")));
        seen.push(bits(root.index(0).index(0)));
        seen.push(bits(root.clone()));
        seen.extend((2..64).map(|seed| bits(Rng::new(seed))));
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn uniform_keeps_its_bounds_and_its_distribution() {
        let mut rng = Rng::new(5);
        let sample: Vec<f64> = (0..20_000).map(|_| rng.uniform(-2.0, 3.0)).collect();
        assert!(sample.iter().all(|x| (-2.0..3.0).contains(x)));
        // 1.95 / sqrt(n) is the distance exceeded once in a thousand samples.
        assert!(ks_distance(sample, |x| (x + 2.0) / 5.0) < 1.95 / 20_000f64.sqrt());
        let one_ulp = 1.0f64.next_up();
        assert!((0..1000).all(|_| rng.uniform(1.0, one_ulp) == 1.0), "rounds up to the open end");
        assert_eq!(rng.uniform(0.25, 0.25), 0.25);
    }

    #[test]
    fn filled_uniforms_keep_their_bounds_and_their_distribution() {
        let mut rng = Rng::new(6);
        let mut out = vec![0.0; 20_000];
        rng.fill_uniform(&mut out, -0.3, 0.3);
        assert!(out.iter().all(|x| (-0.3..0.3).contains(x)));
        let sample = out.iter().map(|&x| f64::from(x)).collect();
        assert!(ks_distance(sample, |x| (x + 0.3) / 0.6) < 1.95 / 20_000f64.sqrt());
        rng.fill_uniform(&mut out, 1.0, 1.0f32.next_up());
        assert!(out.iter().all(|&x| x == 1.0), "rounds up to the open end");
        rng.fill_uniform(&mut out, 0.5, 0.5);
        assert!(out.iter().all(|&x| x == 0.5));
    }

    #[test]
    fn normals_have_the_moments_and_the_distribution() {
        let mut rng = Rng::new(8);
        let mut filled = vec![0.0; 20_000];
        rng.fill_normal(&mut filled);
        let mut sample: Vec<f64> = (0..20_000).map(|_| rng.normal()).collect();
        sample.extend(filled.iter().map(|&x| f64::from(x)));
        let n = sample.len() as f64;
        let moment = |k: i32| mean(&sample.iter().map(|x| x.powi(k)).collect::<Vec<_>>());
        // Four standard errors; the variances of x, x^2 and x^4 are 1, 2 and 96.
        assert!(moment(1).abs() < 4.0 / n.sqrt());
        assert!((moment(2) - 1.0).abs() < 4.0 * (2.0 / n).sqrt());
        assert!((moment(4) - 3.0).abs() < 4.0 * (96.0 / n).sqrt());
        assert!(ks_distance(sample, normal_cdf) < 1.95 / n.sqrt());
    }

    #[test]
    fn exponentials_have_their_distribution() {
        let mut rng = Rng::new(9);
        let sample: Vec<f64> = (0..20_000).map(|_| rng.exponential()).collect();
        assert!((mean(&sample) - 1.0).abs() < 4.0 / 20_000f64.sqrt());
        assert!(ks_distance(sample, |x| 1.0 - (-x).exp()) < 1.95 / 20_000f64.sqrt());
    }

    #[test]
    fn the_distribution_checks_can_fail() {
        let mut rng = Rng::new(8);
        let shifted: Vec<f64> = (0..20_000).map(|_| rng.normal() + 0.05).collect();
        assert!(ks_distance(shifted, normal_cdf) > 1.95 / 20_000f64.sqrt());
        let mut counts = [0; 7];
        (0..70_000).for_each(|_| counts[(rng.stream.next_u64() % 8).min(6) as usize] += 1);
        assert!(chi_square(&counts) > 22.5);
    }

    #[test]
    fn below_is_uniform_and_in_range() {
        let mut rng = Rng::new(10);
        let mut counts = [0; 7];
        (0..70_000).for_each(|_| counts[rng.below(7)] += 1);
        assert!(chi_square(&counts) < 22.5, "{counts:?}: the 0.999 quantile of 6 degrees is 22.5");
        assert_eq!(rng.below(1), 0);
        // For 3 * 2^62 a plain multiplication would give a third of the numbers twice the weight.
        let third = 1usize << 62;
        let mut counts = [0; 3];
        (0..30_000).for_each(|_| counts[rng.below(3 * third) / third] += 1);
        assert!(chi_square(&counts) < 13.8, "{counts:?}: the 0.999 quantile of 2 degrees is 13.8");
        let odd = (0..30_000).filter(|_| rng.below(3 * third).is_multiple_of(3)).count() as f64;
        assert!((odd - 10_000.0).abs() < 4.0 * (30_000.0 * 2.0 / 9.0f64).sqrt(), "{odd}");
    }

    #[test]
    fn bernoulli_happens_as_often_as_told() {
        let mut rng = Rng::new(11);
        let hits = (0..40_000).filter(|_| rng.bernoulli(0.3)).count() as f64;
        assert!((hits - 12_000.0).abs() < 4.0 * (40_000.0 * 0.21f64).sqrt(), "{hits}");
        assert!((0..1000).all(|_| rng.bernoulli(1.0) && !rng.bernoulli(0.0)));
    }

    #[test]
    fn every_order_of_four_is_equally_likely() {
        let mut rng = Rng::new(12);
        let mut counts = std::collections::BTreeMap::new();
        (0..24_000).for_each(|_| *counts.entry(rng.permutation(4)).or_insert(0) += 1);
        let counts: Vec<usize> = counts.into_values().collect();
        assert_eq!(counts.len(), 24);
        assert!(chi_square(&counts) < 49.8, "the 0.999 quantile of 23 degrees is 49.7");
    }

    #[test]
    fn choose_takes_different_ones_each_equally_often() {
        let mut rng = Rng::new(13);
        let mut counts = std::collections::BTreeMap::new();
        (0..20_000).for_each(|_| *counts.entry(rng.choose(5, 2)).or_insert(0) += 1);
        assert!(counts.keys().all(|pair| pair[0] != pair[1] && pair.iter().all(|&i| i < 5)));
        let counts: Vec<usize> = counts.into_values().collect();
        assert_eq!(counts.len(), 20, "ordered pairs");
        assert!(chi_square(&counts) < 43.9, "the 0.999 quantile of 19 degrees is 43.8");
        let mut all = rng.choose(6, 6);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
        assert!(rng.choose(6, 0).is_empty());
    }

    #[test]
    fn a_debug_print_does_not_show_the_key() {
        assert_eq!(format!("{:?}", Rng::new(1)), "Rng { .. }");
    }

    // The bits were confirmed by a second implementation of the derivation above.
    const PINNED_BITS: [u64; 5] = [
        8891277941509911446,
        5198164695065448545,
        1128494039810171220,
        14206257116619483292,
        16207498121322204862,
    ];
    const PINNED_FLOATS: [f64; 3] = [0.6798450595156154, 0.44416990376120286, 0.9900611812306696];
    const PINNED_ORDER: [usize; 8] = [3, 2, 5, 1, 4, 6, 7, 0];
    const PINNED_CHOICE: [usize; 4] = [4, 20, 50, 36];
    const PINNED_UNIFORM: [f32; 3] = [0.64920497, 0.13450253, 0.6132282];
    const PINNED_NORMAL: [f32; 3] = [-0.35092196, -0.36709076, -0.7029649];
}
