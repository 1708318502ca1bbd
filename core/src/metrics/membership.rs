//! How well a membership-inference score tells training samples from others.
//!
//! The score of a sample is high when the adversary takes it for a member. The curve is kept in
//! counts, so that ties are exact: samples of equal score move together, and the area is the
//! Mann-Whitney statistic with ties counted as one half, without rounding before the last division.
//!
//! The average case (AUC) hides what matters most, the few samples an adversary is sure about, so
//! the true-positive rate at a low false-positive rate is reported too (Carlini et al. 2022,
//! "Membership inference attacks from first principles").

use super::confusion::ratio;
use crate::{Result, bail};

/// The receiver operating characteristic of member against non-member scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Roc {
    /// Operating points by falling threshold, from "nobody is a member" to "everybody is".
    points: Vec<Count>,
    members: u64,
    non_members: u64,
}

/// Samples at or above a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Count {
    threshold: f64,
    members: u64,
    non_members: u64,
}

/// One operating point: whoever scores at least `threshold` is taken for a member.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RocPoint {
    /// The lowest score taken for a member; infinite at the first point.
    pub threshold: f64,
    /// Fraction of non-members taken for members.
    pub fpr: f64,
    /// Fraction of members taken for members.
    pub tpr: f64,
}

impl Roc {
    /// The curve of the scores of known members and known non-members; higher means member.
    ///
    /// # Errors
    /// One of the lists is empty, or a score is NaN. Infinite scores are fine.
    pub fn new(members: &[f64], non_members: &[f64]) -> Result<Self> {
        if members.is_empty() || non_members.is_empty() {
            bail!(
                Data,
                "membership: {} member and {} non-member scores; both groups need at least one",
                members.len(),
                non_members.len()
            );
        }
        if members.iter().chain(non_members).any(|s| s.is_nan()) {
            bail!(Numeric, "membership: a score is NaN; check the losses that it was made from");
        }
        let mut scores: Vec<(f64, bool)> = (members.iter().map(|&s| (s, true)))
            .chain(non_members.iter().map(|&s| (s, false)))
            .collect();
        scores.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut at = Count { threshold: f64::INFINITY, members: 0, non_members: 0 };
        let mut points = vec![at];
        for group in scores.chunk_by(|a, b| a.0 == b.0) {
            at.threshold = group[0].0;
            let hits = group.iter().filter(|(_, member)| *member).count() as u64;
            at.members += hits;
            at.non_members += group.len() as u64 - hits;
            points.push(at);
        }
        Ok(Roc { points, members: members.len() as u64, non_members: non_members.len() as u64 })
    }

    /// Number of member scores.
    pub fn members(&self) -> u64 {
        self.members
    }

    /// Number of non-member scores.
    pub fn non_members(&self) -> u64 {
        self.non_members
    }

    /// The operating points, from (0, 0) to (1, 1).
    pub fn points(&self) -> impl ExactSizeIterator<Item = RocPoint> + '_ {
        self.points.iter().map(|c| self.rates(*c))
    }

    /// At most `limit` (at least 2) points for drawing, both ends included: half of them evenly spread,
    /// half of them ever closer towards the lowest rates, which a logarithmic axis spreads out. Scores
    /// and rates are always computed from all points.
    pub fn thinned(&self, limit: usize) -> Vec<RocPoint> {
        let (last, limit) = (self.points.len() - 1, limit.max(2));
        if last < limit {
            return self.points().collect();
        }
        let (even, close) = (limit.div_ceil(2).max(2), limit / 2);
        let evenly = (0..even).map(|i| i * last / (even - 1));
        let closer = (0..close.min(limit - even))
            .map(|i| (last as f64).powf(i as f64 / close as f64).floor() as usize);
        let mut at: Vec<usize> = evenly.chain(closer).collect();
        at.sort_unstable();
        at.dedup();
        at.into_iter().map(|i| self.rates(self.points[i])).collect()
    }

    /// Points for drawing with linear and with logarithmic axes: those of [`Roc::thinned`], and about
    /// as many more whose false-positive rates are evenly spread on a logarithmic axis.
    pub fn drawn(&self, limit: usize) -> Vec<RocPoint> {
        let (last, limit) = (self.points.len() - 1, limit.max(2));
        let mut at: Vec<usize> = (0..limit).map(|i| i * last / (limit - 1)).collect();
        let decades = (self.non_members as f64).ln();
        at.extend((0..limit).map(|i| {
            let fpr = (decades * (i as f64 / (limit - 1) as f64 - 1.0)).exp();
            let allowed = fpr * self.non_members as f64 * (1.0 + 1e-12);
            self.points.partition_point(|c| c.non_members as f64 <= allowed).max(1) - 1
        }));
        at.sort_unstable();
        at.dedup();
        at.into_iter().map(|i| self.rates(self.points[i])).collect()
    }

    /// Probability that a random member scores above a random non-member, ties counting one half:
    /// 0.5 is chance.
    pub fn auc(&self) -> f64 {
        let twice: u128 = (self.points.windows(2))
            .map(|w| {
                let width = u128::from(w[1].non_members - w[0].non_members);
                width * u128::from(w[0].members + w[1].members)
            })
            .sum();
        twice as f64 / (2.0 * self.members as f64 * self.non_members as f64)
    }

    /// The threshold of the largest advantage: the highest such if several are equal.
    pub fn best(&self) -> RocPoint {
        let scaled = |c: &Count| {
            i128::from(c.members) * i128::from(self.non_members)
                - i128::from(c.non_members) * i128::from(self.members)
        };
        let mut best = &self.points[0];
        for c in &self.points[1..] {
            if scaled(c) > scaled(best) {
                best = c;
            }
        }
        self.rates(*best)
    }

    /// Largest `TPR - FPR` over the thresholds (Yeom et al. 2018): 0 is chance, 1 is certainty.
    pub fn advantage(&self) -> f64 {
        let best = self.best();
        best.tpr - best.fpr
    }

    /// What [`Roc::advantage`] stays below with probability `1 - alpha` if the scores tell nothing:
    /// the best threshold is chosen after the fact, so noise alone gives more than 0. The one-sided
    /// Smirnov bound `sqrt(ln(1 / alpha) / 2 * (1 / members + 1 / non_members))`.
    pub fn advantage_by_chance(&self, alpha: f64) -> f64 {
        let each = 1.0 / self.members as f64 + 1.0 / self.non_members as f64;
        (-alpha.ln() / 2.0 * each).sqrt()
    }

    /// Accuracy at the best threshold if members and non-members were equally many: 0.5 is chance.
    pub fn balanced_accuracy(&self) -> f64 {
        f64::midpoint(1.0, self.advantage())
    }

    /// Largest TPR among the thresholds whose FPR is at most `fpr`.
    ///
    /// `None` when there are fewer than `1 / fpr` non-members: a single false positive would then
    /// exceed the rate, and the figure would only say how the top few scores fell.
    pub fn tpr_at_fpr(&self, fpr: f64) -> Option<f64> {
        self.point_at_fpr(fpr).map(|point| point.tpr)
    }

    /// The operating point of [`Roc::tpr_at_fpr`], and `None` where that is.
    pub fn point_at_fpr(&self, fpr: f64) -> Option<RocPoint> {
        // The slack keeps 1000 * 0.001 from counting as less than one.
        let allowed = fpr * self.non_members as f64 * (1.0 + 1e-12);
        if allowed.is_nan() || allowed < 1.0 {
            return None;
        }
        let within = self.points.iter().take_while(|c| c.non_members as f64 <= allowed);
        within.last().map(|c| self.rates(*c))
    }

    fn rates(&self, c: Count) -> RocPoint {
        RocPoint {
            threshold: c.threshold,
            fpr: ratio(c.non_members, self.non_members),
            tpr: ratio(c.members, self.members),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, pair by pair.
    fn mann_whitney(members: &[f64], non_members: &[f64]) -> f64 {
        let mut halves = 0u32;
        for m in members {
            for n in non_members {
                halves += if m > n { 2 } else { u32::from(m == n) };
            }
        }
        f64::from(halves) / (2 * members.len() * non_members.len()) as f64
    }

    #[test]
    fn area_is_mann_whitney_with_ties() {
        let cases: [(&[f64], &[f64]); 5] = [
            (&[0.9, 0.8, 0.7], &[0.1, 0.2]),
            (&[0.5, 0.5], &[0.5]),
            (&[1.0, 0.5, 0.5, 0.2], &[0.5, 0.5, 0.2, 0.1, 1.0]),
            (&[f64::NEG_INFINITY, 0.0], &[-0.0, f64::INFINITY]),
            (&[0.1], &[0.9, 0.8]),
        ];
        for (members, non_members) in cases {
            let roc = Roc::new(members, non_members).unwrap();
            assert_eq!(roc.auc(), mann_whitney(members, non_members), "{members:?}");
        }
    }

    #[test]
    fn figures_match_a_table_made_by_hand() {
        // Thresholds 4, 3, 2, 1 give (FPR, TPR) = (0, .5), (.25, .5), (.5, 1), (1, 1).
        let roc = Roc::new(&[4.0, 2.0], &[3.0, 2.0, 1.0, 1.0]).unwrap();
        let points: Vec<(f64, f64)> = roc.points().map(|p| (p.fpr, p.tpr)).collect();
        assert_eq!(points, [(0.0, 0.0), (0.0, 0.5), (0.25, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        assert_eq!(roc.advantage(), 0.5);
        assert_eq!(roc.best().threshold, 4.0);
        assert_eq!(roc.balanced_accuracy(), 0.75);
        assert_eq!(roc.tpr_at_fpr(0.25), Some(0.5));
        assert_eq!(roc.tpr_at_fpr(0.5), Some(1.0));
        assert_eq!(roc.tpr_at_fpr(0.2), None, "4 non-members cannot show a rate of 0.2");
        assert_eq!(roc.tpr_at_fpr(0.0), None);
        assert_eq!(roc.tpr_at_fpr(f64::NAN), None);
    }

    #[test]
    fn a_rate_is_given_from_exactly_one_over_fpr_non_members_on() {
        let members = [2.0];
        for n in [10usize, 100, 1000, 3000, 100_000] {
            let fpr = 1.0 / n as f64;
            let scores = vec![1.0; n];
            assert_eq!(Roc::new(&members, &scores).unwrap().tpr_at_fpr(fpr), Some(1.0), "{n}");
            let fewer = &scores[1..];
            assert_eq!(Roc::new(&members, fewer).unwrap().tpr_at_fpr(fpr), None, "{n}");
        }
    }

    #[test]
    fn a_score_worse_than_chance_has_no_advantage() {
        let roc = Roc::new(&[0.0, 0.1], &[0.8, 0.9]).unwrap();
        assert_eq!((roc.auc(), roc.advantage(), roc.balanced_accuracy()), (0.0, 0.0, 0.5));
    }

    #[test]
    fn thinning_keeps_both_ends() {
        let members: Vec<f64> = (0..500).map(f64::from).collect();
        let others: Vec<f64> = (0..500).map(|i| f64::from(i) - 0.5).collect();
        let roc = Roc::new(&members, &others).unwrap();
        let thin = roc.thinned(50);
        assert!((25..=50).contains(&thin.len()), "{}", thin.len());
        assert_eq!((thin[0].fpr, thin[0].tpr), (0.0, 0.0));
        let end = thin[thin.len() - 1];
        assert_eq!((end.fpr, end.tpr), (1.0, 1.0));
        // The lowest rates are those that a logarithmic axis shows.
        assert!(thin.iter().filter(|p| p.fpr < 0.01).count() >= 5);
        assert_eq!(roc.thinned(2).len(), 2);
        assert_eq!(roc.thinned(5000).len(), 1001);
    }

    #[test]
    fn drawn_points_reach_every_decade_of_false_positives() {
        let members: Vec<f64> = (0..5000).map(|i| f64::from(i) + 0.3).collect();
        let others: Vec<f64> = (0..5000).map(f64::from).collect();
        let drawn = Roc::new(&members, &others).unwrap().drawn(60);
        assert!(drawn.len() <= 120 && drawn.is_sorted_by(|a, b| a.fpr <= b.fpr));
        // 5,000 non-members have five rates up to 0.001.
        let decades = [(1e-4, 1e-3, 5), (1e-3, 1e-2, 8), (1e-2, 1e-1, 8), (0.1, 1.0, 8)];
        for (low, high, least) in decades {
            let within = drawn.iter().filter(|p| (low..=high).contains(&p.fpr)).count();
            assert!(within >= least, "{within} points of [{low}, {high}]");
        }
        assert_eq!((drawn[0].fpr, drawn[drawn.len() - 1].tpr), (0.0, 1.0));
    }

    #[test]
    fn empty_groups_and_nan_are_refused() {
        assert!(Roc::new(&[], &[1.0]).is_err());
        assert!(Roc::new(&[1.0], &[]).is_err());
        assert!(Roc::new(&[f64::NAN], &[1.0]).is_err());
    }
}
