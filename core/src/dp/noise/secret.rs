//! Randomness that a private run stands on, and the mark it bears where it is no secret.
//!
//! Noise protects only as long as nobody can subtract it. [`crate::rng::Rng`] is made for repeating
//! runs: its seed stands in the configuration, and whoever has it has the noise. A [`Secret`] is a
//! type of its own, so that a trainer cannot take the one for the other by accident, and it
//! remembers where its key came from: 256 bits of the operating system, or a seed, in which case
//! the run is not private and has to say so.
//!
//! Keys and streams are those of ChaCha20, with the full 20 rounds where `Rng` has 8. A stream is a
//! nonce below the key: coins read its blocks from 0 upwards, normal numbers from 2^62, and derived
//! keys are the first half of blocks from 2^63, where neither arrives. Hence a stream depends on its
//! path alone, as those of `Rng` do. The key is never printed or written. It is not wiped from
//! memory, and nothing here protects against somebody who can read that.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use serde::{Deserialize, Serialize};

use super::keystream::Key;
use super::normal::{self, GROUP};
use crate::rng::Rng;
use crate::{Error, ErrorKind, Result};

/// Where the randomness of a run came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Entropy of the operating system, known to nobody.
    OperatingSystem,
    /// A seed: whoever knows it can subtract the noise.
    Seed,
}

impl Origin {
    /// What a report has to say about a run of this randomness, if anything.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Origin::OperatingSystem => None,
            Origin::Seed => Some("not private: seeded"),
        }
    }
}

/// A key from which independent streams and keys are derived.
pub struct Secret {
    key: [u8; 32],
    origin: Origin,
}

/// What a derivation word stands for: part of the block counter, so that domains never meet.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Domain {
    Index = 0,
    TagLength = 1,
    TagBytes = 2,
}

impl Secret {
    /// A key of the operating system's entropy: for every run that is to be private.
    ///
    /// # Errors
    /// The operating system has none to give.
    pub fn from_os() -> Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|err| {
            let what = format!("secret: the operating system gives no randomness ({err}); a private run cannot do without, fix that first");
            Error::new(ErrorKind::Io, what)
        })?;
        Ok(Secret { key, origin: Origin::OperatingSystem })
    }

    /// A key that follows from `rng`, for runs that must repeat: they are not private.
    pub fn seeded(rng: &Rng) -> Self {
        let mut rng = rng.child("secret");
        Secret { key: std::array::from_fn(|_| rng.below(256) as u8), origin: Origin::Seed }
    }

    /// 32 bytes below this key, for a key of another algorithm.
    pub(crate) fn seed(&self) -> [u8; 32] {
        self.child("seed").key
    }

    /// Whether nobody can know the noise; false if it follows from a seed.
    pub fn is_secret(&self) -> bool {
        self.origin == Origin::OperatingSystem
    }

    /// Where the key came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The independent key number `i`: of a step, of a parameter.
    #[must_use]
    pub fn index(&self, i: u64) -> Secret {
        self.derived(Domain::Index, i)
    }

    /// The independent key of `tag`.
    #[must_use]
    pub fn child(&self, tag: &str) -> Secret {
        let start = self.derived(Domain::TagLength, tag.len() as u64);
        tag.as_bytes().chunks(8).fold(start, |secret, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            secret.derived(Domain::TagBytes, u64::from_le_bytes(word))
        })
    }

    /// The stream number `i` of this key.
    pub fn stream(&self, i: u64) -> Stream {
        let mut cipher = ChaCha20Rng::from_seed(self.key);
        cipher.set_stream(i);
        Stream { cipher, key: Key::new(&self.key, i), next: 0, group: [0.0; GROUP], left: 0 }
    }

    /// A generator with a key of its own below this one, for choices that have to be as secret as the
    /// noise. It is of ChaCha8.
    pub fn generator(&self) -> Rng {
        Rng::from_key(self.child("generator").key)
    }

    fn derived(&self, domain: Domain, word: u64) -> Secret {
        const WORDS_PER_BLOCK: u128 = 16;
        let mut cipher = ChaCha20Rng::from_seed(self.key);
        cipher.set_stream(word);
        cipher.set_word_pos(((1u128 << 63) + domain as u128) * WORDS_PER_BLOCK);
        let mut key = [0; 32];
        cipher.fill_bytes(&mut key);
        Secret { key, origin: self.origin }
    }
}

impl std::fmt::Debug for Secret {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Draws from one stream of a [`Secret`]: coins and normal numbers, neither of which moves the other.
pub struct Stream {
    /// Where coins come from.
    cipher: ChaCha20Rng,
    /// Where normal numbers come from.
    key: Key,
    /// The group of normal numbers to be made next.
    next: u64,
    /// The group made last, of which the last `left` numbers have not been given.
    group: [f64; GROUP],
    left: usize,
}

impl Stream {
    /// A number of the standard normal distribution: half the sum of four draws of 2^96 cases each
    /// (Holohan and Braghin 2021, arXiv 2107.10138, section 5.1), so that which numbers there are
    /// cannot be found out. See `noise/normal.rs`.
    ///
    /// It hides the set of values that the *sampler* can give. It does not hide what rounding does
    /// when the noise is *added*: a sum of large magnitude has coarser outputs than a small one
    /// (Haney et al. 2022, arXiv 2207.13793), and those of f32 are coarse.
    pub fn normal(&mut self) -> f64 {
        let mut one = [0.0];
        self.fill(&mut one);
        one[0]
    }

    /// Fills `out` with what as many calls of [`Stream::normal`] would give.
    pub fn fill(&mut self, out: &mut [f64]) {
        let (kept, out) = out.split_at_mut(self.left.min(out.len()));
        self.give(kept);
        let (groups, rest) = out.split_at_mut(out.len() - out.len() % GROUP);
        normal::fill(&self.key, self.next, groups);
        self.next += (groups.len() / GROUP) as u64;
        if !rest.is_empty() {
            normal::fill(&self.key, self.next, &mut self.group);
            self.next += 1;
            self.left = GROUP;
            self.give(rest);
        }
    }

    /// Hands out kept numbers, of which there are enough.
    fn give(&mut self, out: &mut [f64]) {
        let at = GROUP - self.left;
        out.copy_from_slice(&self.group[at..at + out.len()]);
        self.left -= out.len();
    }

    /// Whether an event of probability `p` happens, to a multiple of 2^-53: never for `p <= 0`,
    /// always for `p >= 1`. For the coins of Poisson sampling, which have to be as secret as noise.
    pub fn bernoulli(&mut self, p: f64) -> bool {
        ((self.cipher.next_u64() >> 11) as f64) < p * (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(secret: &Secret) -> u64 {
        secret.stream(0).normal().to_bits()
    }

    #[test]
    fn only_the_operating_system_makes_secrets() {
        let secret = Secret::from_os().unwrap();
        assert!(secret.is_secret() && secret.index(3).child("x").is_secret());
        assert_eq!(secret.origin().warning(), None);
        let seeded = Secret::seeded(&Rng::new(1));
        assert!(!seeded.is_secret() && !seeded.index(3).child("x").is_secret());
        assert_eq!(seeded.origin().warning(), Some("not private: seeded"));
        assert!(!format!("{secret:?}").contains("key"), "{secret:?}");
    }

    #[test]
    fn keys_of_the_operating_system_differ_and_those_of_a_seed_do_not() {
        let [a, b] = [Secret::from_os().unwrap(), Secret::from_os().unwrap()];
        assert_ne!(first(&a), first(&b));
        let seeded = |seed| first(&Secret::seeded(&Rng::new(seed)));
        assert_eq!(seeded(1), seeded(1));
        assert_ne!(seeded(1), seeded(2));
    }

    #[test]
    fn no_two_derivations_share_a_stream() {
        let root = Secret::seeded(&Rng::new(4));
        let tags = ["", "\0", "a", "a\0", "aaaaaaaa", "aaaaaaaaa", "noise", "sampling"];
        let mut seen: Vec<u64> = tags.iter().map(|tag| first(&root.child(tag))).collect();
        seen.extend((0..64).map(|i| first(&root.index(i))));
        seen.extend((0..64).map(|i| root.stream(i).normal().to_bits()));
        seen.push(first(&root.index(0).index(0)));
        seen.push(first(&root.index(u64::from_le_bytes(*b"aaaaaaaa"))));
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn numbers_do_not_depend_on_how_many_are_drawn_at_a_time() {
        let secret = Secret::seeded(&Rng::new(5));
        let mut whole = [0.0; 1000];
        secret.stream(3).fill(&mut whole);
        for sizes in [[1, 2, 127], [128, 1, 300], [129, 0, 5], [64, 256, 64]] {
            let mut stream = secret.stream(3);
            let mut found = Vec::new();
            for size in sizes.into_iter().cycle() {
                let mut part = vec![0.0; size.min(1000 - found.len())];
                // Coins in between move nothing.
                stream.bernoulli(0.5);
                stream.fill(&mut part);
                found.extend(part);
                if found.len() == 1000 {
                    break;
                }
                found.push(stream.normal());
                if found.len() == 1000 {
                    break;
                }
            }
            assert_eq!(found, whole, "{sizes:?}");
        }
    }

    #[test]
    fn coins_are_those_of_the_cipher_and_normal_numbers_do_not_move_them() {
        let secret = Secret::seeded(&Rng::new(5));
        let mut cipher = ChaCha20Rng::from_seed(secret.key);
        cipher.set_stream(3);
        let mut stream = secret.stream(3);
        for _ in 0..1000 {
            let want = ((cipher.next_u64() >> 11) as f64) < 0.3 * (1u64 << 53) as f64;
            stream.normal();
            assert_eq!(stream.bernoulli(0.3), want);
        }
    }

    #[test]
    fn coins_have_their_probability() {
        let mut stream = Secret::seeded(&Rng::new(6)).stream(0);
        let heads = (0..100_000).filter(|_| stream.bernoulli(0.01)).count() as f64;
        // Four standard errors.
        assert!((heads - 1000.0).abs() < 4.0 * 990.0_f64.sqrt(), "{heads}");
        assert!((0..1000).all(|_| stream.bernoulli(1.0) && !stream.bernoulli(0.0)));
    }
}
