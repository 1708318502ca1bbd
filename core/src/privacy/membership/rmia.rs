//! The robust membership-inference attack, RMIA (Zarifzadeh et al. 2024, "Low-cost high-power
//! membership inference attacks"): a sample is a member if the target prefers it, relative to how
//! likely it is anyway, to most samples `z` of a population.
//!
//! `LR(x, z) = [p(x | target) / p(x)] / [p(z | target) / p(z)]`, and the score of `x` is the share of
//! `z` with `LR(x, z) >= gamma`. Here `p(x | model)` is the posterior of the label and `p(x)` its mean
//! over models. *Online* takes the mean over shadow models with and without `x`, half and half.
//! *Offline* has only those without, and stands in `((1 + a) p_out(x) + (1 - a)) / 2` (section 3.2):
//! models that were trained on `x` have a posterior between `p_out` and 1. `a` is not guessed: one of
//! the shadow models plays the target, the others its shadows, and the `a` with the largest area there
//! is taken. That model's members are known to whoever trained it, so nothing of the real target's
//! members is used.
//!
//! The population is of samples that neither the target nor the played one was trained on and that
//! are not judged; with the judged non-members as population the attack would know whom it judges.

use super::scored::Scored;
use super::signals::{cross_entropy, log_sum_exp};
use super::views::{Panel, Views};
use super::{MembershipEntry, Needs, Progress, Scene, views_of};
use crate::metrics::Roc;
use crate::{Result, bail};

pub(super) const ENTRY: MembershipEntry = MembershipEntry {
    name: "rmia",
    summary: "relative likelihood against a population: online, and offline with a tuned mean",
    needs: Needs::Shadows,
    run,
};

/// The ratio that counts. With 1 a score is the rank of the sample's ratio in the population; with more,
/// as in some of the paper's experiments, samples that all models are sure of tie at 0.
pub const GAMMA: f64 = 1.0;
/// Candidates for the parameter of the offline mean are multiples of one over this.
const GRID: u32 = 10;

/// How `p(x)` is taken over shadow models.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mean {
    /// Half of the mean with the sample and half of the mean without it.
    Online,
    /// `((1 + a) p_out + (1 - a)) / 2`.
    Offline {
        /// How little training on a sample is taken to change its posterior, in `[0, 1]`.
        a: f64,
    },
}

fn run(scene: &Scene<'_>, _: Progress<'_>) -> Result<Vec<Scored>> {
    let views = views_of(scene)?;
    let (queried, population) = (Table::of(&views.queried), Table::of(&views.population));
    let a = tune(views)?;
    let online = scores(&queried, &population, Mean::Online)?;
    let offline = scores(&queried, &population, Mean::Offline { a })?;
    let note = format!(
        "gamma {GAMMA}, {} population samples, {} shadow models",
        views.population.len(),
        views.queried.shadows.len()
    );
    let tuned = format!("a = {a}, tuned with a shadow model as target");
    let scored = |name: &str, scores| {
        let scored = Scored::split(name, scores, views.members).noted(&note);
        views.notes.iter().fold(scored, |scored, note| scored.noted(note))
    };
    Ok(vec![scored("RMIA online", online), scored("RMIA offline", offline).noted(tuned)])
}

/// Logarithms of posteriors of the label: a target's, and those of shadow models with their members.
struct Table {
    target: Vec<f64>,
    shadows: Vec<(Vec<f64>, Vec<bool>)>,
}

impl Table {
    fn of(panel: &Panel) -> Self {
        let log_p = |z: &[f64], y: usize| -cross_entropy(z, y);
        let shadows = panel.shadows.iter().zip(&panel.inside);
        let plain = |(answers, inside): (&Vec<super::Answers>, &Vec<bool>)| {
            (answers.first().map_or(Vec::new(), |a| a.map(log_p)), inside.clone())
        };
        Table {
            target: panel.target.first().map_or(Vec::new(), |a| a.map(log_p)),
            shadows: shadows.map(plain).collect(),
        }
    }

    /// The same with shadow model `at` as target and the others as its shadows, on the samples `keep`.
    fn played_by(&self, at: usize, keep: &[usize]) -> Table {
        let pick = |values: &[f64]| keep.iter().map(|&i| values[i]).collect::<Vec<f64>>();
        let others = self.shadows.iter().enumerate().filter(|(k, _)| *k != at);
        let part = |(_, (values, inside)): (usize, &(Vec<f64>, Vec<bool>))| {
            (pick(values), keep.iter().map(|&i| inside[i]).collect())
        };
        Table { target: pick(&self.shadows[at].0), shadows: others.map(part).collect() }
    }

    /// `log p(x | target) - log p(x)` of every sample.
    fn ratios(&self, mean: Mean) -> Result<Vec<f64>> {
        let each = |(row, found): (usize, &f64)| Ok(found - self.log_mean(row, mean)?);
        self.target.iter().enumerate().map(each).collect()
    }

    fn log_mean(&self, row: usize, mean: Mean) -> Result<f64> {
        let side = |wanted: bool| -> Result<f64> {
            let models = self.shadows.iter().filter(move |(_, inside)| inside[row] == wanted);
            let found = models.map(|(values, _)| values[row]);
            match found.clone().count() {
                0 => bail!(
                    Config,
                    "rmia: no shadow model {} sample {row}; train at least 4 shadow models",
                    if wanted { "with" } else { "without" }
                ),
                n => Ok(log_sum_exp(found) - (n as f64).ln()),
            }
        };
        let half = 0.5f64.ln();
        Ok(match mean {
            Mean::Online => half + log_sum_exp([side(true)?, side(false)?].into_iter()),
            Mean::Offline { a } => {
                half + log_sum_exp([a.ln_1p() + side(false)?, (-a).ln_1p()].into_iter())
            }
        })
    }
}

/// The share of the population that each queried sample beats by `gamma`.
fn scores(queried: &Table, population: &Table, mean: Mean) -> Result<Vec<f64>> {
    let mut others = population.ratios(mean)?;
    if others.is_empty() {
        bail!(Config, "rmia: the population is empty; give it samples with --population");
    }
    others.sort_by(f64::total_cmp);
    let beaten = |ratio: f64| others.partition_point(|z| ratio - z >= GAMMA.ln());
    let ratios = queried.ratios(mean)?;
    Ok(ratios.into_iter().map(|r| beaten(r) as f64 / others.len() as f64).collect())
}

/// The `a` of the largest area with the first shadow model as target; the smallest if several are.
fn tune(views: &Views) -> Result<f64> {
    let Some(member) = views.queried.inside.first() else {
        bail!(Config, "rmia: there is no shadow model to tune on; train at least 4");
    };
    let queried = Table::of(&views.queried);
    let all: Vec<usize> = (0..views.queried.len()).collect();
    let known = &views.population.inside[0];
    let unseen: Vec<usize> = (0..known.len()).filter(|&z| !known[z]).collect();
    let queried = queried.played_by(0, &all);
    let population = Table::of(&views.population).played_by(0, &unseen);
    let mut best = (f64::NEG_INFINITY, 0.0);
    for step in 0..=GRID {
        let a = f64::from(step) / f64::from(GRID);
        let scores = scores(&queried, &population, Mean::Offline { a })?;
        let side = |wanted: bool| -> Vec<f64> {
            let rows = scores.iter().zip(member).filter(|(_, inside)| **inside == wanted);
            rows.map(|(score, _)| *score).collect()
        };
        let auc = Roc::new(&side(true), &side(false))?.auc();
        if auc > best.0 {
            best = (auc, a);
        }
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(target: &[f64], shadows: &[(&[f64], &[bool])]) -> Table {
        let log = |p: &[f64]| p.iter().map(|p| p.ln()).collect::<Vec<f64>>();
        Table {
            target: log(target),
            shadows: shadows.iter().map(|(p, i)| (log(p), i.to_vec())).collect(),
        }
    }

    /// Posteriors in a table: `p(x)` and the ratios by hand.
    #[test]
    fn ratios_and_scores_by_hand() {
        let queried =
            table(&[0.9, 0.3], &[(&[0.8, 0.4], &[true, false]), (&[0.2, 0.6], &[false, true])]);
        // Online: means 0.5 and 0.5; ratios 1.8 and 0.6. Offline with a = 0.5: (1.5 p_out + 0.5) / 2,
        // 0.4 and 0.55.
        let online: Vec<f64> = queried.ratios(Mean::Online).unwrap();
        let offline: Vec<f64> = queried.ratios(Mean::Offline { a: 0.5 }).unwrap();
        for (got, want) in
            online.iter().zip([1.8f64, 0.6]).chain(offline.iter().zip([2.25, 6.0 / 11.0]))
        {
            assert!((got - want.ln()).abs() < 1e-12, "{got} is not ln {want}");
        }
        // Population ratios 0.5, 0.8, 1.0 and 1.6: 1.8 beats all of them, 0.6 the first.
        let half: &[f64] = &[0.5; 4];
        let sides: [&[bool]; 2] = [&[true, false, true, false], &[false, true, false, true]];
        let population = table(&[0.25, 0.4, 0.5, 0.8], &[(half, sides[0]), (half, sides[1])]);
        assert_eq!(scores(&queried, &population, Mean::Online).unwrap(), [1.0, 0.25]);
    }

    #[test]
    fn tiny_posteriors_do_not_underflow() {
        let huge = Table {
            target: vec![-2000.0],
            shadows: vec![(vec![-2001.0], vec![false]), (vec![-2002.0], vec![true])],
        };
        let ratio = huge.ratios(Mean::Online).unwrap()[0];
        let want = -2000.0 - (-2001.0 + ((1.0 + (-1f64).exp()) / 2.0).ln());
        assert!((ratio - want).abs() < 1e-9, "{ratio}");
        let limit = huge.ratios(Mean::Offline { a: 1.0 }).unwrap()[0];
        assert!((limit - 1.0).abs() < 1e-9, "a = 1 is p_out itself: {limit}");
    }

    #[test]
    fn a_sample_without_shadow_models_on_a_side_is_told_of() {
        let one_sided = table(&[0.5], &[(&[0.5], &[true])]);
        let err = one_sided.ratios(Mean::Offline { a: 0.3 }).unwrap_err().to_string();
        assert!(err.contains("without sample 0") && err.contains("at least 4"), "{err}");
    }
}
