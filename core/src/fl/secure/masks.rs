//! Masks: the words of a ChaCha20 stream (RFC 8439) under a key of 256 bits, added or subtracted modulo
//! 2^32. A key makes one mask only.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// Whether a mask is put on or taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Added.
    Plus,
    /// Subtracted.
    Minus,
}

impl Side {
    /// The other one.
    pub(super) fn turned(self) -> Self {
        match self {
            Side::Plus => Side::Minus,
            Side::Minus => Side::Plus,
        }
    }

    /// That of client `own` for the mask it shares with `other`: opposite for the two.
    pub(super) fn of(own: usize, other: usize) -> Self {
        if own < other { Side::Plus } else { Side::Minus }
    }
}

/// Adds the mask of `key` to `values`, or subtracts it.
pub(super) fn apply(values: &mut [u32], key: [u8; 32], side: Side) {
    let mut stream = ChaCha20Rng::from_seed(key);
    for value in values {
        let word = stream.next_u32();
        *value = match side {
            Side::Plus => value.wrapping_add(word),
            Side::Minus => value.wrapping_sub(word),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8439, appendix A.1, test vector 1: key, nonce and counter of zeros.
    #[test]
    fn the_words_are_those_of_the_rfc() {
        let mut values = [0; 16];
        apply(&mut values, [0; 32], Side::Plus);
        assert_eq!(
            values[..4].iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>(),
            [
                0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86,
                0xbd, 0x28
            ]
        );
    }

    #[test]
    fn what_is_put_on_comes_off() {
        let start = [0, 1, u32::MAX, 1 << 31];
        let mut values = start;
        apply(&mut values, [9; 32], Side::of(3, 5));
        assert_ne!(values, start);
        apply(&mut values, [9; 32], Side::of(5, 3));
        assert_eq!(values, start);
        assert_eq!(Side::Plus.turned(), Side::Minus);
    }
}
