//! The plan of an evaluation: its file, with what the flags change.

use inocula_core::attack::{ATTACKS, AttackConfig, Norm, Threat};
use inocula_core::certify::Bound;
use inocula_core::certify::smoothing::Smoothing;
use inocula_core::data::DataSource;
use inocula_core::error::nearest;
use inocula_core::evaluate::{Certify, Entry, Plan, Smoothed};
use inocula_core::{Result, bail};

use super::certify::SMOOTHING;
use crate::args::Evaluate;
use crate::config;

/// The plan, checked as far as no data are needed. Without a file, FGSM and PGD-40 at `--eps`.
pub(super) fn plan(flags: &Evaluate) -> Result<Plan> {
    let file: Option<Plan> = flags.config.as_deref().map(config::read).transpose()?;
    let threat = file.as_ref().map(|p| p.threat);
    let norm = flags.norm.or(threat.map(|t| t.norm)).unwrap_or(Norm::Linf);
    let Some(eps) = flags.eps.or(threat.map(|t| t.eps)) else {
        bail!(Config, "evaluate: pass --eps SIZE, the largest perturbation allowed, or a --config");
    };
    let threat = Threat::new(norm, eps);
    let mut plan = file.unwrap_or_else(|| Plan::new(threat, Vec::new()));
    let rescaled = plan.threat != threat;
    plan.threat = threat;
    attacks(flags, &mut plan, rescaled)?;
    if eps > 0.0 && (plan.radii.is_empty() || rescaled) {
        plan.radii = radii(threat);
    }
    modes(flags, &mut plan)?;
    plan.samples = flags.samples.or(plan.samples);
    if flags.check.no_check {
        plan.check = 0;
    }
    if plan.samples == Some(0) {
        bail!(Config, "evaluate: --samples 0 leaves nothing to attack");
    }
    plan.check()?;
    Ok(plan)
}

/// The attacks within the budget.
fn attacks(flags: &Evaluate, plan: &mut Plan, rescaled: bool) -> Result<()> {
    let threat = plan.threat;
    let named = |name: &str| AttackConfig::named(name, threat).map(Entry::from);
    if let Some(names) = &flags.attacks {
        plan.attacks = names.iter().map(|n| named(n)).collect::<Result<_>>()?;
    } else if plan.attacks.is_empty() {
        plan.attacks = ["fgsm", "pgd"].into_iter().map(named).collect::<Result<_>>()?;
    } else if rescaled {
        plan.attacks = plan.attacks.iter().map(|a| a.with_threat(threat)).collect();
    }
    if !flags.target.is_empty() {
        let Some(strongest) = plan.strongest().cloned() else {
            bail!(Config, "--target needs an untargeted attack in the plan, which it then aims");
        };
        let aimed = |&target| Entry { target: Some(target), attack: strongest.clone() };
        plan.attacks.extend(flags.target.iter().map(aimed));
    }
    let Some(queries) = flags.queries else { return Ok(()) };
    let mut any = false;
    for entry in plan.attacks.iter_mut().filter(|e| e.attack.has("queries")) {
        entry.attack = entry.attack.with("queries", queries)?;
        any = true;
    }
    if !any {
        bail!(
            Config,
            "--queries {queries}: no attack of the plan has a number of queries; add one without \
             gradients, say --attacks pgd,square"
        );
    }
    Ok(())
}

/// Budgets around that of the plan; in L0, which counts values, whole ones.
fn radii(threat: Threat) -> Vec<f64> {
    let all = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0].map(|f| f * threat.eps);
    if threat.norm != Norm::L0 {
        return all.to_vec();
    }
    let mut whole: Vec<f64> = all.into_iter().map(f64::round).filter(|r| *r >= 1.0).collect();
    whole.dedup();
    whole
}

/// The other modes of evaluation.
fn modes(flags: &Evaluate, plan: &mut Plan) -> Result<()> {
    if let Some(names) = &flags.minimal {
        let norm = plan.threat.norm;
        plan.minimal = names.iter().map(|n| minimal(n, norm)).collect::<Result<_>>()?;
    }
    if let Some(steps) = &flags.steps_curve {
        plan.steps.clone_from(steps);
    }
    certificates(flags, plan)?;
    for data in &flags.also {
        plan.also.push(DataSource::parse(data).map_err(|e| e.context("--also"))?);
    }
    plan.transfer_from.extend(flags.transfer_from.iter().cloned());
    plan.transfer_to.extend(flags.transfer_to.iter().cloned());
    Ok(())
}

/// An attack without a budget, in the norm of the plan if it is defined there, else in its usual one.
fn minimal(name: &str, norm: Norm) -> Result<AttackConfig> {
    let config = AttackConfig::named(name, Threat::unbounded(norm))?;
    match ATTACKS.iter().find(|a| a.name == name) {
        Some(entry) if entry.minimal => match entry.norms {
            norms if norms.contains(&norm) => Ok(config),
            [usual, ..] => AttackConfig::named(name, Threat::unbounded(*usual)),
            [] => Ok(config),
        },
        _ => {
            let names: Vec<&str> = ATTACKS.iter().filter(|a| a.minimal).map(|a| a.name).collect();
            bail!(
                Config,
                "--minimal {name}: needs a budget; put it into --attacks, or choose of {}",
                names.join(", ")
            )
        }
    }
}

/// The certificates: bounds of the network, and of its vote under noise.
fn certificates(flags: &Evaluate, plan: &mut Plan) -> Result<()> {
    let names = flags.certify.as_deref().unwrap_or_default();
    let (votes, bounds): (Vec<&String>, Vec<_>) = names.iter().partition(|n| *n == SMOOTHING);
    if flags.certify.is_some() {
        plan.certify = bounds.into_iter().map(|n| bound(n)).collect::<Result<_>>()?;
        plan.smoothing = None;
    }
    match (votes.is_empty(), flags.sigma) {
        (false, None) => {
            bail!(Config, "--certify smoothing needs --sigma, the deviation of the noise")
        }
        (true, Some(_)) => bail!(Config, "--sigma and --draws belong to --certify smoothing"),
        (true, None) if flags.draws.is_some() => {
            bail!(Config, "--sigma and --draws belong to --certify smoothing")
        }
        (true, None) => Ok(()),
        (false, Some(sigma)) => {
            let usual = Smoothing::new(sigma);
            let estimation = flags.draws.unwrap_or(usual.estimation);
            plan.smoothing = Some(Smoothed::new(Smoothing { estimation, ..usual }));
            Ok(())
        }
    }
}

fn bound(name: &str) -> Result<Certify> {
    let Some(method) = Bound::ALL.into_iter().find(|bound| bound.name() == name) else {
        let mut names = Bound::ALL.map(Bound::name).to_vec();
        names.push(SMOOTHING);
        let hint = nearest(name, names.iter().copied());
        let hint = hint.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
        bail!(Config, "--certify {name:?} is not one of {}{hint}", names.join(", "));
    };
    Ok(Certify { method, eps: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn radii_in_l0_are_whole() {
        assert_eq!(radii(Threat::new(Norm::L0, 3.0)), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(radii(Threat::new(Norm::L0, 1.0)), [1.0, 2.0]);
        assert_eq!(radii(Threat::new(Norm::Linf, 0.1)).len(), 7);
    }
}
