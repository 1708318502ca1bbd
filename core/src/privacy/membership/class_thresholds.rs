//! A threshold for each class (Song and Mittal 2021, section 4.1): classes differ in how sure a model
//! is of them, and one threshold for all mixes that with membership.
//!
//! The thresholds are learnt on samples that are not judged. Learnt on the judged ones they would fit
//! their noise, ten classes ten times, and the figures would be too good. Where there are shadow
//! models they are learnt on those, as in the paper; else on a random half of members and
//! non-members, which is an adversary who knows that half, and the other half is judged.

use super::scored::{Scored, Sides};
use super::signals::Signal;
use super::{MembershipEntry, Needs, Progress, Scene};
use crate::metrics::Roc;
use crate::rng::Rng;
use crate::{Result, bail};

pub(super) const ENTRY: MembershipEntry = MembershipEntry {
    name: "class_thresholds",
    summary: "the same with a threshold for each class, learnt on other samples or shadow models",
    needs: Needs::Answers,
    run,
};

fn run(scene: &Scene<'_>, _: Progress<'_>) -> Result<Vec<Scored>> {
    if let Some(views) = scene.views {
        let learnt: Vec<Sides> = views.queried.as_sides()?;
        return judged(&learnt, scene.answers, " of shadow models", "learnt on the shadow models");
    }
    let (known, open) = halves(scene.answers, &scene.rng.child("calibration"))?;
    judged(&[known], &open, "", "learnt on a random half of the samples, which is not judged")
}

/// A random half of either side, and the rest.
fn halves(answers: &Sides, rng: &Rng) -> Result<(Sides, Sides)> {
    let (m, n) = (answers.members.len(), answers.non_members.len());
    if m < 2 || n < 2 {
        bail!(
            Data,
            "membership: thresholds by class are learnt on half of {m} members and {n} non-members; \
             supply at least 2 of each"
        );
    }
    let order = |tag: &str, count: usize| rng.child(tag).permutation(count);
    let (a, b) = (order("members", m), order("non-members", n));
    let part = |from: &[usize], others: &[usize]| Sides {
        members: answers.members.select(from),
        non_members: answers.non_members.select(others),
    };
    Ok((part(&a[..m / 2], &b[..n / 2]), part(&a[m / 2..], &b[n / 2..])))
}

/// `suffix` and `how` say where the thresholds come from, in the name and in full.
fn judged(known: &[Sides], open: &Sides, suffix: &str, how: &str) -> Result<Vec<Scored>> {
    let scored = |signal: Signal| {
        let thresholds = learn(known, signal)?;
        let name = format!("{} threshold per class{suffix}", signal.name());
        let scored = open.scored(name, |side| {
            side.map(|logits, label| signal.score(logits, label) - thresholds[label])
        });
        let note = format!("thresholds {how}");
        Ok(Scored { threshold: Some(0.0), ..scored.noted(note) })
    };
    Signal::ALL.into_iter().map(scored).collect()
}

/// The threshold of each class that has the largest advantage on `known`; that of all classes together
/// for a class without members or without others.
fn learn(known: &[Sides], signal: Signal) -> Result<Vec<f64>> {
    let classes = known.first().map_or(0, |sides| sides.members.classes());
    let gather = |of_members: bool, class: Option<usize>| -> Vec<f64> {
        let sides = known.iter().map(|k| if of_members { &k.members } else { &k.non_members });
        let rows = sides.flat_map(|side| side.rows());
        let wanted = rows.filter(|(_, label)| class.is_none_or(|class| *label == class));
        wanted.map(|(logits, label)| signal.score(logits, label)).collect()
    };
    let all = best(&gather(true, None), &gather(false, None))?;
    let each = |class| {
        let (members, others) = (gather(true, Some(class)), gather(false, Some(class)));
        if members.is_empty() || others.is_empty() { Ok(all) } else { best(&members, &others) }
    };
    (0..classes).map(each).collect()
}

/// The threshold of the largest advantage. Where no threshold has any, the largest score: it takes
/// next to nobody for a member.
fn best(members: &[f64], others: &[f64]) -> Result<f64> {
    let roc = Roc::new(members, others)?;
    let found = roc.best().threshold;
    Ok(if found.is_finite() { found } else { roc.points().nth(1).map_or(0.0, |p| p.threshold) })
}

#[cfg(test)]
mod tests {
    use super::super::answers::Answers;
    use super::*;

    /// Two classes of two samples a side whose log-odds are given.
    fn sides(members: [f64; 4], others: [f64; 4]) -> Sides {
        let answers = |odds: [f64; 4]| {
            let logits = [(odds[0], 0), (odds[1], 0), (odds[2], 1), (odds[3], 1)]
                .iter()
                .flat_map(|&(odds, class)| if class == 0 { [odds, 0.0] } else { [0.0, odds] })
                .collect();
            Answers::new(logits, &[0, 0, 1, 1], 2).unwrap()
        };
        Sides { members: answers(members), non_members: answers(others) }
    }

    /// Within each class members are surer; over both, the others of the easy class are surer than the
    /// members of the hard one.
    #[test]
    fn thresholds_of_their_own_tell_classes_of_different_difficulty_apart() {
        let known = sides([9.0, 8.0, 2.0, 1.0], [7.0, 6.0, 0.0, -1.0]);
        let open = sides([8.8, 8.2, 1.8, 1.2], [7.2, 6.1, 0.2, -0.8]);
        let by_class = &judged(&[known], &open, "", "here").unwrap()[0];
        let report = by_class.report().unwrap();
        assert_eq!(report.attack, "loss threshold per class");
        assert_eq!(report.auc, 1.0);
        assert_eq!(report.learnt.unwrap().balanced_accuracy, 1.0);
        let one = open.scored("loss", |side| side.signal(Signal::Loss)).report().unwrap();
        assert_eq!(one.auc, 0.75);
    }

    #[test]
    fn a_class_without_calibration_samples_takes_the_threshold_of_all() {
        let one_class = |odds: &[f64]| {
            let logits = odds.iter().flat_map(|&o| [o, 0.0]).collect();
            Answers::new(logits, &vec![0; odds.len()], 2).unwrap()
        };
        let known = Sides { members: one_class(&[3.0, 4.0]), non_members: one_class(&[1.0, 2.0]) };
        let learnt = learn(&[known], Signal::Confidence).unwrap();
        assert_eq!(learnt, [3.0, 3.0]);
    }

    #[test]
    fn halves_are_disjoint_and_together_everything() {
        let all = sides([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
        let (known, open) = halves(&all, &Rng::new(1)).unwrap();
        let mut seen: Vec<f64> = [known.members, open.members, known.non_members, open.non_members]
            .iter()
            .flat_map(|side| side.map(super::super::signals::phi))
            .collect();
        seen.sort_by(f64::total_cmp);
        assert_eq!(seen, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    }
}
