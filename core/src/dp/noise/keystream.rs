//! The keystream of ChaCha20 (Bernstein 2008), sixteen blocks at a time.
//!
//! A generator that gives one number a call spends most of its time on the call. Noise takes tens of
//! megabytes of keystream a step, so here blocks are made side by side: a vector register holds one
//! word of several blocks, and results stay in that order, `[16 words][16 blocks]`. How wide a register
//! is does not matter to the result: it is that of the cipher, block for block, as the test against
//! the generator of `rand_chacha` says, from which keys and coins come.

#![allow(clippy::needless_range_loop, reason = "closures of iterators would not be inlined here")]

use pulp::Simd;

/// Blocks that are made together.
pub(super) const BLOCKS: usize = 16;
/// 32-bit words of those blocks.
pub(super) const WORDS: usize = 16 * BLOCKS;

/// A key of 256 bits with a nonce of 64: what makes a keystream.
#[derive(Clone, Copy)]
pub(super) struct Key {
    words: [u32; 8],
    nonce: [u32; 2],
}

impl Key {
    pub(super) fn new(key: &[u8; 32], nonce: u64) -> Self {
        let word = |i: usize| u32::from_le_bytes(std::array::from_fn(|byte| key[4 * i + byte]));
        Key { words: std::array::from_fn(word), nonce: halves(nonce) }
    }

    /// Word w of block `first + 16 s + b` at `16 w + b` of set s.
    #[inline(always)]
    pub(super) fn blocks<S: Simd>(&self, simd: S, first: u64, out: &mut [[u32; WORDS]]) {
        // A round waits for the one before it. Where a register holds a word of all blocks of a set, there
        // are registers for two sets, whose rounds fill each other's waits.
        let pairs = if S::U32_LANES == BLOCKS { out.len() / 2 } else { 0 };
        let (paired, single) = out.split_at_mut(2 * pairs);
        let mut at = first;
        for pair in paired.as_chunks_mut::<2>().0 {
            self.sets(simd, at, pair);
            at = at.wrapping_add(2 * BLOCKS as u64);
        }
        for set in single.as_chunks_mut::<1>().0 {
            self.sets(simd, at, set);
            at = at.wrapping_add(BLOCKS as u64);
        }
    }

    #[inline(always)]
    fn sets<S: Simd, const N: usize>(&self, simd: S, first: u64, out: &mut [[u32; WORDS]; N]) {
        let (mut low, mut high) = ([[0; BLOCKS]; N], [[0; BLOCKS]; N]);
        for set in 0..N {
            for block in 0..BLOCKS {
                let counter = first.wrapping_add((set * BLOCKS + block) as u64);
                [low[set][block], high[set][block]] = halves(counter);
            }
        }
        let vectors = BLOCKS / S::U32_LANES;
        for i in 0..vectors {
            let mut counters = [[simd.splat_u32s(0); N]; 2];
            for set in 0..N {
                counters[0][set] = S::as_simd_u32s(&low[set]).0[i];
                counters[1][set] = S::as_simd_u32s(&high[set]).0[i];
            }
            let start = self.start(simd, counters);
            let end = rounds(simd, start);
            for set in 0..N {
                let out = S::as_mut_simd_u32s(&mut out[set]).0;
                for word in 0..16 {
                    out[word * vectors + i] = simd.add_u32s(start[word][set], end[word][set]);
                }
            }
        }
    }

    /// The sixteen words that the rounds begin with, from the halves of the counters.
    #[inline(always)]
    fn start<S: Simd, const N: usize>(
        &self,
        simd: S,
        [low, high]: [[S::u32s; N]; 2],
    ) -> [[S::u32s; N]; 16] {
        let mut words = [low; 16];
        // "expand 32-byte k".
        for (word, constant) in
            [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574].iter().enumerate()
        {
            words[word] = [simd.splat_u32s(*constant); N];
        }
        for word in 0..8 {
            words[4 + word] = [simd.splat_u32s(self.words[word]); N];
        }
        words[13] = high;
        words[14] = [simd.splat_u32s(self.nonce[0]); N];
        words[15] = [simd.splat_u32s(self.nonce[1]); N];
        words
    }
}

#[inline(always)]
fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

/// Twenty rounds: ten times the columns, then the diagonals. In variables of their own, which stay in
/// registers; an array that is indexed would be written back after each step.
#[inline(always)]
fn rounds<S: Simd, const N: usize>(simd: S, start: [[S::u32s; N]; 16]) -> [[S::u32s; N]; 16] {
    let [mut a0, mut a1, mut a2, mut a3, mut b0, mut b1, mut b2, mut b3, ..] = start;
    let [.., mut c0, mut c1, mut c2, mut c3, mut d0, mut d1, mut d2, mut d3] = start;
    for _ in 0..10 {
        quarter(simd, &mut a0, &mut b0, &mut c0, &mut d0);
        quarter(simd, &mut a1, &mut b1, &mut c1, &mut d1);
        quarter(simd, &mut a2, &mut b2, &mut c2, &mut d2);
        quarter(simd, &mut a3, &mut b3, &mut c3, &mut d3);
        quarter(simd, &mut a0, &mut b1, &mut c2, &mut d3);
        quarter(simd, &mut a1, &mut b2, &mut c3, &mut d0);
        quarter(simd, &mut a2, &mut b3, &mut c0, &mut d1);
        quarter(simd, &mut a3, &mut b0, &mut c1, &mut d2);
    }
    [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3]
}

#[inline(always)]
fn quarter<S: Simd, const N: usize>(
    simd: S,
    a: &mut [S::u32s; N],
    b: &mut [S::u32s; N],
    c: &mut [S::u32s; N],
    d: &mut [S::u32s; N],
) {
    for n in 0..N {
        a[n] = simd.add_u32s(a[n], b[n]);
        d[n] = rotated::<S, 16>(simd, simd.xor_u32s(d[n], a[n]));
        c[n] = simd.add_u32s(c[n], d[n]);
        b[n] = rotated::<S, 12>(simd, simd.xor_u32s(b[n], c[n]));
        a[n] = simd.add_u32s(a[n], b[n]);
        d[n] = rotated::<S, 8>(simd, simd.xor_u32s(d[n], a[n]));
        c[n] = simd.add_u32s(c[n], d[n]);
        b[n] = rotated::<S, 7>(simd, simd.xor_u32s(b[n], c[n]));
    }
}

/// Each word with its bits moved up by `BY`, in a circle: one instruction where there is one.
#[inline(always)]
fn rotated<S: Simd, const BY: u32>(simd: S, x: S::u32s) -> S::u32s {
    let up = simd.wrapping_dyn_shl_u32s(x, simd.splat_u32s(BY));
    let down = simd.wrapping_dyn_shr_u32s(x, simd.splat_u32s(32 - BY));
    simd.or_u32s(up, down)
}

#[cfg(test)]
pub(super) mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::{Rng as _, SeedableRng};

    use super::*;

    /// The same words from the generator of `rand_chacha`, in the same order.
    pub(in super::super) fn reference(key: &[u8; 32], nonce: u64, first: u64) -> [u32; WORDS] {
        let mut out = [0; WORDS];
        for block in 0..BLOCKS {
            let mut cipher = ChaCha20Rng::from_seed(*key);
            cipher.set_stream(nonce);
            cipher.set_word_pos(u128::from(first.wrapping_add(block as u64)) * 16);
            (0..16).for_each(|word| out[word * BLOCKS + block] = cipher.next_u32());
        }
        out
    }

    #[test]
    fn blocks_are_those_of_the_cipher_on_every_width() {
        struct Blocks<'a>(Key, u64, &'a mut [[u32; WORDS]]);
        impl pulp::WithSimd for Blocks<'_> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                self.0.blocks(simd, self.1, self.2);
            }
        }
        let key: [u8; 32] = std::array::from_fn(|i| (7 * i + 3) as u8);
        // The carry from the low half of the counter to the high one, and past the end.
        for first in [0, 16, 1 << 62, u64::from(u32::MAX) - 6, u64::MAX - 3] {
            for nonce in [0, 5, u64::MAX - 1] {
                // A pair of sets and a single one.
                let set = |s: u64| reference(&key, nonce, first.wrapping_add(16 * s));
                let want = [0, 1, 2].map(set);
                let (mut narrow, mut wide) = ([[0; WORDS]; 3], [[0; WORDS]; 3]);
                let key = Key::new(&key, nonce);
                key.blocks(pulp::Scalar, first, &mut narrow);
                pulp::Arch::new().dispatch(Blocks(key, first, &mut wide));
                assert_eq!(narrow, want, "block {first}, nonce {nonce}");
                assert_eq!(wide, want, "block {first}, nonce {nonce}, {:?}", pulp::Arch::new());
            }
        }
    }
}
