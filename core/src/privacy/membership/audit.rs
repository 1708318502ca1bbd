//! Puts an audit together: which samples are judged, what shadow models say of them, and all attacks
//! on the same scene.

use serde::{Deserialize, Serialize};

use super::answers::Answers;
use super::augment::Augmentation;
use super::scored::Sides;
use super::shadows::{Shadow, Shadows};
use super::views::{Panel, Views};
use super::{MEMBERSHIP, MembershipEntry, Needs, Progress, Scene};
use crate::attack::{AttackConfig, Norm, Pgd, Threat};
use crate::data::Dataset;
use crate::model::{Classifier, Network};
use crate::place::Placement;
use crate::report::MembershipReport;
use crate::rng::Rng;
use crate::{Result, bail};

/// What each of `entries` finds.
///
/// # Errors
/// An attack failed; the message says which.
pub fn reports(
    entries: &[&MembershipEntry],
    scene: &Scene<'_>,
    progress: Progress<'_>,
) -> Result<Vec<MembershipReport>> {
    let mut all = Vec::new();
    for entry in entries {
        for scored in (entry.run)(scene, progress)? {
            all.push(scored.report()?);
        }
    }
    Ok(all)
}

/// The rows that an audit looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Rows of the training part that are judged.
    pub members: Vec<usize>,
    /// Rows of the test part that are judged.
    pub non_members: Vec<usize>,
    /// Rows of the test part that are not judged: what else an attacker knows to be no members.
    pub population: Vec<usize>,
}

impl Sample {
    /// Draws so many members, non-members and samples of a population, by default all, all that the
    /// population leaves, and a fifth of the test part up to 1,000.
    ///
    /// # Errors
    /// There are not so many.
    pub fn draw(
        (train, test): (usize, usize),
        members: Option<usize>,
        non_members: Option<usize>,
        population: Option<usize>,
        rng: &Rng,
    ) -> Result<Self> {
        let population = population.unwrap_or_else(|| usize::min(test / 5, 1000));
        let left = test.saturating_sub(population);
        let (m, n) = (members.unwrap_or(train), non_members.unwrap_or(left));
        if m == 0 || n == 0 || m > train || n > left {
            bail!(
                Config,
                "membership: {m} members of {train} and {n} non-members of {left} (the population has \
                 {population} of the {test} others); ask for at least 1 of each and no more than there \
                 are"
            );
        }
        let chosen = |mut rows: Vec<usize>| {
            rows.sort_unstable();
            rows
        };
        let mut order = rng.child("non-members").permutation(test);
        let others = order.split_off(population);
        Ok(Sample {
            members: chosen(rng.child("members").choose(train, m)),
            non_members: chosen(others[..n].to_vec()),
            population: chosen(order),
        })
    }
}

/// The training part and then the test part: what shadow models draw their halves from.
pub fn pooled(train: &Dataset, test: &Dataset) -> Dataset {
    let mut pool = train.clone();
    pool.features.extend_from_slice(&test.features);
    pool.labels.extend_from_slice(&test.labels);
    pool
}

impl Sample {
    /// What `target` and the shadow models, trained on halves of `pooled(train, test)`, say of the
    /// samples.
    ///
    /// # Errors
    /// As [`Answers::of`].
    pub fn views(
        &self,
        target: &Network,
        (train, test): (&Dataset, &Dataset),
        shadows: &Shadows,
        augmentations: &[Augmentation],
    ) -> Result<Views> {
        let place = Placement::new(target.device());
        let in_pool = |rows: &[usize]| rows.iter().map(|row| row + train.len()).collect::<Vec<_>>();
        let judged = [&self.members[..], &in_pool(&self.non_members)].concat();
        let asked = |data: &Dataset| -> Result<Vec<Answers>> {
            let each = augmentations.iter();
            each.map(|view| Answers::of(target, &view.apply(data)?, &place)).collect()
        };
        let judged_data = pooled(&train.select(&self.members), &test.select(&self.non_members));
        let panel = |rows: &[usize], data: &Dataset| -> Result<Panel> {
            let of = |shadow: &Shadow| answers(shadow, rows, data);
            Ok(Panel {
                target: asked(data)?,
                shadows: shadows.models.iter().map(of).collect::<Result<_>>()?,
                inside: shadows
                    .models
                    .iter()
                    .map(|s| rows.iter().map(|&row| s.inside[row]).collect())
                    .collect(),
            })
        };
        Ok(Views {
            queried: panel(&judged, &judged_data)?,
            population: panel(&in_pool(&self.population), &test.select(&self.population))?,
            members: self.members.len(),
            notes: size_note(train.len(), usize::midpoint(train.len(), test.len())),
        })
    }
}

/// What a reader must know where shadow models learn from fewer or more samples than the target.
fn size_note(target: usize, shadow: usize) -> Vec<String> {
    let ratio = shadow as f64 / target as f64;
    match (0.9..=1.1).contains(&ratio) {
        true => Vec::new(),
        false => vec![format!(
            "shadow models are trained on {shadow} samples, the target on {target}: its confidence \
             differs for that reason too, so the attack may be weaker than it could be"
        )],
    }
}

fn answers(shadow: &Shadow, rows: &[usize], data: &Dataset) -> Result<Vec<Answers>> {
    let classes = data.classes;
    let each = shadow.logits.iter().map(|logits| {
        let row = |&row: &usize| &logits[row * classes..(row + 1) * classes];
        let values = rows.iter().flat_map(row).map(|&z| f64::from(z)).collect();
        Answers::new(values, &data.labels, classes)
    });
    each.collect()
}

/// The membership attacks of an evaluation: those that need no other model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quick {
    /// Names of attacks; those that need shadow models are refused.
    pub attacks: Vec<String>,
    /// Members, and non-members, of attacks that need more than an answer a sample; those that do not
    /// are shown all.
    pub samples: usize,
}

impl Default for Quick {
    fn default() -> Self {
        let cheap = ["thresholds", "class_thresholds", "augmentation", "robust"];
        Quick { attacks: cheap.map(str::to_owned).to_vec(), samples: 1000 }
    }
}

impl Quick {
    /// The attacks.
    ///
    /// # Errors
    /// A name is unknown, or an attack needs shadow models.
    pub fn check(&self) -> Result<Vec<&'static MembershipEntry>> {
        if self.samples == 0 {
            bail!(Config, "membership: samples = 0 leaves nobody to ask about; use at least 1");
        }
        let named = |name: &String| {
            let entry = MembershipEntry::named(name)?;
            if entry.needs == Needs::Shadows {
                bail!(
                    Config,
                    "membership: {name} needs shadow models; run `inocula audit membership RUN`, whose \
                     result an evaluation takes up"
                );
            }
            Ok(entry)
        };
        self.attacks.iter().map(named).collect()
    }
}

/// Attacks `model`, trained on `train` and not on `test`, without shadow models; the robust signals are
/// those of PGD-10 at `threat`, where it is defined for that norm.
///
/// # Errors
/// The plan is out of range, an attack failed, or `progress` stopped it.
pub fn quick(
    model: &dyn Classifier,
    (train, test): (&Dataset, &Dataset),
    plan: &Quick,
    threat: Threat,
    place: &Placement,
    rng: &Rng,
    progress: Progress<'_>,
) -> Result<Vec<MembershipReport>> {
    let chosen = plan.check()?;
    let all = Sides {
        members: Answers::of(model, train, place)?,
        non_members: Answers::of(model, test, place)?,
    };
    let few = |data: &Dataset, tag: &str| {
        let mut rows = rng.child(tag).choose(data.len(), plan.samples.min(data.len()));
        rows.sort_unstable();
        data.select(&rows)
    };
    let (members, non_members) = (few(train, "members"), few(test, "non-members"));
    let evasion = pgd(threat);
    let scene = Scene {
        model,
        members: &members,
        non_members: &non_members,
        answers: &all,
        place,
        evasion: evasion.as_ref(),
        queries: 1000,
        views: None,
        rng,
    };
    // The order of the table; robust signals of a norm that PGD does not have are left out.
    let wanted = |entry: &&MembershipEntry| chosen.iter().any(|c| c.name == entry.name);
    let possible = |entry: &&MembershipEntry| entry.needs != Needs::Gradients || evasion.is_some();
    let entries: Vec<&MembershipEntry> =
        MEMBERSHIP.iter().filter(wanted).filter(possible).collect();
    reports(&entries, &scene, progress)
}

/// PGD with ten steps, if the norm has one.
fn pgd(threat: Threat) -> Option<AttackConfig> {
    let pgd = Pgd { steps: 10, ..Pgd::new(threat.norm, threat.eps) };
    let usual = matches!(threat.norm, Norm::Linf | Norm::L2 | Norm::L1);
    Some(AttackConfig::Pgd(pgd)).filter(|config| usual && config.check().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_drawn_once_and_within_what_there_is() {
        let rng = Rng::new(2);
        let sample = Sample::draw((50, 30), Some(10), None, None, &rng).unwrap();
        let sizes = (sample.members.len(), sample.non_members.len(), sample.population.len());
        assert_eq!(sizes, (10, 24, 6));
        let mut others = [&sample.non_members[..], &sample.population].concat();
        others.sort_unstable();
        assert_eq!(others, (0..30).collect::<Vec<_>>());
        for (members, others, population) in [
            (Some(51), None, None),
            (Some(0), None, None),
            (None, Some(25), None),
            (None, None, Some(30)),
        ] {
            let err = Sample::draw((50, 30), members, others, population, &rng).unwrap_err();
            assert!(err.to_string().contains("no more than there are"), "{err}");
        }
    }

    #[test]
    fn an_evaluation_refuses_attacks_that_need_shadow_models() {
        let with = |name: &str| Quick { attacks: vec![name.into()], ..Quick::default() };
        let text = with("lira").check().unwrap_err().to_string();
        assert!(text.contains("audit membership"), "{text}");
        assert!(with("threshold").check().unwrap_err().to_string().contains("did you mean"));
        assert_eq!(Quick::default().check().unwrap().len(), 4);
    }
}
