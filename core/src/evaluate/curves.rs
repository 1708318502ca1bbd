//! Robustness curves over the budget, and with them the smallest perturbations that fool.

use super::{Judge, Progress, place};
use crate::Result;
use crate::attack::{AttackConfig, Threat, minimal_perturbations};
use crate::metrics::{Norm, summarize_perturbations};
use crate::report::{CurvePoint, PerturbationToFool, RobustnessCurve, SizeDistribution};

impl Judge<'_> {
    /// One curve a model, by the strongest attack of the plan at each radius.
    pub(super) fn curves(&mut self, progress: Progress<'_>) -> Result<Vec<RobustnessCurve>> {
        let Some(config) = self.plan.strongest().filter(|_| !self.plan.radii.is_empty()) else {
            return Ok(Vec::new());
        };
        let attack = config.check()?;
        let norm = attack.threat().norm;
        let at = |eps: f64| config.with_threat(Threat::new(norm, eps)).check();
        let mut curves = Vec::new();
        for (i, contender) in self.contenders.iter().enumerate() {
            let phase = format!("smallest perturbation of {}", contender.name);
            let (mut done, most) = (0, self.rows.len() * self.plan.radii.len());
            progress(&phase, 0, most)?;
            let found = minimal_perturbations(
                &at,
                &self.plan.radii,
                &contender.network,
                self.test,
                &self.rows,
                &place(&contender.network),
                &self.rng.child("minimal"),
                &mut |n| {
                    done += n;
                    progress(&phase, done, most)
                },
            )?;
            progress(&phase, most, most)?;
            self.reports[i].mean_perturbation_to_fool =
                self.to_fool(i, &found.distance, config, norm)?;
            let sizes = self.of_right(i, &found.distance);
            let name = format!("{} at growing budgets", config.label());
            let access = attack.access().into();
            self.reports[i].distributions.extend(SizeDistribution::new(name, access, norm, &sizes));
            if norm == Norm::Linf {
                self.witnesses[i].note_sizes(&config.label(), &found.distance);
            }
            let points =
                found.curve.iter().map(|&(epsilon, accuracy)| CurvePoint { epsilon, accuracy });
            curves.push(RobustnessCurve {
                model: contender.name.clone(),
                attack: config.label(),
                norm,
                points: points.collect(),
            });
        }
        Ok(curves)
    }

    /// The entries of the samples that a model had right.
    pub(super) fn of_right(&self, model: usize, each: &[Option<f64>]) -> Vec<Option<f64>> {
        let right = |i: &usize| self.clean[model][*i] == self.labels[*i];
        (0..each.len()).filter(right).map(|i| each[i]).collect()
    }

    fn to_fool(
        &self,
        model: usize,
        distance: &[Option<f64>],
        config: &AttackConfig,
        norm: Norm,
    ) -> Result<Option<PerturbationToFool>> {
        let of_right = self.of_right(model, distance);
        let fooled: Vec<bool> = of_right.iter().map(Option::is_some).collect();
        let sizes: Vec<f64> = of_right.iter().map(|d| d.unwrap_or(0.0)).collect();
        Ok(summarize_perturbations(&sizes, &fooled)?.map(|summary| PerturbationToFool {
            attack: config.label(),
            norm,
            mean: summary.mean,
            median: summary.median,
            fooled_fraction: summary.count as f64 / of_right.len() as f64,
        }))
    }
}
