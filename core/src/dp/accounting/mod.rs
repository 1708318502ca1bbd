//! Accountants: what the noise of a training run is worth as (epsilon, delta).
//!
//! Everything here is f64 on the host and independent of tensors: a history of [`Mechanism`]s goes
//! in, a [`Spent`] comes out, which carries its provenance because an epsilon without the sampling,
//! the neighbouring relation and the conversion behind it cannot be compared with another.
//!
//! Each of the [`ACCOUNTANTS`] gives an upper bound. `rdp` adds up Renyi divergences: cheap, a tenth
//! too large or more. `pld` composes the distribution of the privacy loss itself and is as tight as
//! its grid; it is the one to report. `gaussian` is the closed form where no sampling takes place.

mod calibrate;
mod conversion;
pub mod gaussian;
mod mechanism;
mod pld;
mod rdp;
mod special;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

pub use self::calibrate::{calibrate, calibrate_history};
use self::conversion::Conversion;
pub use self::mechanism::Mechanism;
use self::mechanism::{check_delta, merged};
use crate::error::nearest;
use crate::{Error, ErrorKind, Result, bail};

/// A way to account.
pub struct Accountant {
    /// Name in flags and reports.
    pub name: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// Epsilon of a history that releases something, with noise, for a delta in (0, 1).
    bound: fn(&[Mechanism], f64) -> Result<Bound>,
}

impl fmt::Debug for Accountant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Accountant").field(&self.name).finish()
    }
}

/// An epsilon and the theorem that gave it.
struct Bound {
    epsilon: f64,
    conversion: &'static str,
}

/// Every accountant; a new one is a line here and a file.
pub static ACCOUNTANTS: [Accountant; 4] = [
    Accountant {
        name: "pld",
        summary: "the distribution of the privacy loss, the tightest",
        bound: |history, delta| Ok(by_pld(history, delta)),
    },
    Accountant {
        name: "rdp",
        summary: "Renyi divergences of the best order, improved conversion",
        bound: |history, delta| Ok(by_rdp(Conversion::Improved, history, delta)),
    },
    Accountant {
        name: "rdp-classic",
        summary: "the same with the older, looser conversion",
        bound: |history, delta| Ok(by_rdp(Conversion::Mironov, history, delta)),
    },
    Accountant {
        name: "gaussian",
        summary: "the closed form, at sampling rate 1 only",
        bound: by_closed_form,
    },
];

fn by_rdp(conversion: Conversion, history: &[Mechanism], delta: f64) -> Bound {
    Bound { epsilon: conversion.epsilon_of(history, delta), conversion: conversion.source() }
}

/// The least of three upper bounds: the grid's, which is the least wherever a grid can be fine enough,
/// the one by Renyi divergences, and the closed form of the same steps without sampling, which leaks
/// no less.
fn by_pld(history: &[Mechanism], delta: f64) -> Bound {
    let on_grid = Bound { epsilon: pld::epsilon(history, delta), conversion: pld::SOURCE };
    let whole = gaussian::epsilon(gaussian::mu_without_sampling(history), delta);
    let closed = Bound { epsilon: whole, conversion: gaussian::SOURCE };
    let bounds = [by_rdp(Conversion::Improved, history, delta), closed];
    bounds.into_iter().fold(on_grid, |least, next| {
        if next.epsilon < least.epsilon || least.epsilon.is_nan() { next } else { least }
    })
}

fn by_closed_form(history: &[Mechanism], delta: f64) -> Result<Bound> {
    if let Some(sampled) = history.iter().find(|m| m.sampling_rate() < 1.0) {
        bail!(
            Config,
            "gaussian accountant: sampling rate {} is below 1; choose pld, which counts the \
             sampling in",
            sampled.sampling_rate()
        );
    }
    let epsilon = gaussian::epsilon(gaussian::mu_without_sampling(history), delta);
    Ok(Bound { epsilon, conversion: gaussian::SOURCE })
}

impl Accountant {
    /// The accountant of that name.
    ///
    /// # Errors
    /// There is none; the message lists those there are.
    pub fn named(name: &str) -> Result<&'static Accountant> {
        ACCOUNTANTS.iter().find(|a| a.name == name).ok_or_else(|| {
            let names: Vec<&str> = ACCOUNTANTS.iter().map(|a| a.name).collect();
            let hint = nearest(name, names.iter().copied());
            let hint = hint.map_or(String::new(), |near| format!("; did you mean {near}?"));
            let what = format!("no accountant {name}, choose of {}{hint}", names.join(", "));
            Error::new(ErrorKind::NotFound, what)
        })
    }

    /// What `history` spends at `delta`, for batches that were really drawn by `sampling`.
    ///
    /// # Errors
    /// `delta` is outside \[0, 1\], or the accountant does not cover the history.
    pub fn spent(&self, history: &[Mechanism], delta: f64, sampling: Sampling) -> Result<Spent> {
        check_delta(delta)?;
        let Bound { epsilon, conversion } = self.bound(&merged(history), delta)?;
        Ok(Spent {
            epsilon,
            delta,
            accountant: self.name,
            conversion,
            sampling,
            accounted_as: Sampling::Poisson,
            neighbours: NEIGHBOURS,
            mechanisms: history.to_vec(),
            warnings: sampling.warning().into_iter().chain(delta_warning(delta)).collect(),
        })
    }

    /// The bound, where the question does not answer itself.
    fn bound(&self, history: &[Mechanism], delta: f64) -> Result<Bound> {
        let by_definition = |epsilon| Ok(Bound { epsilon, conversion: "by definition" });
        if history.is_empty() || delta == 1.0 {
            return by_definition(0.0);
        }
        if delta == 0.0 || history.iter().any(|m| m.noise_multiplier() == 0.0) {
            return by_definition(f64::INFINITY);
        }
        let bound = (self.bound)(history, delta)?;
        if bound.epsilon.is_nan() {
            let what = format!("{} accountant: no value within f64; change the noise", self.name);
            return Err(Error::new(ErrorKind::Numeric, what));
        }
        Ok(bound)
    }
}

/// Renyi divergence of order `order` > 1 between what one step releases with a sample and without:
/// at least the true one, and within 1e-9 of it in ordinary ranges.
///
/// # Errors
/// `order` is not above 1, or the other values are refused by [`Mechanism::new`].
pub fn renyi_divergence(order: f64, sampling_rate: f64, noise_multiplier: f64) -> Result<f64> {
    if order.is_nan() || order <= 1.0 {
        bail!(Config, "order {order}: must be above 1");
    }
    let step = Mechanism::new(sampling_rate, noise_multiplier, 1)?;
    Ok(if step.is_silent() { 0.0 } else { rdp::per_step(order, sampling_rate, noise_multiplier) })
}

/// The neighbouring relation of every accountant.
const NEIGHBOURS: &str = "one sample added or removed";

/// How batches were drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Each sample joins each batch on its own coin: what the accountants assume.
    #[default]
    Poisson,
    /// Batches of a fixed size from a shuffle of each epoch.
    Shuffled,
    /// Batches of a fixed size, each drawn anew without replacement.
    Fixed,
}

impl Sampling {
    fn name(self) -> &'static str {
        match self {
            Sampling::Poisson => "poisson",
            Sampling::Shuffled => "shuffled",
            Sampling::Fixed => "fixed",
        }
    }

    fn warning(self) -> Option<String> {
        (self != Sampling::Poisson).then(|| {
            format!(
                "batches were {}, epsilon is for Poisson sampling: it is no guarantee for this run, \
                 which may leak more",
                self.name()
            )
        })
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sampling {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "poisson" => Ok(Sampling::Poisson),
            "shuffled" => Ok(Sampling::Shuffled),
            "fixed" => Ok(Sampling::Fixed),
            _ => bail!(Config, "sampling {name}: must be poisson, shuffled or fixed"),
        }
    }
}

/// Above this delta the definition permits to publish a sample in a thousand as it is.
const LARGE_DELTA: f64 = 1e-3;

fn delta_warning(delta: f64) -> Option<String> {
    (delta > LARGE_DELTA).then(|| {
        format!(
            "delta {delta} lets a mechanism publish that share of the samples; choose one well \
             below one over their number"
        )
    })
}

/// What was spent, and on what grounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spent {
    /// Upper bound of the privacy loss, >= 0; written as the text `inf` where it is infinite.
    #[serde(serialize_with = "number_or_inf")]
    pub epsilon: f64,
    /// Probability with which the bound may fail.
    pub delta: f64,
    /// Name of the accountant.
    pub accountant: &'static str,
    /// The theorem by which its sum became epsilon.
    pub conversion: &'static str,
    /// How batches were drawn.
    pub sampling: Sampling,
    /// How the accountant takes them to have been drawn.
    pub accounted_as: Sampling,
    /// Which data sets are to be indistinguishable.
    pub neighbours: &'static str,
    /// What was released.
    pub mechanisms: Vec<Mechanism>,
    /// Why the figure may mean less than it seems to.
    pub warnings: Vec<String>,
}

/// JSON has no infinity, and `null` could be taken for a value that is missing.
fn number_or_inf<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else {
        serializer.serialize_str("inf")
    }
}
