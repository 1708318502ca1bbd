//! Whether one attack is weaker than another on the same images.
//!
//! Images that both fool or both leave say nothing, so what counts is on how many the two differ. Without
//! chance one image may fall to rounding; with it, the difference of the images that only one fools has a
//! standard deviation of at most the root of their number, and twice that is not held against either.
//! Distances are compared on the images that both fool: by their mean ratio, of which 1 % is rounding, and
//! with chance twice the standard error of it.

use serde::{Deserialize, Serialize};

use super::rows::{Measure, Row};

/// What one side made of the images of a row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Found {
    /// Whether each was right to begin with.
    pub(super) right: Vec<bool>,
    /// Whether each was right and is wrong now, within ball and box.
    pub(super) fooled: Vec<bool>,
    /// How far each was moved, in the norm of the row.
    pub(super) distance: Vec<f64>,
    /// Images outside of ball or box.
    pub(super) outside: usize,
    /// Images shown to the network, for each image attacked.
    pub(super) queries: f64,
    pub(super) seconds: f64,
}

/// Difference in a mean ratio of distances that is rounding.
const ROUNDING: f64 = 0.01;

impl Found {
    /// Share of images that were right and still are.
    pub(super) fn held(&self) -> f64 {
        let held =
            self.right.iter().zip(&self.fooled).filter(|(right, fooled)| **right && !**fooled);
        held.count() as f64 / self.right.len().max(1) as f64
    }

    /// Share of the images that were right that are fooled.
    pub(super) fn share(&self) -> f64 {
        let right = self.right.iter().filter(|right| **right).count();
        self.fooled.iter().filter(|fooled| **fooled).count() as f64 / right.max(1) as f64
    }

    /// Mean distance of the fooled ones; `None` if there are none.
    pub(super) fn mean(&self) -> Option<f64> {
        let all: Vec<f64> = self.pairs().filter(|(f, _)| **f).map(|(_, d)| *d).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    }

    fn pairs(&self) -> impl Iterator<Item = (&bool, &f64)> {
        self.fooled.iter().zip(&self.distance)
    }
}

/// Whether `ours` is weaker than `peer`.
pub(super) fn weaker(row: &Row, ours: &Found, peer: &Found) -> bool {
    let both = || ours.fooled.iter().zip(&peer.fooled);
    let lost = both().filter(|(ours, peer)| !**ours && **peer).count() as f64;
    let won = both().filter(|(ours, peer)| **ours && !**peer).count() as f64;
    let allowed = if row.chance { (2.0 * (lost + won).sqrt()).max(1.0) } else { 1.0 };
    if lost - won > allowed {
        return true;
    }
    row.measure == Measure::Distance && farther(row, ours, peer)
}

fn farther(row: &Row, ours: &Found, peer: &Found) -> bool {
    let logs: Vec<f64> = ours
        .pairs()
        .zip(peer.pairs())
        .filter(|((ours, a), (peer, b))| **ours && **peer && **a > 0.0 && **b > 0.0)
        .map(|((_, a), (_, b))| (a / b).ln())
        .collect();
    let n = logs.len() as f64;
    if logs.len() < 2 {
        return false;
    }
    let mean = logs.iter().sum::<f64>() / n;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let chance = if row.chance { 2.0 * (variance / n).sqrt() } else { 0.0 };
    mean > ROUNDING.max(chance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crosscheck::rows::Network;

    fn row(measure: Measure, chance: bool) -> Row {
        Row { name: "", network: Network::Cnn, attack: "", measure, chance }
    }

    fn found(fooled: &[bool], distance: &[f64]) -> Found {
        Found {
            right: vec![true; fooled.len()],
            fooled: fooled.to_vec(),
            distance: distance.to_vec(),
            outside: 0,
            queries: 1.0,
            seconds: 1.0,
        }
    }

    /// Of 20 images, those from `start` on are fooled.
    fn from(start: usize) -> Found {
        let fooled: Vec<bool> = (0..20).map(|i| i >= start).collect();
        found(&fooled, &[1.0; 20])
    }

    #[test]
    fn one_image_is_rounding_two_are_not() {
        let exact = row(Measure::Held, false);
        assert!(!weaker(&exact, &from(5), &from(4)) && weaker(&exact, &from(6), &from(4)));
        assert!(!weaker(&exact, &from(2), &from(9)), "stronger is not weaker");
        assert_eq!(from(5).held(), 0.25);
    }

    #[test]
    fn chance_is_allowed_for_by_the_images_that_differ() {
        let chance = row(Measure::Held, true);
        // Four lost and none won: 4 is not above 2 sqrt(4); five are above 2 sqrt(5).
        assert!(!weaker(&chance, &from(8), &from(4)) && weaker(&chance, &from(9), &from(4)));
    }

    #[test]
    fn distances_are_compared_on_what_both_fool() {
        let exact = row(Measure::Distance, false);
        let all = [true; 4];
        let near = found(&all, &[1.0, 2.0, 3.0, 4.0]);
        let same = found(&all, &[1.009, 2.018, 3.0, 4.0]);
        let far = found(&all, &[1.02, 2.04, 3.06, 4.08]);
        assert!(!weaker(&exact, &same, &near) && weaker(&exact, &far, &near));
        // A tool that fools only what is easy has a small mean, and is not nearer for that.
        let easy = found(&[true, true, false, false], &[1.0, 2.0, 0.0, 0.0]);
        assert!(!weaker(&exact, &near, &easy) && weaker(&exact, &easy, &near));
        assert_eq!((easy.share(), easy.mean()), (0.5, Some(1.5)));
        let chance = row(Measure::Distance, true);
        let wild = found(&all, &[1.5, 1.5, 4.0, 3.2]);
        assert!(!weaker(&chance, &wild, &near), "within twice its standard error");
        assert!(weaker(&chance, &far, &near), "every image two percent farther is not chance");
    }
}
