//! Which attacks the checker runs beside the one in question: the same with more of what it may lack, and
//! others that should do worse.
//!
//! They are made of its configuration, so that one thing changes at a time: as many steps as it has times
//! four from the same start, then its own steps from other starts, then the other loss.

use crate::attack::{
    Apgd, ApgdLoss, AttackConfig, Fgsm, Keep, Norm, Pgd, Square, Threat, ball::diameter,
};

/// Queries of the black-box probe: a few hundred leave little of a network without any defence.
const QUERIES: usize = 300;

/// Steps of probes that are not made of the attack's own.
const STEPS: usize = 50;

/// Starts that the restart probe adds at least, and at most.
const RESTARTS: (usize, usize) = (5, 20);

/// What an attack ascends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ascends {
    /// Cross-entropy.
    CrossEntropy,
    /// A ratio or margin of logits, alone or beside the cross-entropy: it does not saturate.
    Logits,
    /// Both, one after the other.
    Both,
}

pub(super) fn ascends(config: &AttackConfig) -> Ascends {
    match config {
        AttackConfig::Fgsm(_) | AttackConfig::Pgd(_) | AttackConfig::MiFgsm(_) => {
            Ascends::CrossEntropy
        }
        AttackConfig::Apgd(apgd) if apgd.loss == ApgdLoss::Ce => Ascends::CrossEntropy,
        AttackConfig::Autoattack(_) => Ascends::Both,
        _ => Ascends::Logits,
    }
}

/// Whether it takes one step only.
pub(super) fn one_step(config: &AttackConfig) -> bool {
    match config {
        AttackConfig::Fgsm(_) => true,
        AttackConfig::Pgd(pgd) => pgd.steps == 1,
        AttackConfig::MiFgsm(mi) => mi.steps == 1,
        AttackConfig::Apgd(apgd) => apgd.steps == 1,
        _ => false,
    }
}

/// Whether the losses of the difference-of-logits ratio are among the attack's.
pub(super) fn uses_dlr(config: &AttackConfig) -> bool {
    match config {
        AttackConfig::Apgd(apgd) => apgd.loss == ApgdLoss::Dlr,
        AttackConfig::Autoattack(_) => true,
        _ => false,
    }
}

/// One step of the whole budget.
pub(super) fn single(threat: Threat) -> AttackConfig {
    AttackConfig::Fgsm(Fgsm::new(threat.norm, threat.eps))
}

/// Random search over scores.
pub(super) fn blind(threat: Threat) -> AttackConfig {
    AttackConfig::Square(Square { queries: QUERIES, ..Square::new(threat.norm, threat.eps) })
}

/// Four times the steps, of the usual length, from the same start.
pub(super) fn more_steps(config: &AttackConfig, threat: Threat) -> AttackConfig {
    let more = |steps: usize| steps.saturating_mul(4).max(STEPS);
    match config {
        AttackConfig::Pgd(pgd) => AttackConfig::Pgd(Pgd {
            steps: more(pgd.steps),
            step: None,
            restarts: 1,
            keep: Keep::Best,
            ..pgd.clone()
        }),
        AttackConfig::Apgd(apgd) => AttackConfig::Apgd(Apgd {
            steps: more(apgd.steps),
            restarts: 1,
            stop_early: true,
            ..apgd.clone()
        }),
        _ => {
            let pgd =
                Pgd { steps: 2 * STEPS, random_start: false, ..Pgd::new(threat.norm, threat.eps) };
            AttackConfig::Pgd(pgd)
        }
    }
}

/// The same with more random starts; `None` for attacks that have none.
pub(super) fn more_restarts(config: &AttackConfig) -> Option<AttackConfig> {
    let more = |restarts: usize| restarts.saturating_mul(4).clamp(RESTARTS.0, RESTARTS.1);
    match config {
        AttackConfig::Pgd(pgd) => Some(AttackConfig::Pgd(Pgd {
            restarts: more(pgd.restarts),
            random_start: true,
            keep: Keep::Best,
            ..pgd.clone()
        })),
        AttackConfig::Apgd(apgd) => Some(AttackConfig::Apgd(Apgd {
            restarts: more(apgd.restarts),
            stop_early: true,
            ..apgd.clone()
        })),
        _ => None,
    }
}

/// The loss that the attack does not ascend; `None` where it has tried both.
pub(super) fn other_loss(config: &AttackConfig, threat: Threat) -> Option<AttackConfig> {
    let loss = match ascends(config) {
        Ascends::CrossEntropy => ApgdLoss::Dlr,
        Ascends::Logits => ApgdLoss::Ce,
        Ascends::Both => return None,
    };
    let apgd = Apgd { loss, steps: STEPS, ..Apgd::new(threat.norm, threat.eps) };
    Some(AttackConfig::Apgd(apgd))
}

/// The attack's loss with the whole box as its budget.
pub(super) fn unbounded(
    config: &AttackConfig,
    norm: Norm,
    features: usize,
    bounds: [f64; 2],
) -> AttackConfig {
    let eps = diameter(norm, features, bounds);
    match ascends(config) {
        Ascends::CrossEntropy => {
            AttackConfig::Pgd(Pgd { steps: STEPS, random_start: false, ..Pgd::new(norm, eps) })
        }
        Ascends::Logits | Ascends::Both => {
            let loss = ApgdLoss::Dlr;
            AttackConfig::Apgd(Apgd { loss, steps: STEPS, ..Apgd::new(norm, eps) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_change_one_thing_at_a_time_and_are_valid() {
        let threat = Threat::new(Norm::Linf, 0.1);
        let pgd = Pgd { step: Some(1e-4), steps: 2, keep: Keep::Last, ..Pgd::new(Norm::Linf, 0.1) };
        let config = AttackConfig::Pgd(pgd);
        assert_eq!(more_steps(&config, threat).label(), "PGD-50");
        assert_eq!(more_restarts(&config).unwrap().label(), "PGD-2 x 5");
        let apgd = |loss| AttackConfig::Apgd(Apgd { loss, ..Apgd::new(Norm::Linf, 0.1) });
        let other = |loss| other_loss(&apgd(loss), threat).unwrap().label();
        assert_eq!([other(ApgdLoss::Ce), other(ApgdLoss::Dlr)], ["APGD-DLR-50", "APGD-CE-50"]);
        for norm in [Norm::Linf, Norm::L2, Norm::L1] {
            for entry in crate::attack::ATTACKS.iter().filter(|entry| entry.norms.contains(&norm)) {
                let threat = Threat::new(norm, 0.1);
                let config = (entry.at)(threat);
                let probes = [single(threat), blind(threat), more_steps(&config, threat)];
                let whole = unbounded(&config, norm, 64, [0.0, 1.0]);
                let some = more_restarts(&config).into_iter().chain(other_loss(&config, threat));
                for probe in probes.into_iter().chain(some).chain([whole]) {
                    assert!(probe.check().is_ok(), "{probe:?}");
                }
            }
        }
    }

    #[test]
    fn one_step_is_one_step_whatever_the_attack() {
        let once = Pgd { steps: 1, ..Pgd::new(Norm::Linf, 0.1) };
        assert!(
            one_step(&single(Threat::new(Norm::Linf, 0.1))) && one_step(&AttackConfig::Pgd(once))
        );
        assert!(!one_step(&AttackConfig::Pgd(Pgd::new(Norm::Linf, 0.1))));
    }
}
