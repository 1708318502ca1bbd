//! The commands, one a file.

mod attack;
mod backends;
mod data;
mod demo;
mod evaluate;
mod import;
mod train;

use inocula_core::attack::{AttackConfig, Threat};
use inocula_core::metrics::Norm;
use inocula_core::{Result, bail};

use crate::args::{Args, AttackFlags, Command};

/// Runs the command that was asked for.
pub(crate) fn run(args: Args) -> Result<()> {
    let quiet = args.quiet;
    match args.command {
        Command::Demo(flags) => demo::run(&flags, quiet),
        Command::Train(flags) => train::run(&flags, quiet),
        Command::Import(flags) => import::run(&flags),
        Command::Attack(flags) => attack::run(&flags, quiet),
        Command::Evaluate(flags) => evaluate::run(&flags, quiet),
        Command::Backends(flags) => backends::run(&flags),
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
            || self.step.is_some()
            || self.restarts.is_some()
            || self.random_start.is_some()
    }

    /// The attack that the flags describe, starting from `base` where they are silent.
    pub(crate) fn apply(&self, base: Option<AttackConfig>) -> Result<AttackConfig> {
        let mut config = match (&self.attack, base) {
            (Some(name), base) if base.as_ref().is_none_or(|b| b.name() != name) => {
                let threat = base.map(|b| b.check().map(|a| a.threat())).transpose()?;
                let norm = self.norm.or(threat.map(|t| t.norm)).unwrap_or(Norm::Linf);
                let Some(eps) = self.eps.or(threat.map(|t| t.eps)) else {
                    bail!(Config, "attack: how large may a perturbation be? pass --eps, say 0.1");
                };
                AttackConfig::named(name, Threat::new(norm, eps))?
            }
            (_, Some(base)) => base,
            (_, None) => bail!(Config, "attack: pass --attack NAME --eps SIZE, or a --config file"),
        };
        self.override_constants(&mut config)?;
        config.check()?;
        Ok(config)
    }

    fn override_constants(&self, config: &mut AttackConfig) -> Result<()> {
        match config {
            AttackConfig::Fgsm(c) => {
                c.norm = self.norm.unwrap_or(c.norm);
                c.eps = self.eps.unwrap_or(c.eps);
                c.random_start = self.random_start.unwrap_or(c.random_start);
                if self.steps.is_some() || self.step.is_some() || self.restarts.is_some() {
                    bail!(Config, "fgsm takes one step of length eps; use pgd for --steps");
                }
            }
            AttackConfig::Pgd(c) => {
                c.norm = self.norm.unwrap_or(c.norm);
                c.eps = self.eps.unwrap_or(c.eps);
                c.steps = self.steps.unwrap_or(c.steps);
                c.step = self.step.or(c.step);
                c.restarts = self.restarts.unwrap_or(c.restarts);
                c.random_start = self.random_start.unwrap_or(c.random_start);
            }
        }
        Ok(())
    }
}
