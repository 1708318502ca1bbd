//! How sure the figures of a membership attack are.
//!
//! An attack that found nothing has to say how much it could have missed, and one that found
//! something how much of it is luck. The area has the interval of DeLong et al. 1988, which assumes
//! no distribution but shrinks to a point where the scores separate a few samples perfectly; so it
//! is widened to that of Newcombe 2006 (method 5, which solves for the area that would give the one
//! seen) wherever that is the wider. The advantage is taken at the threshold that is best on the same
//! samples, so its interval holds for all thresholds at once (Dvoretzky, Kiefer and Wolfowitz, with
//! the constant of Massart 1990).

use super::{Interval, Roc};

impl Roc {
    /// An interval for the area under the curve at confidence `1 - alpha`, with `alpha` in (0, 1).
    pub fn auc_interval(&self, alpha: f64) -> Interval {
        let (auc, z) = (self.auc(), two_sided(alpha));
        let newcombe = newcombe(auc, self.members() as f64, self.non_members() as f64, z);
        let Some(variance) = self.delong() else { return newcombe };
        let half = z * variance.sqrt();
        Interval {
            low: newcombe.low.min(auc - half).max(0.0),
            high: newcombe.high.max(auc + half).min(1.0),
        }
    }

    /// An interval for the largest advantage that a threshold has on unseen samples, at confidence
    /// `1 - alpha`: the two empirical distributions are within
    /// `sqrt(ln(4 / alpha) / (2 n))` of the true ones, each with probability `1 - alpha / 2`.
    pub fn advantage_interval(&self, alpha: f64) -> Interval {
        let far = |n: u64| ((4.0 / alpha).ln() / (2.0 * n as f64)).sqrt();
        let (found, half) = (self.advantage(), far(self.members()) + far(self.non_members()));
        Interval { low: (found - half).max(0.0), high: (found + half).min(1.0) }
    }

    /// The variance of the area: that of the placements of members among non-members, and the other
    /// way round. `None` with one sample in a group.
    fn delong(&self) -> Option<f64> {
        let (m, n) = (self.members() as f64, self.non_members() as f64);
        if m < 2.0 || n < 2.0 {
            return None;
        }
        let auc = self.auc();
        let points: Vec<_> = self.points().collect();
        let (mut of_members, mut of_others) = (0.0, 0.0);
        for pair in points.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let below = 1.0 - f64::midpoint(from.fpr, to.fpr);
            let above = f64::midpoint(from.tpr, to.tpr);
            of_members += (to.tpr - from.tpr) * (below - auc).powi(2);
            of_others += (to.fpr - from.fpr) * (above - auc).powi(2);
        }
        Some(of_members / (m - 1.0) + of_others / (n - 1.0))
    }
}

/// The areas `t` with `|auc - t| = z sqrt(V(t))`, by bisection on each side.
fn newcombe(auc: f64, m: f64, n: f64, z: f64) -> Interval {
    let variance = |t: f64| {
        let more = (f64::midpoint(m, n) - 1.0) * ((1.0 - t) / (2.0 - t) + t / (1.0 + t));
        t * (1.0 - t) * (1.0 + more) / (m * n)
    };
    let explains = |t: f64| (auc - t).abs() <= z * variance(t).sqrt();
    let search = |far: f64| {
        let (mut out, mut within) = (far, auc);
        for _ in 0..100 {
            let middle = f64::midpoint(out, within);
            if explains(middle) { within = middle } else { out = middle }
        }
        within
    };
    Interval { low: search(0.0), high: search(1.0) }
}

/// The `z` that a standard normal exceeds in absolute value with probability `alpha`.
fn two_sided(alpha: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        let tail = libm::erfc(middle * std::f64::consts::FRAC_1_SQRT_2);
        if tail > alpha { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_normal_quantile_is_the_known_one() {
        assert!((two_sided(0.05) - 1.959_963_984_540_054).abs() < 1e-12);
        assert!((two_sided(0.01) - 2.575_829_303_548_901).abs() < 1e-12);
    }

    /// Placements by hand: members 3, 1 among others 2, 0 have 1 and 1/2, others have 1/2 and 1; each
    /// variance is 1/8, so that of the area is 1/16 + 1/16.
    #[test]
    fn the_variance_by_hand() {
        let roc = Roc::new(&[3.0, 1.0], &[2.0, 0.0]).unwrap();
        assert_eq!(roc.auc(), 0.75);
        assert!((roc.delong().unwrap() - 0.125).abs() < 1e-15);
    }

    #[test]
    fn perfect_separation_of_few_is_not_certainty() {
        let few = Roc::new(&[2.0, 3.0, 4.0], &[0.0, 1.0]).unwrap().auc_interval(0.05);
        assert!(few.high == 1.0 && few.low < 0.75, "{few:?}");
        let one = Roc::new(&[1.0], &[0.0]).unwrap().auc_interval(0.05);
        // 1 - t = z sqrt(t (1 - t)).
        assert!((one.low - 1.0 / (1.0 + two_sided(0.05).powi(2))).abs() < 1e-12, "{one:?}");
    }

    /// Of 400 intervals about as many cover the truth as are promised: scores of one distribution
    /// (area 1/2), and normal ones a standard deviation apart (area `Phi(1 / sqrt 2)`). 5 standard
    /// errors of a count of 400 at 95 % are 5.4 %.
    #[test]
    fn intervals_cover_as_promised() {
        let truth = |shift: f64| 1.0 - 0.5 * libm::erfc(shift / 2.0);
        for (shift, size) in [(0.0, (200, 150)), (1.0, (120, 300)), (0.0, (20, 20))] {
            let (mut area, mut advantage) = (0, 0);
            for trial in 0..400 {
                let mut rng = Rng::new(5).child("coverage").index(trial);
                let mut draw = |n: usize, shift: f64| -> Vec<f64> {
                    (0..n).map(|_| rng.normal() + shift).collect()
                };
                let roc = Roc::new(&draw(size.0, shift), &draw(size.1, 0.0)).unwrap();
                let (a, b) = (roc.auc_interval(0.05), roc.advantage_interval(0.05));
                area += u32::from((a.low..=a.high).contains(&truth(shift)));
                // The largest advantage of two normals is at the middle between them.
                let best = 1.0 - libm::erfc(shift / (2.0 * std::f64::consts::SQRT_2));
                advantage += u32::from((b.low..=b.high).contains(&best));
            }
            assert!((360..=399).contains(&area), "{area} of 400 cover the area at {size:?}");
            assert!(advantage >= 360, "{advantage} of 400 cover the advantage at {size:?}");
        }
    }
}
