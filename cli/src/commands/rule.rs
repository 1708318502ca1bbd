//! The rule of training that a configuration file and flags describe together.
//!
//! The attack flags go to the attacks of the rule. Rules that have none (standard, noise) or take steps
//! of their own (fast, free, certified) leave them to the monitor; `--eps` is then both's. A monitor that
//! the file sets is otherwise left alone.

use std::path::PathBuf;

use inocula_core::attack::AttackConfig;
use inocula_core::train::{RAMP, RULES, Rule, TrainConfig};
use inocula_core::{Result, bail};

use crate::args::{RuleFlags, Train};
use crate::config::hint;

/// What the file says of the rule, each constant where its rule has it.
#[derive(Default)]
struct Given {
    name: &'static str,
    ratio: Option<f64>,
    beta: Option<f64>,
    eps: Option<f64>,
    step: Option<f64>,
    grad_align: Option<f64>,
    replays: Option<usize>,
    clean: Option<f64>,
    crown: Option<bool>,
    ramp: Option<[f64; 2]>,
    sigma: Option<f64>,
    sources: Option<Vec<PathBuf>>,
    gamma: Option<f64>,
}

impl Given {
    fn of(rule: &Rule) -> Result<Self> {
        let name = rule.name();
        let threat = |attack: &AttackConfig| Ok(attack.check()?.threat().budget());
        let eps = rule.attacks().first().map(threat).transpose()?.flatten();
        let given = Given { name, eps, ..Given::default() };
        Ok(match rule.clone() {
            Rule::Standard {} | Rule::Madry { .. } => given,
            Rule::Mixed { ratio, .. } => Given { ratio: Some(ratio), ..given },
            Rule::Trades { beta, .. } | Rule::Mart { beta, .. } => {
                Given { beta: Some(beta), ..given }
            }
            Rule::Fast { eps, step, grad_align } => {
                Given { eps: Some(eps), step, grad_align: Some(grad_align), ..given }
            }
            Rule::Free { eps, replays } => {
                Given { eps: Some(eps), replays: Some(replays), ..given }
            }
            Rule::Certified { eps, clean, crown, ramp } => Given {
                eps: Some(eps),
                clean: Some(clean),
                crown: Some(crown),
                ramp: Some(ramp),
                ..given
            },
            Rule::Noise { sigma } => Given { sigma: Some(sigma), ..given },
            Rule::Ensemble { models, .. } => Given { sources: Some(models), ..given },
            Rule::Awp { gamma, rule } => Given { gamma: Some(gamma), ..Given::of(&rule)? },
        })
    }
}

/// Changes the rule, and the monitor, to what the flags say.
pub(super) fn configure(flags: &Train, train: &mut TrainConfig) -> Result<()> {
    let given = Given::of(&train.rule)?;
    let asked = &flags.rule;
    let name = known(asked.rule.as_deref().unwrap_or(given.name))?;
    refuse_others(asked, name)?;
    let attacks = train.rule.attacks().to_vec();
    let one = |usual: &str| only_one(name, all_changed(flags, attacks.clone(), usual)?);
    let eps = || match flags.attack.eps.or(given.eps) {
        Some(eps) => Ok(eps),
        None => {
            bail!(Config, "--rule {name}: how large may a perturbation be? pass --eps, say 0.1")
        }
    };
    let beta = asked.beta.or(given.beta).unwrap_or(6.0);
    let rule = match name {
        "mixed" => Rule::Mixed {
            ratio: asked.ratio.or(given.ratio).unwrap_or(0.5),
            attacks: all_changed(flags, attacks, "fgsm")?,
        },
        "madry" => Rule::Madry { attack: one("pgd")? },
        "trades" => Rule::Trades { beta, attack: one("pgd")? },
        "mart" => Rule::Mart { beta, attack: one("pgd")? },
        "fast" => Rule::Fast {
            eps: eps()?,
            step: given.step,
            grad_align: asked.grad_align.or(given.grad_align).unwrap_or(0.0),
        },
        "free" => Rule::Free { eps: eps()?, replays: asked.replays.or(given.replays).unwrap_or(4) },
        "certified" => Rule::Certified {
            eps: eps()?,
            clean: asked.clean.or(given.clean).unwrap_or(0.0),
            crown: asked.crown.or(given.crown).unwrap_or(false),
            ramp: given.ramp.unwrap_or(RAMP),
        },
        "noise" => match asked.sigma.or(given.sigma) {
            Some(sigma) => Rule::Noise { sigma },
            None => bail!(Config, "--rule noise: how large is the noise? pass --sigma, say 0.25"),
        },
        "ensemble" => Rule::Ensemble {
            models: asked.sources.clone().or(given.sources).unwrap_or_default(),
            attack: one("fgsm")?,
        },
        _ => Rule::Standard {},
    };
    if matches!(name, "standard" | "fast" | "free" | "certified" | "noise") && flags.attack.any() {
        let monitor = train.monitor.take().or_else(|| rule.usual_monitor());
        train.monitor = Some(changed(flags, monitor, "pgd")?);
    }
    train.rule = match asked.awp.or(given.gamma) {
        Some(gamma) => Rule::Awp { gamma, rule: Box::new(rule) },
        None => rule,
    };
    if train.monitor.is_none() {
        train.monitor = train.rule.usual_monitor();
    }
    Ok(())
}

/// The name of a rule that can be chosen.
fn known(name: &str) -> Result<&'static str> {
    let names = || RULES.iter().map(|r| r.name).filter(|&name| name != "awp");
    if name == "awp" {
        bail!(Config, "--rule awp goes around another rule; pass --rule madry --awp 0.01, say");
    }
    if let Some(name) = names().find(|&known| known == name) {
        return Ok(name);
    }
    let hint = hint(name, names());
    let all: Vec<&str> = names().collect();
    bail!(Config, "--rule {name:?} is not one of {}{hint}", all.join(", "))
}

/// A flag of another rule than that of this name is a mistake.
fn refuse_others(asked: &RuleFlags, name: &str) -> Result<()> {
    let flags: [(&str, bool, &[&str]); 8] = [
        ("--ratio", asked.ratio.is_some(), &["mixed"]),
        ("--beta", asked.beta.is_some(), &["trades", "mart"]),
        ("--grad-align", asked.grad_align.is_some(), &["fast"]),
        ("--replays", asked.replays.is_some(), &["free"]),
        ("--clean", asked.clean.is_some(), &["certified"]),
        ("--crown", asked.crown.is_some(), &["certified"]),
        ("--sigma", asked.sigma.is_some(), &["noise"]),
        ("--sources", asked.sources.is_some(), &["ensemble"]),
    ];
    for (flag, passed, rules) in flags {
        if passed && !rules.contains(&name) {
            bail!(Config, "{flag} is for --rule {}; the rule here is {name}", rules.join(" or "));
        }
    }
    Ok(())
}

/// The attack of a rule that has one.
fn only_one(rule: &str, mut attacks: Vec<AttackConfig>) -> Result<AttackConfig> {
    match attacks.pop() {
        Some(attack) if attacks.is_empty() => Ok(attack),
        _ => bail!(Config, "--rule {rule} has one attack, the file names {}", attacks.len() + 1),
    }
}

/// The attacks of a rule with what the flags change of each; at least one.
fn all_changed(
    flags: &Train,
    attacks: Vec<AttackConfig>,
    usual: &str,
) -> Result<Vec<AttackConfig>> {
    if attacks.is_empty() {
        return Ok(vec![changed(flags, None, usual)?]);
    }
    if attacks.len() > 1 && flags.attack.attack.is_some() {
        bail!(Config, "--attack names one attack, the file {}; change the file", attacks.len());
    }
    attacks.into_iter().map(|a| changed(flags, Some(a), usual)).collect()
}

/// An attack with what the flags change; `usual` names the one meant where neither does.
fn changed(flags: &Train, attack: Option<AttackConfig>, usual: &str) -> Result<AttackConfig> {
    let mut asked = flags.attack.clone();
    if attack.is_none() && asked.attack.is_none() {
        asked.attack = Some(usual.into());
    }
    asked.apply(attack)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use inocula_core::attack::{Norm, Pgd};

    use super::*;
    use crate::args::{Args, Command};

    fn configured(flags: &[&str]) -> Result<TrainConfig> {
        let line = [&["inocula", "train", "--out", "run"], flags].concat();
        let Command::Train(flags) = Args::try_parse_from(line).unwrap().command else {
            panic!("train is another command");
        };
        let mut train = TrainConfig::default();
        configure(&flags, &mut train)?;
        Ok(train)
    }

    #[test]
    fn noise_takes_its_deviation_and_no_attack() {
        let train = configured(&["--rule", "noise", "--sigma", "0.25"]).unwrap();
        assert_eq!((train.rule, train.monitor), (Rule::Noise { sigma: 0.25 }, None));
        let watched = configured(&["--rule", "noise", "--sigma", "0.25", "--eps", "0.1"]).unwrap();
        assert_eq!(watched.rule, Rule::Noise { sigma: 0.25 });
        assert_eq!(watched.monitor, Some(AttackConfig::Pgd(Pgd::new(Norm::Linf, 0.1))));
        let moved = configured(&["--rule", "noise", "--sigma", "1", "--awp", "0.01"]).unwrap();
        let rule = Box::new(Rule::Noise { sigma: 1.0 });
        assert_eq!(moved.rule, Rule::Awp { gamma: 0.01, rule });
    }

    #[test]
    fn the_deviation_is_for_noise_alone() {
        let cases: [(&[&str], &str); 4] = [
            (&["--rule", "noise"], "pass --sigma"),
            (&["--sigma", "0.25"], "--sigma is for --rule noise; the rule here is standard"),
            (&["--rule", "fast", "--eps", "0.1", "--sigma", "0.25"], "the rule here is fast"),
            (&["--rule", "noise", "--sigma", "1", "--beta", "6"], "--beta is for --rule trades"),
        ];
        for (flags, expected) in cases {
            let text = configured(flags).unwrap_err().to_string();
            assert!(text.contains(expected) && !text.contains('\n'), "{flags:?}: {text}");
        }
    }

    #[test]
    fn single_steps_are_watched_by_several() {
        let watch = Some(AttackConfig::Pgd(Pgd { steps: 20, ..Pgd::new(Norm::L2, 0.5) }));
        for rule in ["madry", "mixed"] {
            let budget = ["--attack", "fgsm", "--norm", "l2", "--eps", "0.5"];
            let train = configured(&[&["--rule", rule], &budget[..]].concat()).unwrap();
            assert_eq!(train.monitor, watch, "{rule}");
        }
    }
}
