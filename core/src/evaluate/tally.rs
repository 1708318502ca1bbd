//! What an attack left of a model, counted sample by sample while its examples are shown.
//!
//! An attack that aims at every other class takes several runs; a sample holds only if it holds in all
//! of them, and the rate of success counts each pair of sample and target.

use crate::Result;
use std::collections::BTreeMap;

use crate::attack::Aim;
use crate::metrics::{attack_success_rate, robust_accuracy};
use crate::report::{AttackedClass, QueryCounts, WrongClass};

use super::entry::Target;

/// Counts of one attack on one model.
pub(super) struct Tally<'a> {
    labels: &'a [i64],
    clean: &'a [i64],
    classes: usize,
    targeted: bool,
    /// The prediction that counts: the first wrong one that a run led to, else the right one.
    seen: Vec<i64>,
    /// Pairs of sample and target that could be reached, and were.
    open: u64,
    reached: u64,
    /// Turned samples by label and by the class that they were taken for.
    wrong: BTreeMap<(i64, i64), u64>,
    /// Whether a run reached its goal on a sample that it had yet to turn.
    fooled: Vec<bool>,
    queries: Option<Vec<u64>>,
    runs: usize,
}

impl<'a> Tally<'a> {
    /// Nothing shown yet.
    pub(super) fn new(labels: &'a [i64], clean: &'a [i64], classes: usize, targeted: bool) -> Self {
        Tally {
            labels,
            clean,
            classes,
            targeted,
            seen: clean.to_vec(),
            open: 0,
            reached: 0,
            wrong: BTreeMap::new(),
            fooled: vec![false; labels.len()],
            queries: None,
            runs: 0,
        }
    }

    /// The predictions after a run with this aim.
    pub(super) fn add(&mut self, aim: Aim, predictions: &[i64]) {
        for (i, &seen) in predictions.iter().enumerate() {
            let (label, clean) = (self.labels[i], self.clean[i]);
            let turned = clean == label && seen != label;
            match Target::of(aim, label, self.classes) {
                None => self.fooled[i] |= turned,
                Some(target) if target != label && clean != target => {
                    self.open += 1;
                    self.reached += u64::from(seen == target);
                    self.fooled[i] |= seen == target;
                }
                Some(_) => {}
            }
            if turned {
                *self.wrong.entry((label, seen)).or_default() += 1;
                if self.seen[i] == label {
                    self.seen[i] = seen;
                }
            }
        }
    }

    /// Queries of each sample in a run.
    pub(super) fn ask(&mut self, each: Option<&Vec<u64>>) {
        self.runs += 1;
        let before =
            if self.runs == 1 { Some(vec![0; self.labels.len()]) } else { self.queries.take() };
        self.queries = before.zip(each).map(|(mut sum, each)| {
            sum.iter_mut().zip(each).for_each(|(sum, asked)| *sum += asked);
            sum
        });
    }

    /// Whether the model is right on each sample before and after every run.
    pub(super) fn held(&self) -> impl Iterator<Item = bool> {
        (0..self.labels.len())
            .map(|i| self.clean[i] == self.labels[i] && self.seen[i] == self.labels[i])
    }

    /// Predictions that count.
    pub(super) fn seen(&self) -> &[i64] {
        &self.seen
    }

    pub(super) fn robust_accuracy(&self) -> Result<f64> {
        robust_accuracy(self.labels, self.clean, &self.seen)
    }

    /// Of what the attack could reach, the fraction that it did.
    pub(super) fn success_rate(&self) -> Result<Option<f64>> {
        match self.targeted {
            true => Ok((self.open > 0).then(|| self.reached as f64 / self.open as f64)),
            false => attack_success_rate(self.labels, self.clean, &self.seen),
        }
    }

    /// Queries a sample, if they are known one by one.
    pub(super) fn query_counts(&self) -> Option<QueryCounts> {
        let each = self.queries.as_ref()?;
        let asked: Vec<(u64, bool)> =
            each.iter().copied().zip(self.fooled.iter().copied()).collect();
        QueryCounts::new(asked.into_iter().filter(|(asked, _)| *asked > 0))
    }

    /// Figures of each class.
    pub(super) fn per_class(&self, names: &[String]) -> Vec<AttackedClass> {
        // Samples, those right before, those right after as well.
        let mut counts = vec![[0u64; 3]; self.classes];
        for (i, held) in self.held().enumerate() {
            let label = self.labels[i];
            let counts = &mut counts[label as usize];
            counts[0] += 1;
            counts[1] += u64::from(self.clean[i] == label);
            counts[2] += u64::from(held);
        }
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let name = |class: usize| names.get(class).cloned().unwrap_or_default();
        let each = counts.into_iter().enumerate();
        each.map(|(class, [support, right, held])| AttackedClass {
            name: name(class),
            support,
            robust_accuracy: share(held, support),
            success_rate: share(right - held, right),
            taken_for: self
                .taken_for(class as i64)
                .map(|(wrong, share)| WrongClass { name: name(wrong as usize), share }),
        })
        .collect()
    }

    /// The class that turned samples of a class are taken for most often, the first of equals, and its
    /// share of them.
    fn taken_for(&self, class: i64) -> Option<(i64, f64)> {
        let mine = || self.wrong.range((class, i64::MIN)..=(class, i64::MAX));
        let total: u64 = mine().map(|(_, count)| count).sum();
        let ((_, wrong), most) = mine().rev().max_by_key(|(_, count)| **count)?;
        Some((*wrong, *most as f64 / total as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_untargeted_run_by_hand() {
        let (labels, clean) = ([0, 1, 2, 0, 1], [0, 1, 2, 0, 2]);
        let mut tally = Tally::new(&labels, &clean, 3, false);
        tally.add(Aim::Untargeted, &[0, 0, 2, 1, 1]);
        assert_eq!(tally.held().collect::<Vec<_>>(), [true, false, true, false, false]);
        assert_eq!(tally.robust_accuracy().unwrap(), 0.4);
        assert_eq!(tally.success_rate().unwrap(), Some(0.5));
        let names: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let classes = tally.per_class(&names);
        assert_eq!(classes[0].robust_accuracy, Some(0.5));
        assert_eq!(classes[0].taken_for, Some(WrongClass { name: "b".into(), share: 1.0 }));
        // Of class 1 one was right, and it was turned; the other was wrong already.
        assert_eq!((classes[1].robust_accuracy, classes[1].success_rate), (Some(0.0), Some(1.0)));
        assert_eq!(classes[2].taken_for, None);
    }

    /// Two samples of three classes, each aimed at both other classes.
    #[test]
    fn targets_are_counted_pair_by_pair() {
        let (labels, clean) = ([0, 1], [0, 2]);
        let mut tally = Tally::new(&labels, &clean, 3, true);
        // Towards 1 and 2: the first holds, the second is at its target already and not counted.
        tally.add(Aim::After(1), &[0, 2]);
        // Towards 2 and 0: both get there.
        tally.add(Aim::After(2), &[2, 0]);
        assert_eq!(tally.success_rate().unwrap(), Some(2.0 / 3.0));
        assert_eq!(tally.robust_accuracy().unwrap(), 0.0);
        assert_eq!(tally.fooled, [true, true]);
    }

    #[test]
    fn samples_of_the_target_are_not_counted() {
        let (labels, clean) = ([0, 1, 1], [0, 0, 1]);
        let mut tally = Tally::new(&labels, &clean, 2, true);
        // A sample of class 1 that is taken for 0 is no success when an attack repairs it.
        tally.add(Aim::Class(1), &[1, 1, 1]);
        assert_eq!(tally.success_rate().unwrap(), Some(1.0));
        assert_eq!(tally.fooled, [true, false, false]);
        assert_eq!(tally.held().collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn queries_add_up_over_runs_or_are_unknown() {
        let (labels, clean) = ([0, 1], [0, 1]);
        let mut tally = Tally::new(&labels, &clean, 2, false);
        tally.add(Aim::Untargeted, &[1, 1]);
        tally.ask(Some(&vec![5, 9]));
        let counts = tally.query_counts().unwrap();
        assert_eq!((counts.mean, counts.max, counts.fooled.unwrap().median), (7.0, 9, 5.0));
        tally.ask(None);
        assert!(tally.query_counts().is_none());
    }
}
