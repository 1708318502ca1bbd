//! Standard normal numbers out of keystream, in groups of 128 that the compiler vectorises.
//!
//! A number is half the sum of four normal draws: the construction of Holohan and Braghin 2021 (arXiv
//! 2107.10138, section 5.1) with n = 2. What samplers return are few doubles that lie unevenly; from
//! which of them a noisy value can have come, an observer can compute, and so tell what was under the
//! noise (Mironov 2012). A sum of four is not found without trying what three of them can be.
//!
//! Draws come in pairs `(r cos t, r sin t)` (Box and Muller 1958), r of 64 random bits and t of 32. Four
//! pairs add up to a point whose coordinates are two numbers, independent as those of each pair are. To
//! find them behind both numbers, three pairs have to be tried: 2^(3 * 96) cases. Behind one number lie
//! four draws of 2^96 cases each, so that is no easier.
//!
//! r reaches to 9.49, the root of 2 ln 2^65, and is the last one of its values with probability 2^-64:
//! so what is cut off lies, in total variation, 2^-63 from the distribution for each number. Over 10^4
//! steps of 10^7 weights that is 10^-8, against a delta of 10^-5. Numbers reach to 18.98.
//!
//! The alternative, the ziggurat, takes fewer bits but branches on them: it is four times as slow and
//! its time tells how often it rejected. Here every group takes the same instructions. They are
//! additions, multiplications, both in one, divisions and square roots, which round alike everywhere, so
//! that the values do not depend on the processor. One that cannot multiply and add in one does so in
//! software.
//!
//! All of it has to be inlined into the one function that is compiled for the processor's registers.
//! `inline(always)` does that to functions here, not to those of the standard library that take
//! closures, such as `map` of arrays; hence the plain loops.

#![allow(clippy::needless_range_loop, reason = "closures of iterators would not be inlined here")]

use std::f64::consts::{FRAC_PI_2, LN_2};

use pulp::{Simd, WithSimd};

use super::keystream::{BLOCKS, Key, WORDS};

/// Numbers that are made together. Part of the definition of the noise.
pub(super) const GROUP: usize = PAIRS / 2;
/// Pairs of draws of a group; each takes three words of keystream.
const PAIRS: usize = WORDS;
/// Sets of blocks of keystream of a group: the high and the low words of radii, and angles.
const SETS_OF_GROUP: usize = 3;
/// Groups whose keystream is made together: an even number of sets.
const AT_A_TIME: usize = 2;
/// Where normal numbers begin in the keystream: coins read it from 0, and keys from 2^63.
const FIRST_BLOCK: u64 = 1 << 62;

/// Fills whole groups `out` with the numbers of `key` from group `first` on.
pub(super) fn fill(key: &Key, first: u64, out: &mut [f64]) {
    pulp::Arch::new().dispatch(Fill { key, first, out });
}

struct Fill<'a> {
    key: &'a Key,
    first: u64,
    out: &'a mut [f64],
}

impl WithSimd for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        const SETS: usize = SETS_OF_GROUP;
        let mut words = [[0; WORDS]; AT_A_TIME * SETS];
        let mut pairs = [[0.0; PAIRS]; 2];
        let mut block = FIRST_BLOCK + self.first * (SETS * BLOCKS) as u64;
        for groups in self.out.chunks_mut(AT_A_TIME * GROUP) {
            let count = groups.len() / GROUP;
            self.key.blocks(simd, block, &mut words[..count * SETS]);
            block += (count * SETS * BLOCKS) as u64;
            for (words, out) in words.as_chunks().0.iter().zip(groups.chunks_exact_mut(GROUP)) {
                draw(words, &mut pairs);
                let (first, second) = out.split_at_mut(GROUP / 2);
                half_sums(&pairs[0], first);
                half_sums(&pairs[1], second);
            }
        }
    }
}

/// Half the sum of four draws that lie a quarter of all apart.
#[inline(always)]
fn half_sums(draws: &[f64; PAIRS], out: &mut [f64]) {
    const APART: usize = PAIRS / 4;
    for i in 0..APART {
        let (a, b) = (draws[i], draws[APART + i]);
        let (c, d) = (draws[2 * APART + i], draws[3 * APART + i]);
        out[i] = 0.5 * ((a + b) + (c + d));
    }
}

/// Pairs of draws from the words of their radii, high and low, and of their angles.
#[inline(always)]
fn draw([high, low, turn]: &[[u32; PAIRS]; SETS_OF_GROUP], [x, y]: &mut [[f64; PAIRS]; 2]) {
    for i in 0..PAIRS {
        let r = radius(high[i], low[i]);
        let [cos, sin] = direction(turn[i]);
        x[i] = r * cos;
        y[i] = r * sin;
    }
}

/// `sqrt(-2 ln u)`, u the middle of one of 2^64 equal parts of (0, 1).
#[inline(always)]
fn radius(high: u32, low: u32) -> f64 {
    const PARTS: f64 = 1.0 / (1u128 << 64) as f64;
    let u = (whole(high) * (1u64 << 32) as f64 + (whole(low) + 0.5)) * PARTS;
    (-2.0 * ln(u)).sqrt()
}

/// Cosine and sine of an angle, the middle of one of 2^32 equal parts of a turn.
///
/// The lower 30 bits are a place in the quarter around angle 0; the others mirror it at the diagonal and
/// at the origin, which makes four quarters.
#[inline(always)]
fn direction(turn: u32) -> [f64; 2] {
    const QUARTER: u32 = 1 << 30;
    let place = whole(turn % QUARTER) - (0.5 * QUARTER as f64 - 0.5);
    let [cos, sin] = cos_sin(place * (FRAC_PI_2 / QUARTER as f64));
    let (c, s) = (cos.to_bits(), sin.to_bits());
    let swapped = 0u64.wrapping_sub(u64::from((turn >> 30) & 1));
    let sign = u64::from(turn >> 31) << 63;
    let different = (c ^ s) & swapped;
    [f64::from_bits(c ^ different ^ sign), f64::from_bits(s ^ different ^ sign)]
}

/// An integer as a double, by the bits of 2^52 plus that integer: a conversion every processor has.
#[inline(always)]
fn whole(x: u32) -> f64 {
    const BIG: f64 = (1u64 << 52) as f64;
    f64::from_bits(BIG.to_bits() | u64::from(x)) - BIG
}

/// ln x for normal x in (0, 1]; from 2^-66 on with a relative error of at most 2e-15, as a test holds.
///
/// `x = 2^e m`, m in [sqrt(1/2), sqrt(2)), and `ln m = 2 artanh s = 2 s (1 + s^2/3 + s^4/5 + ...)` with
/// `s = (m - 1) / (m + 1)`, whose square is at most 0.0295.
#[inline(always)]
fn ln(x: f64) -> f64 {
    const LEAST: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    const MANTISSA: u64 = (1 << 52) - 1;
    let above = x.to_bits().wrapping_sub(LEAST);
    let m = f64::from_bits(LEAST.wrapping_add(above & MANTISSA));
    // e is -1023 at the least, so these twelve bits plus 1024 are a positive number.
    let e = whole(((above >> 52) as u32 + 1024) & 0xfff) - 1024.0;
    let s = (m - 1.0) / (m + 1.0);
    e * LN_2 + s * series(s * s, &LOGARITHM)
}

/// Cosine and sine of an angle of at most a quarter of pi, to the rounding of doubles.
#[inline(always)]
fn cos_sin(t: f64) -> [f64; 2] {
    let z = t * t;
    [series(z, &COSINE), t * series(z, &SINE)]
}

/// `c[0] + c[1] z + c[2] z^2 + ...`
#[inline(always)]
fn series<const N: usize>(z: f64, c: &[f64; N]) -> f64 {
    let mut sum = c[N - 1];
    for k in (0..N - 1).rev() {
        sum = sum.mul_add(z, c[k]);
    }
    sum
}

/// `2 / (2 k + 1)`: the first omitted term is 1e-15 of the first.
const LOGARITHM: [f64; 9] = {
    let mut c = [0.0; 9];
    let mut k = 0;
    while k < 9 {
        c[k] = 2.0 / (2 * k + 1) as f64;
        k += 1;
    }
    c
};

/// `(-1)^k / (2 k)!`: the first omitted term is 2e-18.
const COSINE: [f64; 9] = inverse_factorials(0);
/// `(-1)^k / (2 k + 1)!`: the first omitted term is 5e-17 of the first.
const SINE: [f64; 8] = inverse_factorials(1);

const fn inverse_factorials<const N: usize>(odd: usize) -> [f64; N] {
    let mut c = [1.0; N];
    let mut k = 1;
    while k < N {
        let n = 2 * k + odd;
        c[k] = -c[k - 1] / (n * (n - 1)) as f64;
        k += 1;
    }
    c
}

#[cfg(test)]
mod tests {
    use super::super::keystream::tests::reference;
    use super::*;

    /// Pairs as the library of the platform computes them.
    fn expected(high: u32, low: u32, turn: u32) -> [f64; 2] {
        let u = (f64::from(high) * 2.0_f64.powi(32) + f64::from(low) + 0.5) * 2.0_f64.powi(-64);
        let r = (-2.0 * libm::log(u)).sqrt();
        let [quarter, mirrored] = [turn >> 31, (turn >> 30) & 1];
        let place = (f64::from(turn % (1 << 30)) + 0.5) / f64::from(1 << 30) - 0.5;
        let at = FRAC_PI_2 * place;
        let at = if mirrored == 1 { FRAC_PI_2 - at } else { at };
        let at = at + std::f64::consts::PI * f64::from(quarter);
        [r * libm::cos(at), r * libm::sin(at)]
    }

    fn close(found: f64, want: f64, r: f64) -> bool {
        (found - want).abs() <= 1e-15 * r.max(1.0)
    }

    #[test]
    fn pairs_are_those_of_box_and_muller() {
        let words = [0, 1, 2, 1 << 30, (1 << 30) - 1, 1 << 31, (1 << 31) - 1, 3 << 30, u32::MAX];
        let mut rng = crate::rng::Rng::new(3);
        let mut word = || rng.below(1 << 32) as u32;
        let random: Vec<[u32; 3]> = (0..20_000).map(|_| [word(), word(), word()]).collect();
        let edges = words.iter().flat_map(|&a| words.iter().map(move |&b| (a, b)));
        let edges = edges.flat_map(|(a, b)| words.iter().map(move |&c| [a, b, c]));
        for [high, low, turn] in edges.chain(random) {
            let r = radius(high, low);
            let found = direction(turn).map(|part| r * part);
            let want = expected(high, low, turn);
            for (found, want) in found.into_iter().zip(want) {
                assert!(close(found, want, r), "{high} {low} {turn}: {found} for {want}");
            }
        }
    }

    #[test]
    fn radii_reach_as_far_as_is_claimed_and_no_further() {
        let farthest = radius(0, 0);
        assert!((farthest - (130.0 * LN_2).sqrt()).abs() < 1e-14, "{farthest}");
        assert!(radius(u32::MAX, u32::MAX).abs() < 1e-9);
        // Each value of the low words counts where radii are long.
        let of = |low| radius(0, low);
        assert!((0..1000).all(|low| of(low) > of(low + 1)));
    }

    #[test]
    fn logarithms_are_right_over_the_whole_range() {
        let mut rng = crate::rng::Rng::new(4);
        for i in 0..200_000 {
            let x = rng.uniform(0.5, 1.0) * 2.0_f64.powi(-(i % 66));
            let (found, want) = (ln(x), libm::log(x));
            assert!((found - want).abs() <= 2e-15 * want.abs(), "{x}: {found} for {want}");
        }
        assert_eq!(ln(1.0), 0.0);
        assert!(ln(1.0_f64.next_down()) < 0.0);
    }

    #[test]
    fn numbers_are_half_sums_of_four_draws_of_the_keystream() {
        let bytes: [u8; 32] = std::array::from_fn(|i| (11 * i + 5) as u8);
        let key = Key::new(&bytes, 9);
        let mut found = [0.0; 2 * GROUP];
        fill(&key, 6, &mut found);
        for (group, found) in (6..).zip(found.chunks(GROUP)) {
            let start = (1 << 62) + group * 48;
            let [high, low, turn] = [0, 16, 32].map(|at| reference(&bytes, 9, start + at));
            for (i, &found) in found.iter().enumerate() {
                let four = (0..4).map(|k| {
                    let at = 64 * k + i % 64;
                    expected(high[at], low[at], turn[at])[i / 64]
                });
                let want = four.sum::<f64>() / 2.0;
                assert!((found - want).abs() < 1e-14, "{group}, {i}: {found} for {want}");
            }
        }
    }

    #[test]
    fn every_width_of_registers_gives_the_same_bits() {
        let key = Key::new(&[7; 32], 1);
        let (mut narrow, mut wide) = ([0.0; 3 * GROUP], [0.0; 3 * GROUP]);
        Fill { key: &key, first: 2, out: &mut narrow }.with_simd(pulp::Scalar);
        fill(&key, 2, &mut wide);
        assert_eq!(narrow, wide);
    }
}
