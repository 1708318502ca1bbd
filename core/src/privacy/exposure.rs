//! Secret exposure (Carlini et al. 2019, "The Secret Sharer"): if a card number had been in the
//! training data, would it come back?
//!
//! Canaries are records with a random secret. Some are put into the training data, others are kept out
//! as controls, and the trained model ranks the true secret of each among all that it could have been.
//! The exposure is `log2 |R| - log2 rank` (definition 6): `log2 |R|` bits where the first guess is
//! right, about 1.44 on average where the model knows nothing.
//!
//! *What that means for a classifier.* A language model is asked for the likelihood of the secret; a
//! classifier has none for its input. What it does have is a loss of the record with its label, so the
//! attacker is one who knows all of a record but the secret field, and its label, and takes the number
//! for the true one with which the model likes that label best. The label of a canary is random:
//! nothing but having memorised this very record can tell the numbers apart in the right order.
//! An attacker who knows less, or a secret that takes part in a pattern, is not measured.
//!
//! The secret is a number of some digits, uniformly drawn, that takes the place of some features: one
//! value a digit, or ten values a digit of which one is set, as tables hold categories. A network with
//! an embedding reads the former as tokens. The rank is exact where all numbers can be tried, else an
//! estimate from random ones (section 4.3); the extrapolation by a fitted distribution is left out, as
//! it can claim more bits than numbers were tried.
//!
//! Numbers that the model likes equally count as ranked before the secret. So exposure by luck has the
//! distribution of `-log2 U` or less, and the bounds below hold without any assumption on the model.

use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::metrics::{Interval, clopper_pearson};
use crate::model::Classifier;
use crate::place::Placement;
use crate::privacy::membership::cross_entropy;
use crate::rng::Rng;
use crate::{Result, bail};

/// How digits are written into features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// A feature a digit, from the smallest value for 0 to the largest for 9.
    Level,
    /// Ten features a digit, all smallest but the one of the digit.
    OneHot,
}

/// Where the secret stands in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Digits of the secret.
    pub digits: u32,
    /// The first feature that it takes the place of.
    pub at: usize,
    /// How digits are written.
    pub encoding: Encoding,
}

/// Secrets have at most so many digits.
const DIGITS: u32 = 18;

impl Field {
    /// Number of secrets that there are.
    pub fn secrets(&self) -> u64 {
        10u64.pow(self.digits)
    }

    /// Features that it takes.
    pub fn width(&self) -> usize {
        self.digits as usize * if self.encoding == Encoding::OneHot { 10 } else { 1 }
    }

    /// Checks that it fits records of `features` features and leaves some of them.
    ///
    /// # Errors
    /// It does not; the message says what would.
    pub fn check(&self, features: usize) -> Result<()> {
        if !(1..=DIGITS).contains(&self.digits) {
            bail!(Config, "exposure: {} digits; use 1 to {DIGITS}", self.digits);
        }
        let end = self.at.saturating_add(self.width());
        if end > features || self.width() >= features {
            bail!(
                Config,
                "exposure: a secret of {} digits takes features {} to {end}, and records have \
                 {features}, some of which must stay; use fewer digits or another place",
                self.digits,
                self.at
            );
        }
        Ok(())
    }

    fn write(&self, secret: u64, record: &mut [f32], (lo, hi): (f32, f32)) {
        let mut left = secret;
        for digit in (0..self.digits as usize).rev() {
            let value = (left % 10) as usize;
            left /= 10;
            match self.encoding {
                Encoding::Level => {
                    record[self.at + digit] = lo + (hi - lo) * value as f32 / 9.0;
                }
                Encoding::OneHot => {
                    let cells = &mut record[self.at + 10 * digit..][..10];
                    cells.fill(lo);
                    cells[value] = hi;
                }
            }
        }
    }
}

/// A record with a secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Canary {
    /// The record, its secret included.
    pub record: Vec<f32>,
    /// Its random label.
    pub label: i64,
    /// The secret.
    pub secret: u64,
}

/// `count` canaries: random records of `data` with random secrets and random labels.
///
/// # Errors
/// The field does not fit, or there are no records.
pub fn canaries(data: &Dataset, field: &Field, count: usize, rng: &Rng) -> Result<Vec<Canary>> {
    let each: usize = data.shape.iter().product();
    field.check(each)?;
    if data.is_empty() {
        bail!(Data, "exposure: there are no records to make canaries of; supply some");
    }
    let make = |i: usize| {
        let mut rng = rng.child("canary").index(i as u64);
        let row = rng.below(data.len());
        let mut record = data.features[row * each..(row + 1) * each].to_vec();
        let label = rng.below(data.classes) as i64;
        let secret = rng.below(field.secrets() as usize) as u64;
        field.write(secret, &mut record, data.bounds);
        Canary { record, label, secret }
    };
    Ok((0..count).map(make).collect())
}

/// `data` with `repeats` copies of each canary at the end.
#[must_use]
pub fn insert(data: &Dataset, canaries: &[Canary], repeats: usize) -> Dataset {
    let mut with = data.clone();
    for canary in canaries {
        for _ in 0..repeats {
            with.features.extend_from_slice(&canary.record);
            with.labels.push(canary.label);
        }
    }
    with
}

/// How a secret is ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ranking {
    /// Among all secrets.
    Exact,
    /// Among so many random ones.
    Sampled(u64),
}

/// How much of a secret a model gives away.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// In bits.
    pub bits: f64,
    /// The rank of the secret among those tried, from 1; equals count as before it.
    pub rank: u64,
    /// Secrets tried, the true one included.
    pub tried: u64,
}

/// The exposure of a canary: `like` gives the shape and the range of its record.
///
/// # Errors
/// The record does not fit the model, an answer is NaN, or the device failed.
pub fn exposure(
    model: &dyn Classifier,
    canary: &Canary,
    field: &Field,
    ranking: Ranking,
    (like, place): (&Dataset, &Placement),
    rng: &Rng,
) -> Result<Exposure> {
    let mut draw = rng.clone();
    let all = field.secrets();
    let others = match ranking {
        Ranking::Exact => all,
        Ranking::Sampled(count) => count,
    };
    let loss = |secrets: &[u64]| losses(model, canary, field, secrets, like, place);
    let own = loss(&[canary.secret])?[0];
    let mut ahead = 0;
    let mut from = 0;
    while from < others {
        let to = others.min(from + place.batch.max(1) as u64);
        let secrets: Vec<u64> = match ranking {
            Ranking::Exact => (from..to).filter(|&secret| secret != canary.secret).collect(),
            Ranking::Sampled(_) => (from..to).map(|_| draw.below(all as usize) as u64).collect(),
        };
        ahead += loss(&secrets)?.into_iter().filter(|&loss| loss <= own).count() as u64;
        from = to;
    }
    let tried = if ranking == Ranking::Exact { all } else { others + 1 };
    let rank = ahead + 1;
    Ok(Exposure { bits: (tried as f64).log2() - (rank as f64).log2(), rank, tried })
}

fn losses(
    model: &dyn Classifier,
    canary: &Canary,
    field: &Field,
    secrets: &[u64],
    like: &Dataset,
    place: &Placement,
) -> Result<Vec<f64>> {
    if secrets.is_empty() {
        return Ok(Vec::new());
    }
    let mut data = like.select(&[]);
    for &secret in secrets {
        let start = data.features.len();
        data.features.extend_from_slice(&canary.record);
        field.write(secret, &mut data.features[start..], like.bounds);
        data.labels.push(canary.label);
    }
    let rows: Vec<usize> = (0..data.len()).collect();
    let (x, _) = place.tensors(&data, &rows)?;
    let logits = model.logits(&x)?.to_f64_vec()?;
    if logits.iter().any(|z| z.is_nan()) {
        bail!(Numeric, "exposure: the model answers NaN; train it with a lower learning rate");
    }
    let each = logits.chunks(like.classes);
    Ok(each.map(|z| cross_entropy(z, canary.label as usize)).collect())
}

/// What canaries of one kind come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExposureSummary {
    /// Each canary.
    pub each: Vec<Exposure>,
    /// Their mean, in bits.
    pub mean_bits: f64,
    /// Mean that a model which knows nothing stays below in 95 of 100 cases.
    pub mean_by_chance: f64,
    /// The most that the mean could be: every secret ranked first.
    pub most_bits: f64,
    /// Probability of such a mean, or a larger one, from a model that knows nothing; at most.
    pub p_value: f64,
    /// Secrets ranked first.
    pub first: u64,
    /// Clopper-Pearson interval, at 95 % confidence, of the share of secrets ranked first.
    pub first_interval: Interval,
}

impl ExposureSummary {
    /// The figures of at least one canary.
    ///
    /// # Errors
    /// There is none.
    pub fn new(each: Vec<Exposure>) -> Result<Self> {
        if each.is_empty() {
            bail!(Config, "exposure: no canary was made; ask for at least 1");
        }
        let n = each.len() as f64;
        let total: f64 = each.iter().map(|e| e.bits).sum();
        let first = each.iter().filter(|e| e.rank == 1).count() as u64;
        Ok(ExposureSummary {
            mean_bits: total / n,
            mean_by_chance: by_chance(each.len(), 0.05),
            most_bits: each.iter().map(|e| (e.tried as f64).log2()).sum::<f64>() / n,
            p_value: erlang_tail(each.len(), total * std::f64::consts::LN_2),
            first,
            first_interval: clopper_pearson(first, each.len() as u64, 0.05)?,
            each,
        })
    }

    /// What may be said of inserted canaries.
    pub fn verdict(&self) -> String {
        let Interval { low, high } = self.first_interval;
        let first = format!(
            "{} of {} secrets come first, {:.0} to {:.0} % at 95 % confidence",
            self.first,
            self.each.len(),
            100.0 * low,
            100.0 * high
        );
        match self.mean_bits > self.mean_by_chance {
            true => format!("secrets are exposed: {first}"),
            false => format!(
                "found nothing beyond chance: {first}; other secrets or attackers may find more"
            ),
        }
    }
}

/// The mean exposure of a secret whose rank among `secrets` is uniform: `log2 R - log2(R!) / R`, which
/// tends to `log2 e = 1.4427`.
pub fn expected_by_chance(secrets: u64) -> f64 {
    let r = secrets as f64;
    r.log2() - libm::lgamma(r + 1.0) / std::f64::consts::LN_2 / r
}

/// The mean of `n` exposures by luck that is exceeded with probability `alpha` at most.
fn by_chance(n: usize, alpha: f64) -> f64 {
    let (mut low, mut high) = (0.0, 100.0 * n as f64);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if erlang_tail(n, middle) > alpha { low = middle } else { high = middle }
    }
    high / n as f64 / std::f64::consts::LN_2
}

/// The probability that the sum of `n` exponential variables of mean 1 is at least `x`:
/// `e^-x sum_{k < n} x^k / k!`.
fn erlang_tail(n: usize, x: f64) -> f64 {
    let mut log_term = -x;
    let mut sum = 0.0;
    for k in 0..n {
        sum += log_term.exp();
        log_term += x.ln() - ((k + 1) as f64).ln();
    }
    f64::min(sum, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_written_digit_by_digit() {
        let mut record = vec![0.5; 5];
        let level = Field { digits: 3, at: 1, encoding: Encoding::Level };
        level.write(907, &mut record, (0.0, 9.0));
        assert_eq!(record, [0.5, 9.0, 0.0, 7.0, 0.5]);
        let mut record = vec![0.5; 21];
        let one_hot = Field { digits: 2, at: 0, encoding: Encoding::OneHot };
        one_hot.write(40, &mut record, (0.0, 1.0));
        let set: Vec<usize> = (0..20).filter(|&i| record[i] == 1.0).collect();
        assert_eq!((set, record[20]), (vec![4, 10], 0.5));
    }

    #[test]
    fn fields_that_do_not_fit_are_refused() {
        let field = |digits, at| Field { digits, at, encoding: Encoding::OneHot };
        assert!(field(2, 0).check(21).is_ok());
        for (digits, at, features) in [(2, 0, 20), (2, 2, 21), (0, 0, 9), (19, 0, 500)] {
            assert!(field(digits, at).check(features).is_err(), "{digits} {at} {features}");
        }
    }

    /// Chance: `log2 R - log2(R!) / R` by hand for 2 and 4 secrets, and the limit.
    #[test]
    fn the_baseline_has_its_closed_form() {
        assert!((expected_by_chance(2) - 0.5).abs() < 1e-12);
        assert!((expected_by_chance(4) - (2.0 - 24f64.log2() / 4.0)).abs() < 1e-12);
        assert!((expected_by_chance(1_000_000) - std::f64::consts::LOG2_E).abs() < 1e-4);
    }

    #[test]
    fn tails_have_their_closed_forms() {
        assert!((erlang_tail(1, 3.0) - (-3f64).exp()).abs() < 1e-15);
        assert!((erlang_tail(3, 2.0) - (-2f64).exp() * 5.0).abs() < 1e-14);
        assert_eq!(erlang_tail(4, 0.0), 1.0);
        assert!((by_chance(1, 0.05) - 20f64.log2()).abs() < 1e-9);
    }

    #[test]
    fn a_summary_tells_secrets_from_luck() {
        let of = |ranks: &[u64]| {
            let each = ranks.iter().map(|&rank| Exposure {
                bits: (1000.0 / rank as f64).log2(),
                rank,
                tried: 1000,
            });
            ExposureSummary::new(each.collect()).unwrap()
        };
        let known = of(&[1, 1, 2, 1]);
        assert!(known.p_value < 1e-6 && known.verdict().starts_with("secrets are exposed: 3 of 4"));
        let luck = of(&[500, 90, 700, 301]);
        assert!(luck.p_value > 0.3, "{}", luck.p_value);
        assert!(luck.verdict().starts_with("found nothing beyond chance: 0 of 4"));
        assert!(ExposureSummary::new(Vec::new()).is_err());
    }
}
