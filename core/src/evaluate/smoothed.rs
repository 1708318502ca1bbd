//! The vote of a network under Gaussian noise, held between a certificate and an attack in L2.
//!
//! Examples of other attacks are of no use here: [`crate::certify::vote`] says why, and how the two are held
//! against each other. A contradiction is an error, as it is for other certificates.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{Contender, Judge, Progress, place};
use crate::attack::{Aim, AttackSpec as _, Norm, Pgd, Threat, perturb_rows};
use crate::certify::smoothing::Smoothing;
use crate::certify::vote::{Case, MeanSoftmax};
use crate::metrics::clopper_pearson;
use crate::report::CertificateReport;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// How the vote is certified and attacked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smoothed {
    /// Radius of the L2 ball; the plan's budget if absent, where that is in L2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// Samples, at most those that are attacked.
    #[serde(default = "samples")]
    pub samples: usize,
    /// Noise and draws.
    pub vote: Smoothing,
}

fn samples() -> usize {
    100
}

/// Draws of noise over which the attack takes its gradients, and its steps.
const DRAWS: usize = 16;
const STEPS: usize = 20;

impl Smoothed {
    /// On a hundred samples within the plan's budget.
    pub fn new(vote: Smoothing) -> Self {
        Smoothed { eps: None, samples: samples(), vote }
    }

    fn eps_in(&self, threat: Threat) -> Option<f64> {
        self.eps.or((threat.norm == Norm::L2).then_some(threat.eps))
    }

    pub(super) fn check(&self, threat: Threat) -> Result<()> {
        self.vote.check()?;
        if self.samples == 0 {
            bail!(Config, "evaluate: smoothing: samples = 0 leaves nothing to certify");
        }
        match self.eps_in(threat) {
            None => bail!(
                Config,
                "evaluate: smoothing certifies balls in l2, and the plan's budget is in {}; attack \
                 in l2 too, or give it an eps of its own in a plan",
                threat.norm
            ),
            Some(eps) if !(eps > 0.0 && eps.is_finite()) => {
                bail!(Config, "evaluate: smoothing: eps = {eps} must be positive and finite")
            }
            Some(_) => Ok(()),
        }
    }
}

impl Judge<'_> {
    /// Certifies the vote of every model, and holds it against an attack on it.
    pub(super) fn smoothed(&mut self, progress: Progress<'_>) -> Result<()> {
        let Some(plan) = self.plan.smoothing else { return Ok(()) };
        let Some(eps) = plan.eps_in(self.plan.threat) else { return Ok(()) };
        let rng = self.rng.child("smoothing");
        let wanted = plan.samples.min(self.rows.len());
        let mut chosen = rng.child("samples").choose(self.rows.len(), wanted);
        chosen.sort_unstable();
        let rows: Vec<usize> = chosen.iter().map(|&i| self.rows[i]).collect();
        for (i, contender) in self.contenders.iter().enumerate() {
            let started = Instant::now();
            let phase = format!("smoothing of {}", contender.name);
            progress(&phase, 0, wanted)?;
            let made = self.fool_vote(contender, &rows, plan.vote.sigma, eps, &rng)?;
            let (mut certified, mut attacked) = (0, 0);
            for (k, &row) in rows.iter().enumerate() {
                let (x, _) = place(&contender.network).tensors(self.test, &[row])?;
                let example = &made.narrow(0, k, 1);
                let case = Case { x: &x, example, label: self.test.labels[row], eps };
                let rng = rng.child("vote").index(row as u64);
                let held = case.held(&contender.network, plan.vote, &rng).map_err(|e| {
                    let at = format!("evaluate: test sample {row} of {}", contender.name);
                    e.context(at)
                })?;
                certified += u64::from(held.certified);
                attacked += u64::from(!held.fooled);
                progress(&phase, k + 1, wanted)?;
            }
            self.reports[i].certificates.push(CertificateReport {
                method: format!("smoothing, sigma {},", plan.vote.sigma),
                norm: Norm::L2,
                epsilon: eps,
                samples: wanted as u64,
                certified_accuracy: certified as f64 / wanted as f64,
                interval: clopper_pearson(certified, wanted as u64, 0.05)?,
                attacked_accuracy: attacked as f64 / wanted as f64,
                seconds: started.elapsed().as_secs_f64(),
            });
        }
        Ok(())
    }

    /// Examples against the vote of one model.
    fn fool_vote(
        &self,
        contender: &Contender,
        rows: &[usize],
        sigma: f64,
        eps: f64,
        rng: &Rng,
    ) -> Result<Tensor> {
        let network = &contender.network;
        let place = place(network);
        let soft = MeanSoftmax::new(network, sigma, DRAWS, &rng.child("attack"))?;
        let pgd = Pgd { steps: STEPS, ..Pgd::new(Norm::L2, eps) };
        pgd.check()?;
        let aim = Aim::Untargeted;
        let rng = rng.child("start");
        let found = perturb_rows(&pgd, &soft, self.test, rows, aim, &place, &rng, &mut |_| Ok(()))?;
        Ok(found.adversarial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_radius_is_the_plans_where_that_is_in_l2() {
        let of = |eps| Smoothed { eps, ..Smoothed::new(Smoothing::new(0.25)) };
        let (linf, l2) = (Threat::new(Norm::Linf, 0.1), Threat::new(Norm::L2, 0.1));
        assert_eq!(of(None).eps_in(l2), Some(0.1));
        assert!(of(None).check(linf).unwrap_err().to_string().contains("an eps of its own"));
        assert!(of(Some(0.05)).check(linf).is_ok());
        for eps in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(of(Some(eps)).check(linf).is_err());
        }
        let none = Smoothed { samples: 0, ..of(Some(0.1)) };
        assert!(none.check(linf).unwrap_err().to_string().contains("samples"));
        let wrong = Smoothed::new(Smoothing::new(0.0));
        assert!(wrong.check(l2).unwrap_err().to_string().contains("sigma"));
    }
}
