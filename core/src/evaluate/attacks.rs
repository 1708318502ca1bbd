//! One attack of the plan on every model: made on each, shown to each.
//!
//! Examples are shown as soon as they are made and then dropped, so that memory holds those of one model
//! and one aim at a time. What a source had wrong already it sends unperturbed.

use std::time::Instant;

use super::checked::{Made, Trial};
use super::entry::Entry;
use super::pictures::Shot;
use super::tally::Tally;
use super::transfer::{Party, shown};
use super::{Judge, Progress, place};
use crate::Result;
use crate::attack::{
    self, Aim, Attack, AttackConfig, Outcome, Stage, Traced, autoattack_rows, perturb_rows,
};
use crate::metrics::summarize_perturbations;
use crate::model::{BlackBox, Classifier};
use crate::report::{Access, AttackReport, TransferMatrix};

/// What making examples on one model took, over all aims.
#[derive(Default)]
pub(super) struct Cost {
    queries: u64,
    gradient_calls: u64,
    seconds: f64,
    distance: Vec<f64>,
    turned: Vec<bool>,
}

impl Judge<'_> {
    /// Runs an entry on every maker, and shows what it made to every viewer. The examples of the attack
    /// that makes pictures are kept in `shots`, one a contender.
    pub(super) fn attack(
        &mut self,
        entry: &Entry,
        shots: &mut Vec<Shot>,
        progress: Progress<'_>,
    ) -> Result<TransferMatrix> {
        let attack = entry.attack.check()?;
        let (labels, cleans) = (self.labels.clone(), self.clean_of_viewers()?);
        let targeted = entry.target.is_some();
        let fresh = |clean| Tally::new(&labels, clean, self.test.classes, targeted);
        let mut tallies: Vec<Vec<Tally<'_>>> =
            self.makers().iter().map(|_| cleans.iter().map(|c| fresh(c)).collect()).collect();
        let pictured = !targeted && self.plan.strongest() == Some(&entry.attack);
        if pictured {
            shots.clear();
        }
        for (source, maker) in self.makers().iter().enumerate() {
            let (mut cost, mut trial) = (Cost::default(), None);
            for (run, aim) in entry.aims(self.test.classes).into_iter().enumerate() {
                let traced = Traced::new(&*attack);
                let (outcome, stages) =
                    self.make(&traced, entry, maker, (run, aim), &mut cost, progress)?;
                self.show(entry, (source, aim), &outcome, &mut tallies[source])?;
                if source < self.contenders.len() {
                    cost.count(aim, &labels, &cleans[source], self.test.classes, &outcome);
                    tallies[source][source].ask(outcome.queries_each.as_ref());
                    trial = (!targeted).then(|| Made {
                        fooled: outcome.success.clone(),
                        traces: traced.traces(),
                        stages,
                    });
                    if pictured {
                        shots.push(self.shot(&outcome)?);
                    }
                }
            }
            if source < self.contenders.len() {
                let own = &tallies[source][source];
                let report = self.attack_report(entry, attack.access().into(), own)?;
                let report = cost.put_into(report)?;
                if let Some(made) = trial {
                    let trial = Trial::own(&report, &entry.attack, attack.access(), made);
                    self.trials[source].push(trial);
                }
                self.reports[source].attacks.push(report);
            }
        }
        if !targeted {
            self.transferred(entry, &tallies, &cleans)?;
        }
        self.matrix(entry, &tallies)
    }

    /// Makes examples on one model, and what the members of AutoAttack left. An attack that may not see
    /// gradients gets a model that has none.
    pub(super) fn make(
        &self,
        attack: &dyn Attack,
        entry: &Entry,
        maker: &Party<'_>,
        (run, aim): (usize, Aim),
        cost: &mut Cost,
        progress: Progress<'_>,
    ) -> Result<(Outcome, Vec<Stage>)> {
        let phase = format!("{} on {}", entry.label(), maker.name);
        let (mut done, total) = (0, self.rows.len());
        progress(&phase, 0, total)?;
        let rng = self.rng.child("attack");
        let rng = if let Aim::After(_) = aim { rng.index(run as u64) } else { rng };
        let black = BlackBox(maker.network);
        let model: &dyn Classifier = match attack.access() {
            attack::Access::Gradient => maker.network,
            attack::Access::Score | attack::Access::Decision => &black,
        };
        let started = Instant::now();
        let place = place(maker.network);
        let (data, rows) = (self.test, &self.rows);
        let (outcome, stages) = match &entry.attack {
            AttackConfig::Autoattack(config) => {
                let progress = &mut |member: &str, done, total| {
                    progress(&format!("{member} on {}", maker.name), done, total)
                };
                autoattack_rows(config, model, data, rows, aim, &place, &rng, progress)?
            }
            _ => {
                let progress = &mut |n| {
                    done += n;
                    progress(&phase, done, total)
                };
                let made = perturb_rows(attack, model, data, rows, aim, &place, &rng, progress)?;
                (made, Vec::new())
            }
        };
        cost.seconds += started.elapsed().as_secs_f64();
        cost.queries += outcome.queries;
        cost.gradient_calls += outcome.gradient_calls;
        Ok((outcome, stages))
    }

    /// Shows examples to every viewer.
    fn show(
        &mut self,
        entry: &Entry,
        (source, aim): (usize, Aim),
        outcome: &Outcome,
        tallies: &mut [Tally<'_>],
    ) -> Result<()> {
        let away = self.distances_to_certify(outcome)?;
        for (target, viewer) in self.viewers().iter().enumerate() {
            let seen = match source == target && source < self.contenders.len() {
                true => outcome.predictions.clone(),
                false => shown(viewer.network, &outcome.adversarial, &place(viewer.network))?,
            };
            tallies[target].add(aim, &seen);
            let Some(held) = self.held.get_mut(target) else { continue };
            for (held, (seen, label)) in held.iter_mut().zip(seen.iter().zip(&self.labels)) {
                *held &= seen == label;
            }
            if let Some(away) = &away {
                let made_on = self.makers()[source].name.to_owned();
                let attack = match source == target {
                    true => entry.label(),
                    false => format!("{} made on {made_on}", entry.label()),
                };
                self.witnesses[target].note(&attack, away, &seen, &self.labels);
            }
        }
        Ok(())
    }

    /// A model's transfer figure is the pointwise worst over the examples of all others.
    fn transferred(
        &mut self,
        entry: &Entry,
        tallies: &[Vec<Tally<'_>>],
        cleans: &[Vec<i64>],
    ) -> Result<()> {
        if tallies.len() < 2 {
            return Ok(());
        }
        for target in 0..self.contenders.len() {
            let labels = self.labels.clone();
            let mut worst = Tally::new(&labels, &cleans[target], self.test.classes, false);
            for (source, row) in tallies.iter().enumerate() {
                if source != target {
                    worst.add(Aim::Untargeted, row[target].seen());
                }
            }
            let report = self.attack_report(entry, Access::Transfer, &worst)?;
            self.trials[target].push(Trial::transferred(&report, &labels, worst.seen()));
            self.reports[target].attacks.push(report);
        }
        Ok(())
    }

    /// What was counted of an attack on one model.
    pub(super) fn attack_report(
        &self,
        entry: &Entry,
        access: Access,
        tally: &Tally<'_>,
    ) -> Result<AttackReport> {
        let threat = entry.attack.check()?.threat();
        Ok(AttackReport {
            name: entry.attack.label(),
            access,
            norm: threat.norm,
            epsilon: Some(threat.budget().unwrap_or(self.plan.threat.eps)),
            targeted: entry.target.is_some(),
            target: entry.target.map(super::Target::label),
            samples: self.rows.len() as u64,
            robust_accuracy: tally.robust_accuracy()?,
            success_rate: tally.success_rate()?,
            mean_perturbation: None,
            queries: 0,
            gradient_calls: 0,
            queries_each: tally.query_counts(),
            per_class: tally.per_class(&self.test.class_names),
            seconds: None,
        })
    }
}

impl Cost {
    /// Adds the sizes of what reached its goal and had not before.
    pub(super) fn count(
        &mut self,
        aim: Aim,
        labels: &[i64],
        clean: &[i64],
        classes: usize,
        outcome: &Outcome,
    ) {
        for (i, (&label, &clean)) in labels.iter().zip(clean).enumerate() {
            let open = match super::Target::of(aim, label, classes) {
                None => clean == label,
                Some(target) => clean != target && target != label,
            };
            self.turned.push(open && outcome.success[i]);
        }
        self.distance.extend(&outcome.distance);
    }

    /// The report with its costs.
    pub(super) fn put_into(self, report: AttackReport) -> Result<AttackReport> {
        let sizes = summarize_perturbations(&self.distance, &self.turned)?;
        Ok(AttackReport {
            mean_perturbation: sizes.map(|s| s.mean),
            queries: self.queries,
            gradient_calls: self.gradient_calls,
            seconds: Some(self.seconds),
            ..report
        })
    }
}
