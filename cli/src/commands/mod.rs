//! The commands, one a file.

mod attack;
mod attacked;
mod audit;
mod backends;
mod certify;
mod check;
mod data;
mod demo;
mod dp;
mod evaluate;
mod exposure;
mod federate;
mod import;
mod join;
mod leakage;
mod membership;
mod plan;
mod private;
mod rule;
mod train;

use inocula_core::attack::{ATTACKS, AttackConfig, Threat};
use inocula_core::metrics::Norm;
use inocula_core::{Error, ErrorKind, Result, bail};

use crate::args::{Args, AttackFlags, Command};

/// Runs the command that was asked for.
pub(crate) fn run(args: Args) -> Result<()> {
    let quiet = args.quiet;
    match args.command {
        Command::Demo(flags) => demo::run(&flags, quiet),
        Command::Train(flags) => train::run(&flags, quiet),
        Command::Federate(flags) => federate::run(&flags, quiet),
        Command::Import(flags) => import::run(&flags),
        Command::Attack(flags) => attack::run(&flags, quiet),
        Command::Certify(flags) => certify::run(&flags, quiet),
        Command::Evaluate(flags) => evaluate::run(&flags, quiet),
        Command::Backends(flags) => backends::run(&flags),
        Command::Dp(flags) => dp::run(&flags),
        Command::Audit(flags) => audit::run(&flags, quiet),
        Command::Data(flags) => data::run(flags.command, quiet),
    }
}

impl AttackFlags {
    /// Whether any of the flags was given.
    pub(crate) fn any(&self) -> bool {
        self.attack.is_some()
            || self.norm.is_some()
            || self.eps.is_some()
            || self.steps.is_some()
            || self.queries.is_some()
            || self.attack_version.is_some()
            || self.step.is_some()
            || self.restarts.is_some()
            || self.random_start.is_some()
    }

    /// The attack that the flags describe, starting from `base` where they are silent.
    pub(crate) fn apply(&self, base: Option<AttackConfig>) -> Result<AttackConfig> {
        let config = match (&self.attack, base) {
            (Some(name), base) if base.as_ref().is_none_or(|b| b.name() != name) => {
                let threat = base.map(|b| b.check().map(|a| a.threat())).transpose()?;
                let entry = ATTACKS.iter().find(|a| a.name == name);
                let usual = entry.and_then(|a| a.norms.first().copied()).unwrap_or(Norm::Linf);
                let norm = self.norm.or(threat.map(|t| t.norm)).unwrap_or(usual);
                let budget = self.eps.or(threat.and_then(|t| t.budget()));
                let threat = match budget {
                    Some(eps) => Threat::new(norm, eps),
                    // An unknown name is told of below.
                    None if entry.is_none_or(|a| a.minimal) => Threat::unbounded(norm),
                    None => bail!(
                        Config,
                        "attack: how large may a perturbation be? pass --eps, say 0.1"
                    ),
                };
                AttackConfig::named(name, threat)?
            }
            (_, Some(base)) => base,
            (_, None) => bail!(Config, "attack: pass --attack NAME --eps SIZE, or a --config file"),
        };
        let config = self.overridden(config)?;
        config.check()?;
        Ok(config)
    }

    /// The configuration with the flags put into it, as if they had stood in its file: an attack
    /// knows its own constants, and refuses others.
    fn overridden(&self, config: AttackConfig) -> Result<AttackConfig> {
        let name = config.name();
        let invalid = |err: &dyn std::fmt::Display| {
            let line = err.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            Error::new(ErrorKind::Config, format!("{name}: {line}"))
        };
        let mut table = toml::Table::try_from(&config).map_err(|err| invalid(&err))?;
        let count = |n: usize| toml::Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
        let given = [
            ("norm", self.norm.map(|norm| toml::Value::String(norm.name().into()))),
            ("eps", self.eps.map(toml::Value::Float)),
            ("steps", self.steps.map(count)),
            ("queries", self.queries.map(count)),
            ("version", self.attack_version.clone().map(toml::Value::String)),
            ("step", self.step.map(toml::Value::Float)),
            ("restarts", self.restarts.map(count)),
            ("random_start", self.random_start.map(toml::Value::Boolean)),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                table.insert(key.to_owned(), value);
            }
        }
        table.try_into().map_err(|err: toml::de::Error| {
            let what = format!("{}; leave that flag out, or choose another attack", err.message());
            invalid(&what)
        })
    }
}
