//! Which samples each shadow model is trained on.
//!
//! Shadow models come in pairs, and each pair divides the pool into two random halves. So a sample is
//! in half of the models exactly, as in the design of LiRA's code, whether a model has it is a fair coin
//! for each, and the models of a pair have nothing in common, as RMIA pairs them. The half of a model
//! depends on its number and the seed alone: more models can be added to those that are there.

use crate::rng::Rng;

/// For each of `pool` samples, whether shadow model `shadow` is trained on it.
pub(super) fn half(pool: usize, shadow: usize, rng: &Rng) -> Vec<bool> {
    let order = rng.child("halves").index(shadow as u64 / 2).permutation(pool);
    let mut inside = vec![false; pool];
    let middle = pool / 2;
    let mine = if shadow.is_multiple_of(2) { &order[..middle] } else { &order[middle..] };
    mine.iter().for_each(|&row| inside[row] = true);
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_divide_the_pool_and_coins_are_fair() {
        let (pool, models, rng) = (101, 400, Rng::new(3));
        let all: Vec<Vec<bool>> = (0..models).map(|k| half(pool, k, &rng)).collect();
        for pair in all.chunks(2) {
            assert!(pair[0].iter().zip(&pair[1]).all(|(a, b)| a != b));
        }
        // Two samples are together in a model with probability near 1/4 (24.75 % of draws without
        // replacement); five standard errors over 200 independent pairs are 15 %.
        let both = all.iter().filter(|inside| inside[3] && inside[70]).count() as f64;
        assert!((both / f64::from(models as u32) - 0.2475).abs() < 0.12, "{both} of {models}");
        assert_eq!(half(pool, 7, &rng), all[7], "a half depends on number and seed alone");
    }
}
