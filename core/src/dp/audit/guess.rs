//! From scores to guesses: who was in, who was out, and of whom nothing is said.
//!
//! Saying nothing of the canaries in the middle costs nothing, and the rest are right more often.
//! How many guesses to make has to be fixed before the coins are looked at, or be paid for by a
//! union over all numbers that were tried; this module takes the number as given.

use crate::{Result, bail};

/// What the auditor guessed, and how often that was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guesses {
    /// m, the canaries that had a coin.
    pub canaries: usize,
    /// r, those of which a guess was made.
    pub guesses: usize,
    /// v, right guesses.
    pub correct: usize,
}

impl Guesses {
    /// Guesses `in` for the `top` canaries of the highest scores, and `out` for the `bottom` ones of
    /// the lowest. `coins` says who was in; equal scores go by their place, which the coins do not
    /// know.
    ///
    /// # Errors
    /// `scores` and `coins` differ in number, more guesses than canaries, or a score is not a number.
    pub fn of(scores: &[f64], coins: &[bool], top: usize, bottom: usize) -> Result<Self> {
        let canaries = scores.len();
        if canaries != coins.len() {
            bail!(Usage, "audit: {canaries} scores for {} coins; pass one each", coins.len());
        }
        if top.saturating_add(bottom) > canaries {
            bail!(Usage, "audit: {top} + {bottom} guesses of {canaries} canaries; make fewer");
        }
        if let Some(i) = scores.iter().position(|s| s.is_nan()) {
            bail!(Numeric, "audit: the score of canary {i} is not a number; check the releases");
        }
        let mut order: Vec<usize> = (0..canaries).collect();
        order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b)));
        let held_out = order[..bottom].iter().filter(|i| !coins[**i]).count();
        let held_in = order[canaries - top..].iter().filter(|i| coins[**i]).count();
        Ok(Guesses { canaries, guesses: top + bottom, correct: held_out + held_in })
    }

    /// As [`Guesses::of`], with half of the `count` guesses for either side.
    ///
    /// # Errors
    /// As [`Guesses::of`].
    pub fn balanced(scores: &[f64], coins: &[bool], count: usize) -> Result<Self> {
        Guesses::of(scores, coins, count.div_ceil(2), count / 2)
    }

    /// Refuses counts that contradict each other.
    pub(super) fn check(&self) -> Result<()> {
        let Guesses { canaries, guesses, correct } = *self;
        if correct > guesses || guesses > canaries {
            bail!(
                Usage,
                "audit: {correct} right of {guesses} guesses of {canaries} canaries; pass correct <= \
                 guesses <= canaries"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clearest_cases_are_guessed() {
        let scores = [3.0, -1.0, 0.1, 5.0, -2.0, 0.0];
        let coins = [true, false, true, false, false, true];
        let of = |top, bottom| {
            let g = Guesses::of(&scores, &coins, top, bottom).unwrap();
            (g.guesses, g.correct)
        };
        assert_eq!(of(0, 0), (0, 0));
        assert_eq!(of(1, 0), (1, 0));
        assert_eq!(of(2, 0), (2, 1));
        assert_eq!(of(0, 2), (2, 2));
        assert_eq!(of(2, 2), (4, 3));
        assert_eq!(of(3, 3), (6, 4));
        let odd = Guesses::balanced(&scores, &coins, 3).unwrap();
        assert_eq!((odd.guesses, odd.correct), (3, 2));
    }

    #[test]
    fn what_cannot_be_guessed_is_refused() {
        assert!(Guesses::of(&[1.0], &[true, false], 0, 0).is_err());
        assert!(Guesses::of(&[1.0, 2.0], &[true, false], 2, 1).is_err());
        assert!(Guesses::of(&[1.0, f64::NAN], &[true, false], 1, 1).is_err());
        assert!(Guesses::of(&[1.0, f64::INFINITY], &[true, false], 1, 1).is_ok());
    }
}
