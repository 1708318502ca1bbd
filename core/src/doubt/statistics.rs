//! When a difference is one: exact tests on counts, so that a few samples that went the other way are no
//! finding, whatever their number.
//!
//! Attacks are compared on the same samples, so only those count that one of the two fools and the other
//! does not (McNemar). Shares are compared with a floor by their exact lower bound.

use crate::metrics::{clopper_pearson_lower, regularized_beta};

/// Probability with which an indicator may find something where there is nothing.
pub const LEVEL: f64 = 0.01;

/// Share of samples, surely exceeded, from which on it matters what sound models do not show at all:
/// gradients of zero, samples that hold at any size.
pub const FLOOR: f64 = 0.02;

/// Share of samples that more steps or more starts must surely fool: the last percents fall to luck.
pub const MORE: f64 = 0.05;

/// Share of samples by which another kind of attack or loss must surely be ahead. Cross-entropy and
/// margins differ by up to an eighth of the samples on small networks that hide nothing.
pub const OTHER: f64 = 0.1;

/// The probability of `more` or more of `more + fewer` fair coins: McNemar's test, one-sided and exact.
pub(super) fn sign_test(more: usize, fewer: usize) -> f64 {
    if more == 0 {
        return 1.0;
    }
    regularized_beta(0.5, more as f64, fewer as f64 + 1.0)
}

/// The share that `count` of `of` samples show at least, with probability `1 - LEVEL`.
pub(super) fn at_least(count: usize, of: usize) -> f64 {
    clopper_pearson_lower(count as u64, of as u64, LEVEL).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_test_counts_coins() {
        assert_eq!(sign_test(0, 5), 1.0);
        for (more, fewer, p) in
            [(7, 0, 1.0 / 128.0), (1, 1, 0.75), (2, 1, 0.5), (9, 1, 11.0 / 1024.0)]
        {
            assert!((sign_test(more, fewer) - p).abs() < 1e-12, "{more} to {fewer}");
        }
    }

    #[test]
    fn a_share_of_nothing_shows_nothing() {
        assert_eq!((at_least(0, 0), at_least(0, 50)), (0.0, 0.0));
        assert!((at_least(50, 50) - 0.01f64.powf(1.0 / 50.0)).abs() < 1e-12);
    }
}
