//! What is reported of a membership attack, and what may be said of it.
//!
//! Every figure has its interval, and one that the samples cannot show is refused in words. An attack
//! that found nothing is reported as just that: another one may find more, so no wording here calls
//! a model private.

use serde::{Deserialize, Serialize};

use crate::metrics::{Interval, Roc, clopper_pearson};

/// One minus the confidence of all intervals.
const ALPHA: f64 = 0.05;
/// Points of the curve that a report keeps, for each kind of axis.
const CURVE_POINTS: usize = 200;

/// A membership-inference attack: can training samples be told from others?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MembershipReport {
    /// The attack: `loss threshold`, `LiRA online, variance per example`.
    pub attack: String,
    /// Area under the ROC curve: 0.5 is chance.
    pub auc: f64,
    /// Interval of `auc` at 95 % confidence (DeLong et al. 1988, widened to Newcombe 2006).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc_interval: Option<Interval>,
    /// Largest difference of true- and false-positive rate: 0 is chance.
    pub advantage: f64,
    /// Interval of `advantage` at 95 % confidence, which holds for all thresholds at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advantage_interval: Option<Interval>,
    /// The advantage that useless scores stay below in 95 of 100 cases, with as many samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advantage_by_chance: Option<f64>,
    /// Accuracy at the best threshold with members and non-members in equal number: 0.5 is chance.
    pub balanced_accuracy: f64,
    /// Member scores.
    pub members: u64,
    /// Non-member scores.
    pub non_members: u64,
    /// True-positive rates at low false-positive rates, for as many rates as the samples can show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tpr_at_fpr: Vec<TprAtFpr>,
    /// Figures that the samples cannot show, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// The attack at the threshold that it learnt on other samples, where it learns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learnt: Option<LearntThreshold>,
    /// What a reader must know of how the attack was made, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The curve as (false-positive rate, true-positive rate), thinned for drawing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roc: Vec<[f64; 2]>,
}

/// A true-positive rate at a given false-positive rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TprAtFpr {
    /// The false-positive rate allowed.
    pub fpr: f64,
    /// The largest true-positive rate within it.
    pub tpr: f64,
    /// Clopper-Pearson interval of `tpr` at 95 % confidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Clopper-Pearson interval, at 95 % confidence, of the false-positive rate that the threshold has
    /// on unseen samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fpr_interval: Option<Interval>,
}

/// What a threshold that was learnt on other samples does on these.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LearntThreshold {
    /// Fraction of members taken for members.
    pub tpr: f64,
    /// Clopper-Pearson interval of `tpr` at 95 % confidence.
    pub tpr_interval: Interval,
    /// Fraction of non-members taken for members.
    pub fpr: f64,
    /// Clopper-Pearson interval of `fpr` at 95 % confidence.
    pub fpr_interval: Interval,
    /// Accuracy with members and non-members in equal number: 0.5 is chance.
    pub balanced_accuracy: f64,
}

impl LearntThreshold {
    /// Whoever scores at least `threshold` is taken for a member; `None` without scores.
    pub fn new(threshold: f64, members: &[f64], non_members: &[f64]) -> Option<Self> {
        let rate = |scores: &[f64]| {
            let hits = scores.iter().filter(|s| **s >= threshold).count() as u64;
            let interval = clopper_pearson(hits, scores.len() as u64, ALPHA).ok()?;
            Some((hits as f64 / scores.len() as f64, interval))
        };
        let ((tpr, tpr_interval), (fpr, fpr_interval)) = (rate(members)?, rate(non_members)?);
        let balanced_accuracy = f64::midpoint(1.0, tpr - fpr);
        Some(LearntThreshold { tpr, tpr_interval, fpr, fpr_interval, balanced_accuracy })
    }
}

impl MembershipReport {
    /// The figures of `roc`, with the true-positive rate at each of `fprs` that its number of
    /// non-members can show, and the reason for each that it cannot.
    pub fn new(attack: impl Into<String>, roc: &Roc, fprs: &[f64]) -> Self {
        let shown = |&fpr: &f64| at(roc, fpr).ok_or_else(|| refusal(roc, fpr));
        let (tpr_at_fpr, refused): (Vec<_>, Vec<_>) =
            fprs.iter().map(shown).partition(Result::is_ok);
        MembershipReport {
            attack: attack.into(),
            auc: roc.auc(),
            auc_interval: Some(roc.auc_interval(ALPHA)),
            advantage: roc.advantage(),
            advantage_interval: Some(roc.advantage_interval(ALPHA)),
            advantage_by_chance: Some(roc.advantage_by_chance(ALPHA)),
            balanced_accuracy: roc.balanced_accuracy(),
            members: roc.members(),
            non_members: roc.non_members(),
            tpr_at_fpr: tpr_at_fpr.into_iter().flatten().collect(),
            refused: refused.into_iter().filter_map(Result::err).collect(),
            learnt: None,
            notes: Vec::new(),
            roc: roc.drawn(CURVE_POINTS).iter().map(|p| [p.fpr, p.tpr]).collect(),
        }
    }

    /// Whether the attack told members from others beyond chance: on average, or among the few that it
    /// is sure of.
    pub fn leaks(&self) -> bool {
        self.leaks_on_average() || self.surest().is_some()
    }

    fn leaks_on_average(&self) -> bool {
        self.auc_interval.is_some_and(|interval| interval.low > 0.5)
    }

    /// The first rate at which more members are found than guessing would find.
    fn surest(&self) -> Option<&TprAtFpr> {
        self.tpr_at_fpr
            .iter()
            .find(|t| t.interval.zip(t.fpr_interval).is_some_and(|(tpr, fpr)| tpr.low > fpr.high))
    }

    /// What may be said: `found nothing beyond chance: AUC 0.503, 95 % interval 0.491 to 0.515; ...`.
    pub fn verdict(&self) -> String {
        let sure = self
            .auc_interval
            .map_or(String::new(), |i| format!(", 95 % interval {:.3} to {:.3}", i.low, i.high));
        let area = format!("AUC {:.3}{sure}", self.auc);
        match self.surest() {
            _ if self.leaks_on_average() => format!("tells members from others: {area}"),
            Some(few) => format!(
                "tells a few members from others: TPR {:.2} % at {} % FPR; {area}",
                100.0 * few.tpr,
                100.0 * few.fpr
            ),
            None => format!("found nothing beyond chance: {area}; another attack may find more"),
        }
    }
}

fn at(roc: &Roc, fpr: f64) -> Option<TprAtFpr> {
    let point = roc.point_at_fpr(fpr)?;
    let interval =
        |rate: f64, of: u64| clopper_pearson((rate * of as f64).round() as u64, of, ALPHA).ok();
    Some(TprAtFpr {
        fpr,
        tpr: point.tpr,
        interval: interval(point.tpr, roc.members()),
        fpr_interval: interval(point.fpr, roc.non_members()),
    })
}

fn refusal(roc: &Roc, fpr: f64) -> String {
    let (percent, n) = (fpr * 100.0, roc.non_members());
    let needed = (1.0 / fpr - 1e-9).ceil();
    format!(
        "TPR at {percent} % FPR refused: with {n} non-members one false positive exceeds the rate; \
         supply at least {needed}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roc(members: usize, others: usize, shift: f64) -> Roc {
        let spread = |n: usize, by: f64| -> Vec<f64> {
            (0..n).map(|i| (i as f64 + 0.5) / n as f64 + by).collect()
        };
        Roc::new(&spread(members, shift), &spread(others, 0.0)).unwrap()
    }

    #[test]
    fn a_rate_that_the_samples_cannot_show_is_refused_with_the_reason() {
        let few = MembershipReport::new("loss", &roc(500, 999, 0.0), &[0.01, 0.001]);
        assert_eq!(few.tpr_at_fpr.len(), 1);
        assert_eq!(
            few.refused,
            [
                "TPR at 0.1 % FPR refused: with 999 non-members one false positive exceeds the rate; \
              supply at least 1000"
            ]
        );
        let enough = MembershipReport::new("loss", &roc(500, 1000, 0.0), &[0.01, 0.001]);
        assert_eq!((enough.tpr_at_fpr.len(), enough.refused.len()), (2, 0));
    }

    #[test]
    fn rates_have_the_intervals_of_their_counts() {
        let report = MembershipReport::new("loss", &roc(400, 1000, 0.25), &[0.01]);
        let found = report.tpr_at_fpr[0];
        let hits = (found.tpr * 400.0).round() as u64;
        assert_eq!(found.interval, clopper_pearson(hits, 400, 0.05).ok());
        assert_eq!(found.fpr_interval, clopper_pearson(10, 1000, 0.05).ok());
    }

    #[test]
    fn nothing_found_is_said_with_its_interval_and_never_called_private() {
        let nothing = MembershipReport::new("loss", &roc(300, 1000, 0.0), &[0.01]);
        assert!(!nothing.leaks());
        let text = nothing.verdict();
        assert!(text.starts_with("found nothing beyond chance: AUC 0.500, 95 % interval 0.4"));
        assert!(text.ends_with("another attack may find more") && !text.contains("private"));
        let leak = MembershipReport::new("loss", &roc(300, 1000, 0.3), &[0.01]);
        assert!(leak.leaks() && leak.verdict().starts_with("tells members"), "{}", leak.verdict());
    }

    /// Five members of a hundred that stand out, and the rest as the others: no more than chance on
    /// average, and a leak all the same.
    #[test]
    fn a_few_sure_members_are_a_leak() {
        let others: Vec<f64> = (0..2000).map(f64::from).collect();
        let members: Vec<f64> =
            (0..2000).map(|i| if i % 20 == 0 { 1e6 } else { 0.93 * f64::from(i) }).collect();
        let report = MembershipReport::new("lira", &Roc::new(&members, &others).unwrap(), &[0.001]);
        assert!(report.auc_interval.unwrap().low < 0.5, "{:?}", report.auc_interval);
        let text = report.verdict();
        assert!(report.leaks() && text.starts_with("tells a few members from others"), "{text}");
    }

    #[test]
    fn a_learnt_threshold_by_hand() {
        let learnt = LearntThreshold::new(1.0, &[0.0, 1.0, 2.0, 3.0], &[0.0, 0.5, 2.0, 0.1]);
        let learnt = learnt.unwrap();
        assert_eq!((learnt.tpr, learnt.fpr, learnt.balanced_accuracy), (0.75, 0.25, 0.75));
        assert!(LearntThreshold::new(1.0, &[], &[1.0]).is_none());
    }
}
