//! Security curves: accuracy against the strongest attack of the plan as it takes more steps.
//!
//! Each number of steps is a run of its own from the same starts, since the length of a step that is not
//! given depends on their number. A curve that still falls says that the attack had not converged.

use super::entry::at_steps;
use super::tally::Tally;
use super::{Judge, Progress, place};
use crate::Result;
use crate::attack::{Aim, perturb_rows};
use crate::report::{StepsCurve, StepsPoint};

impl Judge<'_> {
    /// One curve a model, if the plan has steps.
    pub(super) fn steps(&self, progress: Progress<'_>) -> Result<Vec<StepsCurve>> {
        let Some(config) = self.plan.strongest().filter(|_| !self.plan.steps.is_empty()) else {
            return Ok(Vec::new());
        };
        let threat = config.check()?.threat();
        let mut curves = Vec::new();
        for (i, contender) in self.contenders.iter().enumerate() {
            let network = &contender.network;
            let phase = format!("{} by steps on {}", config.name(), contender.name);
            let (mut done, most) = (0, self.rows.len() * self.plan.steps.len());
            let mut points = Vec::new();
            for &steps in &self.plan.steps {
                progress(&phase, done, most)?;
                let outcome = perturb_rows(
                    &*at_steps(config, steps)?.check()?,
                    network,
                    self.test,
                    &self.rows,
                    Aim::Untargeted,
                    &place(network),
                    &self.rng.child("attack"),
                    &mut |n| {
                        done += n;
                        progress(&phase, done, most)
                    },
                )?;
                let mut tally = Tally::new(&self.labels, &self.clean[i], self.test.classes, false);
                tally.add(Aim::Untargeted, &outcome.predictions);
                points.push(StepsPoint { steps: steps as u64, accuracy: tally.robust_accuracy()? });
            }
            curves.push(StepsCurve {
                model: contender.name.clone(),
                attack: config.name().to_owned(),
                norm: threat.norm,
                epsilon: threat.eps,
                points,
            });
        }
        Ok(curves)
    }
}
