//! `inocula dp`: what noisy steps spend, the noise that a budget asks for, and what a ledger records.
//!
//! The figure comes first and its provenance with it, on standard output; warnings go to standard
//! error, and into the JSON, so that a script cannot lose them.

use inocula_core::dp::accounting::{Accountant, Mechanism, Spent, calibrate};
use inocula_core::dp::ledger::{self, Contents};
use inocula_core::{Error, ErrorKind, Result, bail};
use serde::Serialize;

use crate::args::{Dp, DpCalibrate, DpCommand, DpEpsilon, DpLedger};
use crate::output;

pub(super) fn run(flags: &Dp) -> Result<()> {
    match &flags.command {
        DpCommand::Epsilon(flags) => epsilon(flags),
        DpCommand::Calibrate(flags) => noise(flags),
        DpCommand::Ledger(flags) => recorded(flags),
    }
}

fn epsilon(flags: &DpEpsilon) -> Result<()> {
    let account = &flags.account;
    let first = Mechanism::new(account.sampling_rate, flags.noise_multiplier, account.steps);
    let rest = flags.then.iter().map(|text| phase(text));
    let history = std::iter::once(first).chain(rest).collect::<Result<Vec<_>>>()?;
    let accountant = Accountant::named(&account.accountant)?;
    let spent = accountant.spent(&history, account.delta, account.sampling)?;
    if account.json {
        return json(&spent);
    }
    output::line(format!("epsilon {}", figure(spent.epsilon)));
    explain(&spent);
    Ok(())
}

fn noise(flags: &DpCalibrate) -> Result<()> {
    let account = &flags.account;
    let (sigma, spent) = calibrate(
        Accountant::named(&account.accountant)?,
        flags.epsilon,
        account.sampling_rate,
        account.steps,
        account.delta,
        account.sampling,
    )?;
    if account.json {
        return json(&Calibrated {
            noise_multiplier: sigma,
            target_epsilon: flags.epsilon,
            spent: &spent,
        });
    }
    output::line(format!("noise multiplier {}", figure(sigma)));
    output::line(format!("epsilon {} of at most {}", figure(spent.epsilon), flags.epsilon));
    explain(&spent);
    Ok(())
}

/// The result of `calibrate` as JSON.
#[derive(Serialize)]
struct Calibrated<'a> {
    noise_multiplier: f64,
    target_epsilon: f64,
    #[serde(flatten)]
    spent: &'a Spent,
}

fn recorded(flags: &DpLedger) -> Result<()> {
    let contents = ledger::read(&flags.file)?;
    let delta = flags.delta.unwrap_or(contents.terms.delta);
    let spent = contents.spent(Accountant::named(&flags.accountant)?, delta)?;
    let Contents { terms, entries, torn } = &contents;
    if flags.json {
        return json(&Recorded {
            samples: terms.samples,
            records: entries.len(),
            steps: contents.steps(),
            torn: *torn,
            spent: &spent,
        });
    }
    output::line(format!("epsilon {}", figure(spent.epsilon)));
    output::line(format!("  ledger        {}", flags.file.display()));
    output::line(format!("  samples       {}", terms.samples));
    output::line(format!("  steps         {} in {} records", contents.steps(), entries.len()));
    if *torn > 0 {
        output::line(format!("  torn          {torn} records, counted as a step each"));
    }
    explain(&spent);
    Ok(())
}

/// The result of `ledger` as JSON.
#[derive(Serialize)]
struct Recorded<'a> {
    samples: u64,
    records: usize,
    steps: u64,
    torn: u64,
    #[serde(flatten)]
    spent: &'a Spent,
}

/// Steps written as `Q,S,T`.
fn phase(text: &str) -> Result<Mechanism> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let [rate, sigma, steps] = parts[..] else {
        bail!(
            Config,
            "--then {text}: must be SAMPLING_RATE,NOISE_MULTIPLIER,STEPS, say 0.01,1.1,500"
        );
    };
    let number = |part: &str| -> Result<f64> {
        part.parse().map_err(|_| unreadable(text, part, "a number"))
    };
    let steps = steps.parse().map_err(|_| unreadable(text, steps, "a count of steps"))?;
    Mechanism::new(number(rate)?, number(sigma)?, steps)
}

fn unreadable(text: &str, part: &str, what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("--then {text}: {part:?} must be {what}"))
}

/// A number to six digits; what is very small or large by its exponent.
pub(super) fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor();
    if (-4.0..9.0).contains(&magnitude) {
        let decimals = (5.0 - magnitude).max(0.0) as usize;
        format!("{value:.decimals$}")
    } else {
        format!("{value:.5e}")
    }
}

pub(super) fn explain(spent: &Spent) {
    output::line(format!("  delta         {}", spent.delta));
    for m in &spent.mechanisms {
        output::line(format!(
            "  mechanism     {} steps of Gaussian noise, multiplier {}, sampling rate {}",
            m.steps(),
            m.noise_multiplier(),
            m.sampling_rate()
        ));
    }
    let sampling = match spent.sampling == spent.accounted_as {
        true => spent.sampling.to_string(),
        false => format!("{}, accounted as {}", spent.sampling, spent.accounted_as),
    };
    output::line(format!("  sampling      {sampling}"));
    output::line(format!("  neighbours    {}", spent.neighbours));
    output::line(format!("  accountant    {}", spent.accountant));
    output::line(format!("  conversion    {}", spent.conversion));
    warn(spent);
}

pub(super) fn json(result: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(result)
        .map_err(|err| Error::new(ErrorKind::Io, format!("cannot write JSON: {err}")))?;
    output::line(text);
    Ok(())
}

fn warn(spent: &Spent) {
    for warning in &spent.warnings {
        output::note(format!("warning: {warning}"));
    }
}
