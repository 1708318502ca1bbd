//! `inocula dp`: what noisy steps spend, the noise that a budget asks for, and what a ledger records.
//!
//! The figure comes first and its provenance with it, on standard output; warnings go to standard
//! error, and into the JSON, so that a script cannot lose them. What is claimed is rounded up, because a
//! bound that is rounded down holds no more.

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
    output::line(format!("epsilon {}", at_most(spent.epsilon)));
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
    // Up as well: with less noise than was found, epsilon would exceed what was asked for.
    output::line(format!("noise multiplier {}", at_most(sigma)));
    output::line(format!("epsilon {} of at most {}", at_most(spent.epsilon), plain(flags.epsilon)));
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
    let Contents { terms, origin, entries, torn } = &contents;
    if flags.json {
        return json(&Recorded {
            samples: terms.samples,
            records: entries.len(),
            steps: contents.steps(),
            torn: *torn,
            seeded: origin.map(|origin| origin.seeded),
            spent: &spent,
        });
    }
    output::line(format!("epsilon {}", at_most(spent.epsilon)));
    output::line(format!("  ledger        {}", flags.file.display()));
    output::line(format!("  samples       {}", terms.samples));
    output::line(format!("  steps         {} in {} records", contents.steps(), entries.len()));
    if *torn > 0 {
        output::line(format!("  torn          {torn} records, counted as a step each"));
    }
    let source = match origin {
        Some(origin) if origin.seeded => "from a seed, not private",
        Some(_) => "from a secret",
        None => "not recorded",
    };
    output::line(format!("  noise         {source}"));
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
    /// Whether batches and noise came from a seed; none if the ledger does not say.
    seeded: Option<bool>,
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

/// An upper bound to six digits, none of which understates it; what is very small or large by its
/// exponent.
pub(super) fn at_most(value: f64) -> String {
    to_six(value, |rounded| rounded < value, 1.0)
}

/// A lower bound to six digits, none of which overstates it.
pub(super) fn at_least(value: f64) -> String {
    to_six(value, |rounded| rounded > value, -1.0)
}

/// Six digits of a number; where the nearest such number is on the `wrong` side, its neighbour in the other
/// direction, which is that of `sign`.
fn to_six(value: f64, wrong: impl Fn(f64) -> bool, sign: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor();
    let as_decimal = (-4.0..9.0).contains(&magnitude);
    let decimals = if as_decimal { (5.0 - magnitude).max(0.0) as usize } else { 5 };
    let written = |value: f64| match as_decimal {
        true => format!("{value:.decimals$}"),
        false => format!("{value:.decimals$e}"),
    };
    let nearest = written(value);
    match nearest.parse::<f64>() {
        // The step makes up for far more than the rounding of this sum.
        Ok(rounded) if wrong(rounded) => {
            let exponent = if as_decimal { 0.0 } else { magnitude };
            written(rounded + sign * 10.0_f64.powf(exponent - decimals as f64))
        }
        _ => nearest,
    }
}

/// A number as it is, by its exponent if it would have many zeros.
fn plain(value: f64) -> String {
    match value == 0.0 || (1e-6..1e15).contains(&value.abs()) {
        true => value.to_string(),
        false => format!("{value:e}"),
    }
}

pub(super) fn explain(spent: &Spent) {
    output::line(format!("  delta         {}", plain(spent.delta)));
    for m in &spent.mechanisms {
        output::line(format!(
            "  mechanism     {} steps of Gaussian noise, multiplier {}, sampling rate {}",
            m.steps(),
            plain(m.noise_multiplier()),
            plain(m.sampling_rate())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_rounded_to_their_own_side() {
        for (value, up, down) in [
            (9.792_117, "9.79212", "9.79211"),
            (9.792_12, "9.79212", "9.79212"),
            (0.5, "0.500000", "0.500000"),
            (0.1, "0.100000", "0.100000"),
            (3.0, "3.00000", "3.00000"),
            (9.999_999_9, "10.00000", "9.99999"),
            (0.000_123_456_1, "0.000123457", "0.000123456"),
            (123_456.2, "123457", "123456"),
            (1e-12, "1.00000e-12", "1.00000e-12"),
            (1.000_001e-12, "1.00001e-12", "1.00000e-12"),
            (9.999_999e-12, "1.00000e-11", "9.99999e-12"),
            (1.234_561e12, "1.23457e12", "1.23456e12"),
            (0.0, "0", "0"),
            (f64::INFINITY, "inf", "inf"),
        ] {
            assert_eq!((at_most(value).as_str(), at_least(value).as_str()), (up, down), "{value}");
        }
    }

    #[test]
    fn no_digits_understate_a_bound() {
        let mut value = 1e-15;
        while value < 1e15 {
            let [up, down] = [at_most(value), at_least(value)].map(|s| s.parse::<f64>().unwrap());
            assert!(down <= value && value <= up, "{down} {value} {up}");
            assert!(up - down <= 1.001e-5 * value, "{down} {value} {up}");
            value *= 1.0137;
        }
    }

    #[test]
    fn what_is_tiny_has_an_exponent_and_no_hundreds_of_digits() {
        for (value, text) in [
            (1e-5, "0.00001"),
            (0.01, "0.01"),
            (1e-300, "1e-300"),
            (1e300, "1e300"),
            (0.0, "0"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(plain(value), text);
        }
    }
}
