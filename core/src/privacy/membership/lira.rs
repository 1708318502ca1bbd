//! The likelihood-ratio attack, LiRA (Carlini et al. 2022, "Membership inference attacks from first
//! principles"): how likely is the target's confidence in a sample among models that were trained on
//! it, and among models that were not?
//!
//! Confidences are logit-scaled, `phi = log p_y - log(1 - p_y)`, whose distributions are near normal.
//! Six variants are given, since results under one name are of different ones:
//!
//! * *online* (algorithm 1): the logarithm of `N(phi; in) / N(phi; out)`, with shadow models on both
//!   sides of every sample;
//! * *offline* (equation 4): `1 - Pr[Z > phi]` for `Z` of the models without the sample, one-sided;
//! * *offline, as coded*: the authors' code scores offline by minus the log-density of `phi` among the
//!   models without the sample, about their median, so that an unusually low confidence counts as
//!   membership too.
//!
//! Each with a variance of its own for every sample, or with a fixed one. The fixed one is pooled
//! within samples here: the code takes the standard deviation over samples and models together, which
//! mixes in how samples differ, and is no variance of a sample's confidence.
//!
//! With augmentations the log-densities are averaged over them, as the code does for the multivariate
//! normal of the paper's section VI-C.

use std::f64::consts::TAU;

use super::scored::Scored;
use super::signals::phi;
use super::views::Panel;
use super::{MembershipEntry, Needs, Progress, Scene, views_of};
use crate::{Result, bail};

pub(super) const ENTRY: MembershipEntry = MembershipEntry {
    name: "lira",
    summary: "likelihood ratio of shadow models with and without the sample: online, offline",
    needs: Needs::Shadows,
    run,
};

/// Which likelihood is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// `log N(phi; in) - log N(phi; out)`.
    Online,
    /// How far `phi` is above the models without the sample, in their standard deviations: the order of
    /// `1 - Pr[Z > phi]`, without its rounding to 1.
    Offline,
    /// `-log N(phi; out)` about the median, as in the authors' code.
    OfflineCode,
}

/// Where the variance comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variance {
    /// Each sample has its own.
    PerExample,
    /// One for all, pooled within samples.
    Fixed,
}

impl Variant {
    /// Every variant.
    pub const ALL: [Variant; 3] = [Variant::Online, Variant::Offline, Variant::OfflineCode];

    /// Name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Variant::Online => "LiRA online",
            Variant::Offline => "LiRA offline (paper, eq. 4)",
            Variant::OfflineCode => "LiRA offline (as coded)",
        }
    }
}

impl Variance {
    /// Both.
    pub const ALL: [Variance; 2] = [Variance::PerExample, Variance::Fixed];

    /// Name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Variance::PerExample => "variance per example",
            Variance::Fixed => "fixed variance",
        }
    }
}

fn run(scene: &Scene<'_>, _: Progress<'_>) -> Result<Vec<Scored>> {
    let views = views_of(scene)?;
    let mut all = Vec::new();
    for variant in Variant::ALL {
        for variance in Variance::ALL {
            let scores = scores(&views.queried, variant, variance)?;
            let name = format!("{}, {}", variant.name(), variance.name());
            let scored = Scored::split(name, scores, views.members);
            all.push(views.notes.iter().fold(scored, |scored, note| scored.noted(note)));
        }
    }
    Ok(all)
}

/// The score of every sample of the panel.
///
/// # Errors
/// A sample has fewer than two shadow models on a side that the variant reads.
pub fn scores(panel: &Panel, variant: Variant, variance: Variance) -> Result<Vec<f64>> {
    let shadows = panel.shadow_figures(phi);
    let mut total = vec![0.0; panel.len()];
    for (at, answers) in panel.target.iter().enumerate() {
        let confidences: Vec<&[f64]> = shadows.iter().map(|s| s[at].as_slice()).collect();
        let of_side = |side| Side::new(&confidences, &panel.inside, side, panel.len(), variance);
        let outside = of_side(false)?;
        let inside = if variant == Variant::Online { Some(of_side(true)?) } else { None };
        for (row, found) in answers.map(phi).into_iter().enumerate() {
            let out = &outside.rows[row];
            total[row] += match (variant, &inside) {
                (Variant::Online, Some(inside)) => {
                    let within = &inside.rows[row];
                    log_normal(found, within.mean, within.std)
                        - log_normal(found, out.mean, out.std)
                }
                (Variant::OfflineCode, _) => -log_normal(found, out.median, out.std),
                _ => (found - out.mean) / out.std,
            };
        }
    }
    let each = 1.0 / panel.target.len().max(1) as f64;
    Ok(total.into_iter().map(|sum| sum * each).collect())
}

/// The models on one side of every sample.
struct Side {
    rows: Vec<Fit>,
}

/// A normal distribution of confidences.
struct Fit {
    mean: f64,
    median: f64,
    std: f64,
}

/// Keeps the deviation of equal confidences from being zero, as in the authors' code.
const TINY: f64 = 1e-30;

impl Side {
    fn new(
        confidences: &[&[f64]],
        inside: &[Vec<bool>],
        side: bool,
        samples: usize,
        variance: Variance,
    ) -> Result<Self> {
        let (mut rows, mut squares, mut freedom) = (Vec::with_capacity(samples), 0.0, 0.0);
        for row in 0..samples {
            let models = confidences.iter().zip(inside).filter(|(_, inside)| inside[row] == side);
            let mut found: Vec<f64> = models.map(|(values, _)| values[row]).collect();
            if found.len() < 2 {
                let (n, which) = (found.len(), if side { "with" } else { "without" });
                bail!(
                    Config,
                    "lira: {n} shadow models {which} sample {row}, and a deviation needs 2; train at \
                     least 4 shadow models"
                );
            }
            found.sort_by(f64::total_cmp);
            let n = found.len() as f64;
            let mean = found.iter().sum::<f64>() / n;
            let spread: f64 = found.iter().map(|v| (v - mean).powi(2)).sum();
            squares += spread;
            freedom += n - 1.0;
            let median = f64::midpoint(found[(found.len() - 1) / 2], found[found.len() / 2]);
            rows.push(Fit { mean, median, std: (spread / (n - 1.0)).sqrt() + TINY });
        }
        if variance == Variance::Fixed {
            let pooled = (squares / f64::max(freedom, 1.0)).sqrt() + TINY;
            rows.iter_mut().for_each(|fit| fit.std = pooled);
        }
        Ok(Side { rows })
    }
}

/// The logarithm of the normal density.
fn log_normal(x: f64, mean: f64, std: f64) -> f64 {
    let z = (x - mean) / std;
    -0.5 * z * z - std.ln() - 0.5 * TAU.ln()
}

#[cfg(test)]
mod tests {
    use super::super::answers::Answers;
    use super::*;
    use crate::metrics::Roc;
    use crate::rng::Rng;

    /// Answers whose log-odds of the label are `odds`.
    fn answers(odds: &[f64]) -> Answers {
        let logits = odds.iter().flat_map(|&o| [o, 0.0]).collect();
        Answers::new(logits, &vec![0; odds.len()], 2).unwrap()
    }

    fn panel(target: &[f64], shadows: &[(&[f64], &[bool])]) -> Panel {
        Panel {
            target: vec![answers(target)],
            shadows: shadows.iter().map(|(odds, _)| vec![answers(odds)]).collect(),
            inside: shadows.iter().map(|(_, inside)| inside.to_vec()).collect(),
        }
    }

    #[test]
    fn scores_by_hand() {
        let panel = panel(
            &[5.0],
            &[(&[4.0], &[true]), (&[6.0], &[true]), (&[0.0], &[false]), (&[4.0], &[false])],
        );
        let score = |variant| scores(&panel, variant, Variance::PerExample).unwrap()[0];
        // In: mean 5, deviation sqrt 2. Out: mean 2, deviation sqrt 8.
        let online = 9.0 / 16.0 + 2f64.ln();
        assert!((score(Variant::Online) - online).abs() < 1e-12);
        assert!((score(Variant::Offline) - 3.0 / 8f64.sqrt()).abs() < 1e-12);
        let density = -0.5 * 9.0 / 8.0 - 0.5 * (TAU * 8.0).ln();
        assert!((score(Variant::OfflineCode) + density).abs() < 1e-12);
    }

    #[test]
    fn the_offline_variants_differ_on_low_confidence() {
        let out: Vec<Vec<f64>> = (0..8).map(|i| vec![f64::from(i) - 3.5; 2]).collect();
        let none = [false, false];
        let shadows: Vec<(&[f64], &[bool])> = out.iter().map(|o| (&o[..], &none[..])).collect();
        let panel = panel(&[-9.0, 0.1], &shadows);
        let paper = scores(&panel, Variant::Offline, Variance::PerExample).unwrap();
        let code = scores(&panel, Variant::OfflineCode, Variance::PerExample).unwrap();
        assert!(paper[0] < paper[1] && code[0] > code[1], "{paper:?} {code:?}");
        let err = scores(&panel, Variant::Online, Variance::Fixed).unwrap_err().to_string();
        assert!(
            err.contains("0 shadow models with sample 0") && err.contains("at least 4"),
            "{err}"
        );
    }

    /// Every sample has its own difficulty `d ~ N(0, 9)`; confidences are `N(d + 2, 1)` with it in
    /// training and `N(d, 1)` without. The ratio test knows `d` and has the area
    /// `Phi(2 / sqrt 2) = 0.921`; one threshold on the confidence faces a variance of 10 and has
    /// `Phi(2 / sqrt 20) = 0.673`. With 256 shadow models the estimated ratio is all but the true one.
    /// The standard error of an area of 4,000 samples is below 0.006; bounds are three of them and what
    /// estimated means cost (0.003).
    #[test]
    fn lira_reaches_the_optimal_curve_of_normal_confidences() {
        let (samples, shadows) = (4000, 256);
        let rng = Rng::new(11).child("toy");
        let mut draw = rng.child("difficulty");
        let hard: Vec<f64> = (0..samples).map(|_| 3.0 * draw.normal()).collect();
        let mut draw = rng.child("target");
        let target: Vec<f64> = (0..samples)
            .map(|i| hard[i] + draw.normal() + if i < samples / 2 { 2.0 } else { 0.0 })
            .collect();
        let mut model = |k: u64| {
            let mut draw = rng.child("shadow").index(k);
            let inside: Vec<bool> = (0..samples).map(|_| draw.bernoulli(0.5)).collect();
            let odds: Vec<f64> = (0..samples)
                .map(|i| hard[i] + draw.normal() + if inside[i] { 2.0 } else { 0.0 })
                .collect();
            (odds, inside)
        };
        let models: Vec<(Vec<f64>, Vec<bool>)> = (0..shadows).map(&mut model).collect();
        let refs: Vec<(&[f64], &[bool])> = models.iter().map(|(o, i)| (&o[..], &i[..])).collect();
        let panel = panel(&target, &refs);
        let roc =
            |scores: Vec<f64>| Roc::new(&scores[..samples / 2], &scores[samples / 2..]).unwrap();
        for (variant, low) in [(Variant::Online, 0.90), (Variant::Offline, 0.90)] {
            for variance in Variance::ALL {
                let auc = roc(scores(&panel, variant, variance).unwrap()).auc();
                assert!(auc > low && auc < 0.921 + 0.018, "{variant:?} {variance:?}: {auc}");
            }
        }
        // TPR at 1 % FPR of the ratio test: Phi(2 - 2.326) = 0.372.
        let online = roc(scores(&panel, Variant::Online, Variance::Fixed).unwrap());
        let tpr = online.tpr_at_fpr(0.01).unwrap();
        assert!((tpr - 0.372).abs() < 0.07, "{tpr}");
        let plain = roc(target.clone()).auc();
        assert!((plain - 0.673).abs() < 0.027, "{plain}");
    }

    #[test]
    fn augmentations_are_averaged() {
        let one = panel(
            &[5.0],
            &[(&[4.0], &[true]), (&[6.0], &[true]), (&[0.0], &[false]), (&[4.0], &[false])],
        );
        let other = panel(
            &[1.0],
            &[(&[2.0], &[true]), (&[3.0], &[true]), (&[0.0], &[false]), (&[1.0], &[false])],
        );
        let mut both = one.clone();
        both.target.extend(other.target.clone());
        for (to, from) in both.shadows.iter_mut().zip(&other.shadows) {
            to.extend(from.iter().cloned());
        }
        let score = |p: &Panel| scores(p, Variant::Online, Variance::PerExample).unwrap()[0];
        let mean = f64::midpoint(score(&one), score(&other));
        assert!((score(&both) - mean).abs() < 1e-12);
    }
}
