//! Which rules train on single steps, and what watches them: single steps would flatter what may have
//! learnt to defeat single steps and nothing else (Wong et al. 2020, section 5.4).

use super::Rule;
use crate::attack::{AttackConfig, Fgsm, Norm, Pgd, Threat};

/// Steps of the attack that watches.
const STEPS: usize = 20;

impl Rule {
    /// The attack to watch training with where nobody names one: the first of the rule; PGD within the
    /// ball where that one takes a single step, or where the rule takes steps or bounds of its own; or
    /// none.
    pub fn usual_monitor(&self) -> Option<AttackConfig> {
        match self {
            Rule::Fast { eps, .. } | Rule::Free { eps, .. } | Rule::Certified { eps, .. } => {
                Some(iterated(Threat::new(Norm::Linf, *eps)))
            }
            Rule::Awp { rule, .. } => rule.usual_monitor(),
            _ => {
                let attack = self.attacks().first()?;
                Some(single(attack).map_or_else(|| attack.clone(), iterated))
            }
        }
    }

    /// Whether every adversarial sample that the rule makes is one step away.
    pub(in crate::train) fn takes_single_steps(&self) -> bool {
        match self {
            Rule::Fast { .. } | Rule::Free { .. } => true,
            Rule::Awp { rule, .. } => rule.takes_single_steps(),
            _ => {
                let attacks = self.attacks();
                !attacks.is_empty() && attacks.iter().all(|attack| single(attack).is_some())
            }
        }
    }
}

/// The ball of an attack that takes one step in it.
fn single(attack: &AttackConfig) -> Option<Threat> {
    match attack {
        AttackConfig::Fgsm(Fgsm { norm, eps, .. })
        | AttackConfig::Pgd(Pgd { norm, eps, steps: 1, .. }) => Some(Threat::new(*norm, *eps)),
        _ => None,
    }
}

/// Steps enough to see through what defeats one.
fn iterated(Threat { norm, eps }: Threat) -> AttackConfig {
    AttackConfig::Pgd(Pgd { steps: STEPS, ..Pgd::new(norm, eps) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fgsm(norm: Norm) -> AttackConfig {
        AttackConfig::Fgsm(Fgsm::new(norm, 0.1))
    }

    fn pgd(steps: usize) -> AttackConfig {
        AttackConfig::Pgd(Pgd { steps, ..Pgd::new(Norm::Linf, 0.1) })
    }

    fn around(rule: Rule) -> Rule {
        Rule::Awp { gamma: 0.01, rule: Box::new(rule) }
    }

    #[test]
    fn single_steps_are_watched_by_twenty() {
        for norm in [Norm::Linf, Norm::L2, Norm::L1] {
            let watched = iterated(Threat::new(norm, 0.1));
            watched.check().unwrap();
            for rule in [
                Rule::Madry { attack: fgsm(norm) },
                Rule::Mart { beta: 6.0, attack: fgsm(norm) },
                Rule::Mixed { ratio: 0.5, attacks: vec![fgsm(norm), pgd(10)] },
                Rule::Ensemble { models: vec!["other".into()], attack: fgsm(norm) },
                around(Rule::Madry { attack: fgsm(norm) }),
            ] {
                let name = rule.describe();
                assert_eq!(rule.usual_monitor().as_ref(), Some(&watched), "{name}");
            }
        }
        for rule in [
            Rule::Fast { eps: 0.1, step: None, grad_align: 0.0 },
            Rule::Free { eps: 0.1, replays: 4 },
            Rule::Trades { beta: 6.0, attack: pgd(1) },
        ] {
            assert_eq!(rule.usual_monitor(), Some(pgd(STEPS)), "{}", rule.describe());
        }
    }

    #[test]
    fn several_steps_are_watched_by_themselves() {
        assert_eq!(Rule::Madry { attack: pgd(7) }.usual_monitor(), Some(pgd(7)));
        let mixed = Rule::Mixed { ratio: 0.5, attacks: vec![pgd(7), fgsm(Norm::Linf)] };
        assert_eq!(mixed.usual_monitor(), Some(pgd(7)));
        assert_eq!(Rule::Standard {}.usual_monitor(), None);
    }

    #[test]
    fn single_steps_are_told_from_several() {
        let linf = || fgsm(Norm::Linf);
        let mixed = |attacks| Rule::Mixed { ratio: 0.5, attacks };
        for (rule, expected) in [
            (Rule::Standard {}, false),
            (Rule::Noise { sigma: 0.25 }, false),
            (Rule::Madry { attack: linf() }, true),
            (Rule::Madry { attack: pgd(1) }, true),
            (Rule::Madry { attack: pgd(2) }, false),
            (mixed(vec![linf(), pgd(1)]), true),
            (mixed(vec![linf(), pgd(10)]), false),
            (Rule::Free { eps: 0.1, replays: 4 }, true),
            (around(Rule::Fast { eps: 0.1, step: None, grad_align: 0.2 }), true),
            (around(Rule::Madry { attack: pgd(10) }), false),
        ] {
            assert_eq!(rule.takes_single_steps(), expected, "{}", rule.describe());
        }
    }
}
