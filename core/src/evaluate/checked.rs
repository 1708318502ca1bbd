//! What the checker is told of an evaluation: of each model its strongest iterated attack by gradients,
//! with its traces, and all the others as rivals.

use super::{Judge, Progress, place};
use crate::Result;
use crate::attack::{Access, AttackConfig, Stage, Traces};
use crate::doubt::{Attacked, Finding, Means, Rival, Subject, check};
use crate::report::AttackReport;

/// An attack that a model was shown.
pub(super) struct Trial {
    label: String,
    means: Means,
    /// Absent for examples of other models.
    config: Option<AttackConfig>,
    /// Which samples it fooled, those that the model had wrong included.
    fooled: Vec<bool>,
    traces: Traces,
    /// What its members left, if it is AutoAttack.
    stages: Vec<Stage>,
}

/// What an attack on a model left behind, besides its examples.
pub(super) struct Made {
    pub(super) fooled: Vec<bool>,
    pub(super) traces: Traces,
    pub(super) stages: Vec<Stage>,
}

impl Trial {
    /// An attack on the model itself, and which samples it fooled.
    pub(super) fn own(
        report: &AttackReport,
        config: &AttackConfig,
        access: Access,
        made: Made,
    ) -> Self {
        let means = Means::of(config, access);
        let Made { fooled, traces, stages } = made;
        Trial { label: report.label(), means, config: Some(config.clone()), fooled, traces, stages }
    }

    /// Examples of other models, by what the model takes them for.
    pub(super) fn transferred(report: &AttackReport, labels: &[i64], seen: &[i64]) -> Self {
        let fooled = labels.iter().zip(seen).map(|(label, class)| label != class).collect();
        let (traces, stages) = (Traces::default(), Vec::new());
        let label = report.label();
        Trial { label, means: Means::Transfer, config: None, fooled, traces, stages }
    }

    fn rival(&self) -> Rival {
        Rival { label: self.label.clone(), means: self.means, fooled: self.fooled.clone() }
    }
}

/// The iterated attack by gradients that leaves least, the last of equals; else the last of one step.
fn strongest(trials: &[Trial]) -> Option<usize> {
    let of = |means| (0..trials.len()).rev().filter(move |&i| trials[i].means == means);
    let left = |&i: &usize| trials[i].fooled.iter().filter(|fooled| !**fooled).count();
    of(Means::Iterated).min_by_key(left).or_else(|| of(Means::OneStep).next())
}

impl Judge<'_> {
    /// Checks each model's figures and marks its report; all findings, model by model.
    pub(super) fn check(&mut self, progress: Progress<'_>) -> Result<Vec<Finding>> {
        let mut all = Vec::new();
        if self.plan.check == 0 {
            return Ok(all);
        }
        let rng = self.rng.child("attack");
        for (i, contender) in self.contenders.iter().enumerate() {
            let trials = &self.trials[i];
            let Some(main) = strongest(trials) else { continue };
            let Trial { label, config: Some(config), fooled, traces, stages, .. } = &trials[main]
            else {
                continue;
            };
            let others = (0..trials.len()).filter(|&k| k != main);
            let rivals: Vec<Rival> = others.map(|k| trials[k].rival()).collect();
            let right: Vec<bool> = self.clean[i]
                .iter()
                .zip(&self.labels)
                .map(|(class, label)| class == label)
                .collect();
            let subject = Subject {
                name: &contender.name,
                model: &contender.network,
                data: self.test,
                rows: &self.rows,
                right: &right,
                place: &place(&contender.network),
                rng: &rng,
                samples: self.plan.check,
            };
            let attacked = Attacked { config, fooled, traces, stages };
            let phase = format!("check of {label} on {}", contender.name);
            let found = check(&subject, &attacked, &rivals, label, &mut |done, total| {
                progress(&phase, done, total)
            })?;
            all.extend(found.iter().cloned());
            self.reports[i].findings = found;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_iterated_attack_is_checked() {
        let trial = |means, fooled: &[bool]| Trial {
            label: String::new(),
            means,
            config: None,
            fooled: fooled.to_vec(),
            traces: Traces::default(),
            stages: Vec::new(),
        };
        use Means::{BlackBox, Iterated, OneStep};
        let weak = || trial(Iterated, &[false, true]);
        let strong = || trial(Iterated, &[true, true]);
        let once = || trial(OneStep, &[true, true]);
        assert_eq!(strongest(&[once(), strong(), weak()]), Some(1));
        assert_eq!(strongest(&[weak(), weak(), once()]), Some(1), "the last of equals");
        assert_eq!(strongest(&[once(), trial(BlackBox, &[true, true])]), Some(0));
        assert_eq!(strongest(&[trial(BlackBox, &[true, true])]), None);
    }
}
