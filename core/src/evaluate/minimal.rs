//! Attacks without a budget: how far each sample has to be moved.
//!
//! Where such an attack measures in the norm of the plan, what it found within the plan's budget counts as
//! an attack at that budget as well; in another norm it gives the distribution only.

use super::attacks::Cost;
use super::entry::Entry;
use super::tally::Tally;
use super::{Judge, Progress};
use crate::Result;
use crate::attack::{Aim, AttackConfig, Outcome};
use crate::report::SizeDistribution;

impl Judge<'_> {
    /// Runs an attack without a budget on every model.
    pub(super) fn minimal(&mut self, config: &AttackConfig, progress: Progress<'_>) -> Result<()> {
        let attack = config.check()?;
        let entry = Entry::from(config.clone());
        let norm = attack.threat().norm;
        let labels = self.labels.clone();
        let makers = self.makers();
        for (i, maker) in makers.iter().enumerate().take(self.contenders.len()) {
            let mut cost = Cost::default();
            let run = (0, Aim::Untargeted);
            let (outcome, _) = self.make(&*attack, &entry, maker, run, &mut cost, progress)?;
            let sizes: Vec<Option<f64>> = (outcome.success.iter().zip(&outcome.distance))
                .map(|(s, d)| s.then_some(*d))
                .collect();
            let sizes = self.of_right(i, &sizes);
            let access = attack.access().into();
            let found = SizeDistribution::new(config.label(), access, norm, &sizes);
            self.reports[i].distributions.extend(found);
            if let Some(away) = self.distances_to_certify(&outcome)? {
                self.witnesses[i].note(&entry.label(), &away, &outcome.predictions, &labels);
            }
            if norm != self.plan.threat.norm {
                continue;
            }
            let clean = self.clean[i].clone();
            let within = within(&outcome, &clean, self.plan.threat.eps);
            let mut tally = Tally::new(&labels, &clean, self.test.classes, false);
            tally.add(Aim::Untargeted, &within.predictions);
            tally.ask(within.queries_each.as_ref());
            for (held, still) in self.held[i].iter_mut().zip(tally.held()) {
                *held &= still;
            }
            cost.count(Aim::Untargeted, &labels, &clean, self.test.classes, &within);
            let report = cost.put_into(self.attack_report(&entry, access, &tally)?)?;
            self.reports[i].attacks.push(report);
        }
        Ok(())
    }
}

/// The outcome as an attack of budget `eps`: what it found farther away is a failure.
fn within(outcome: &Outcome, clean: &[i64], eps: f64) -> Outcome {
    let mut within = outcome.clone();
    for (i, &clean) in clean.iter().enumerate() {
        if within.distance[i] > eps {
            within.success[i] = false;
            within.predictions[i] = clean;
        }
    }
    within
}
