//! Shamir's secret sharing (Shamir 1979): a secret of 32 bytes in shares, of which `threshold` give it
//! back and fewer tell nothing.
//!
//! The secret is sixteen elements of the field of 2^16, each the value at 0 of a random polynomial of
//! degree `threshold - 1`. The field of 2^8 that is usual for bytes has room for 255 shares, which rounds
//! of a thousand clients exceed. Products are by shifts and masks, without tables, so that time does
//! not depend on secrets.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

use crate::{Result, bail};

/// Elements of a secret.
const WORDS: usize = 16;
/// x^16 + x^12 + x^3 + x + 1, which is irreducible, without its leading term.
const MODULUS: u16 = 0x100b;

/// The share of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Where the polynomials were evaluated: not 0.
    pub at: u16,
    /// Their values.
    pub values: [u16; WORDS],
}

/// The product in the field.
fn mul(a: u16, b: u16) -> u16 {
    let (mut a, mut product) = (a, 0);
    for bit in 0..16 {
        // All ones or all zeros.
        product ^= a & (b >> bit & 1).wrapping_neg();
        a = a << 1 ^ MODULUS & (a >> 15).wrapping_neg();
    }
    product
}

/// The inverse of `a`, which is not 0: `a^(2^16 - 2)`.
fn inverse(a: u16) -> u16 {
    let (mut power, mut product) = (a, 1);
    for _ in 1..16 {
        power = mul(power, power);
        product = mul(product, power);
    }
    product
}

fn words(secret: &[u8; 32]) -> [u16; WORDS] {
    std::array::from_fn(|i| u16::from_le_bytes([secret[2 * i], secret[2 * i + 1]]))
}

/// Shares for clients 1 to `count`; `key` is 32 fresh random bytes.
///
/// # Errors
/// `threshold` is 0 or above `count`, or `count` above 65,535.
pub fn split(
    secret: &[u8; 32],
    threshold: usize,
    count: usize,
    key: [u8; 32],
) -> Result<Vec<Share>> {
    let Ok(last) = u16::try_from(count) else {
        bail!(Config, "secure: shares for {count} clients; at most 65535 can have one");
    };
    if threshold == 0 || threshold > count {
        bail!(
            Config,
            "secure: {threshold} of {count} shares; the threshold must be in 1..={count}"
        );
    }
    let mut stream = ChaCha20Rng::from_seed(key);
    let mut draw = || std::array::from_fn(|_| stream.next_u32() as u16);
    let mut coefficients: Vec<[u16; WORDS]> = vec![words(secret)];
    coefficients.extend((1..threshold).map(|_| draw()));
    let value = |at: u16| {
        // Horner's rule, from the highest power.
        coefficients.iter().rev().fold([0; WORDS], |sum: [u16; WORDS], c| {
            std::array::from_fn(|i| mul(sum[i], at) ^ c[i])
        })
    };
    Ok((1..=last).map(|at| Share { at, values: value(at) }).collect())
}

/// The secret behind the first `threshold` of `shares`.
///
/// # Errors
/// There are fewer, or two are of the same client.
pub fn join(shares: &[Share], threshold: usize) -> Result<[u8; 32]> {
    if shares.len() < threshold || threshold == 0 {
        let n = shares.len();
        bail!(Data, "secure: {n} shares where {threshold} are needed; the secret cannot be had");
    }
    let shares = &shares[..threshold];
    for (i, share) in shares.iter().enumerate() {
        if share.at == 0 || shares[..i].iter().any(|other| other.at == share.at) {
            bail!(Data, "secure: a share of client {} that is no further one", share.at);
        }
    }
    let mut sum = [0; WORDS];
    for share in shares {
        // Lagrange's coefficient at 0: the product of x_j / (x_j - x_i).
        let others = shares.iter().filter(|other| other.at != share.at);
        let weight = others
            .fold(1, |product, other| mul(product, mul(other.at, inverse(other.at ^ share.at))));
        sum.iter_mut().zip(share.values).for_each(|(s, v)| *s ^= mul(weight, v));
    }
    let mut secret = [0; 32];
    for (bytes, word) in secret.as_chunks_mut::<2>().0.iter_mut().zip(sum) {
        *bytes = word.to_le_bytes();
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> [u8; 32] {
        std::array::from_fn(|i| (i * 37 + 5) as u8)
    }

    #[test]
    fn the_field_is_one() {
        for a in [1_u16, 2, 3, 0x8000, 0xffff, 0x1234] {
            assert_eq!(mul(a, inverse(a)), 1, "{a}");
            assert_eq!(mul(a, 1), a);
            for b in [1_u16, 7, 0x8001, 0xfffe] {
                assert_eq!(mul(a, b), mul(b, a));
                for c in [5_u16, 0xc000] {
                    assert_eq!(mul(mul(a, b), c), mul(a, mul(b, c)));
                    assert_eq!(mul(a, b ^ c), mul(a, b) ^ mul(a, c));
                }
            }
        }
        // Two generates all 65,535 elements, so the modulus is irreducible.
        let (mut power, mut order) = (2, 1);
        while power != 1 {
            (power, order) = (mul(power, 2), order + 1);
        }
        assert_eq!(order, 65_535);
    }

    #[test]
    fn any_that_are_enough_give_the_secret_and_fewer_do_not() {
        let (n, t) = (6, 3);
        let shares = split(&secret(), t, n, [7; 32]).unwrap();
        for set in 0_u32..1 << n {
            let chosen: Vec<Share> =
                (0..n).filter(|i| set >> i & 1 == 1).map(|i| shares[i]).collect();
            match chosen.len() >= t {
                true => assert_eq!(join(&chosen, t).unwrap(), secret()),
                false => assert!(join(&chosen, t).is_err()),
            }
        }
        // Too few, taken for enough, give something else.
        assert_ne!(join(&shares[..2], 2).unwrap(), secret());
        assert!(join(&[shares[0], shares[0], shares[1]], 3).is_err());
    }

    /// With a share less than needed every secret is as likely: for each there is a polynomial through
    /// the shares, so over fresh coefficients the first value of a share is uniform.
    #[test]
    fn a_share_alone_is_uniform() {
        let mut counts = [0_usize; 16];
        for i in 0_u32..16_000 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&i.to_le_bytes());
            let shares = split(&secret(), 2, 2, key).unwrap();
            counts[usize::from(shares[1].values[0] >> 12)] += 1;
        }
        let square: f64 = counts.iter().map(|&c| (c as f64 - 1000.0).powi(2) / 1000.0).sum();
        // The 0.999 quantile of 15 degrees of freedom.
        assert!(square < 37.7, "{square}");
    }

    #[test]
    fn what_cannot_be_shared_is_refused() {
        for (t, n) in [(0, 3), (4, 3), (1, 70_000)] {
            assert!(split(&secret(), t, n, [0; 32]).is_err(), "{t} of {n}");
        }
    }
}
