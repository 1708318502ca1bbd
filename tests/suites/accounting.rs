//! The accountants of differential privacy against other systems, and against each other.
//!
//! The figures are those of the files that README.md of the golden vectors describes, with the
//! tolerances it states.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

use std::time::{Duration, Instant};

use inocula_core::dp::accounting::{
    ACCOUNTANTS, Accountant, Mechanism, Sampling, renyi_divergence,
};
use inocula_tests::files;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// What one answer may take, on a machine that is busy with other tests.
const LONGEST: Duration = Duration::from_secs(20);

/// The cells of a file below its header; none, with a printed reason, where the file is absent.
fn table(name: &str) -> Option<Vec<Vec<String>>> {
    let folder = match files::oracles() {
        Ok(folder) => folder,
        Err(why) => {
            files::skip(&why).expect("the golden vectors are required");
            return None;
        }
    };
    let text = std::fs::read_to_string(folder.join(name)).expect("the folder has the file");
    let row = |line: &str| line.split(',').map(str::to_owned).collect();
    Some(text.lines().skip(1).map(row).collect())
}

/// A row as numbers; an empty cell is NaN.
fn numbers<const N: usize>(row: &[String]) -> [f64; N] {
    let cell = |text: &String| match text.as_str() {
        "" => f64::NAN,
        text => text.parse().expect("a number"),
    };
    row.iter().map(cell).collect::<Vec<_>>().try_into().expect("as many cells as columns")
}

/// Half a unit of the last digit with which a number is written.
fn rounding(text: &str) -> f64 {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    0.5 * 10.0_f64.powi(exponent.parse::<i32>().expect("an exponent") - decimals as i32)
}

fn epsilon(accountant: &str, history: &[Mechanism], delta: f64) -> f64 {
    let accountant = Accountant::named(accountant).expect("a known name");
    accountant.spent(history, delta, Sampling::Poisson).expect("values in range").epsilon
}

fn repeated(q: f64, sigma: f64, count: f64) -> [Mechanism; 1] {
    [Mechanism::new(q, sigma, count as u64).expect("values in range")]
}

#[test]
fn divergence_of_a_step_is_that_of_the_vectors() {
    let Some(rows) = table("rdp_per_step.csv") else { return };
    assert_eq!(rows.len(), 18);
    for row in rows {
        let [order, q, sigma, want] = numbers(&row);
        let got = renyi_divergence(order, q, sigma).unwrap();
        // One of the vectors has seven digits.
        let allowed = 1e-8 * want + rounding(&row[3]);
        assert!((got - want).abs() <= allowed, "{order} {q} {sigma}: {got} {want}");
    }
}

#[test]
fn epsilons_by_rdp_are_those_of_the_vectors() {
    let Some(rows) = table("dp_sgd_epsilon.csv") else { return };
    assert_eq!(rows.len(), 67);
    for row in rows {
        let [q, sigma, count, delta, google, pld, opacus] = numbers(&row);
        let got = epsilon("rdp", &repeated(q, sigma, count), delta);
        assert!(got <= 1.005 * google.min(opacus), "{row:?}: {got}");
        assert!(pld.is_nan() || got >= pld, "{row:?}: {got}");
    }
}

#[test]
fn epsilons_by_pld_are_those_of_the_vectors() {
    let Some(rows) = table("dp_sgd_epsilon.csv") else { return };
    for row in rows {
        let [q, sigma, count, delta, _, pld, _] = numbers(&row);
        let history = repeated(q, sigma, count);
        let got = epsilon("pld", &history, delta);
        assert!(pld.is_nan() || (got / pld - 1.0).abs() <= 1e-3, "{row:?}: {got}");
        assert!(got <= epsilon("rdp", &history, delta), "{row:?}: {got}");
    }
}

/// Noisy steps as they occur in training, and a delta: q, noise multiplier, steps, delta.
fn usual() -> impl Strategy<Value = (f64, f64, f64, f64)> {
    let power = |low: f64, high: f64| (low..high).prop_map(|x| 10.0_f64.powf(x));
    (power(-5.0, 0.0), power(-0.5, 1.5), power(0.0, 5.0), power(-12.0, -1.0))
        .prop_map(|(q, sigma, count, delta)| (q, sigma, count.floor(), delta))
}

/// What epsilon may fall where it should rise: the accuracy of the accountant.
fn slack(accountant: &str) -> f64 {
    if accountant == "pld" { 2e-4 } else { 1e-7 }
}

fn rises(what: &str, accountant: &str, less: f64, more: f64) -> TestCaseResult {
    let allowed = less * (1.0 - slack(accountant)) - 1e-12;
    prop_assert!(more >= allowed, "{accountant} in {what}: {less}, then {more}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn epsilon_is_monotone((q, sigma, count, delta) in usual(), factor in 1.0..3.0_f64) {
        for name in ["rdp", "rdp-classic", "pld"] {
            let of = |q: f64, sigma: f64, count: f64, delta: f64| {
                epsilon(name, &repeated(q, sigma, count), delta)
            };
            let base = of(q, sigma, count, delta);
            rises("steps", name, base, of(q, sigma, (count * factor).ceil(), delta))?;
            rises("sampling rate", name, base, of((q * factor).min(1.0), sigma, count, delta))?;
            rises("noise", name, base, of(q, sigma / factor, count, delta))?;
            rises("delta", name, base, of(q, sigma, count, delta / factor))?;
        }
    }

    #[test]
    fn tighter_accountants_never_give_more((q, sigma, count, delta) in usual()) {
        let history = repeated(q, sigma, count);
        let [pld, rdp, classic] = ["pld", "rdp", "rdp-classic"].map(|a| epsilon(a, &history, delta));
        prop_assert!(pld <= rdp && rdp <= classic, "{pld} {rdp} {classic}");
        let without_sampling = epsilon("gaussian", &repeated(1.0, sigma, count), delta);
        prop_assert!(pld <= without_sampling, "{pld} {without_sampling}");
    }
}

/// Doubles of every size, with those that make trouble.
fn any_number() -> impl Strategy<Value = f64> {
    let special = [0.0, -0.0, 1.0, 5e-324, 1e-300, 1.0 - f64::EPSILON / 2.0, 1e300, f64::INFINITY];
    prop_oneof![
        4 => (-20.0..3.0_f64).prop_map(|x| 10.0_f64.powf(x)),
        2 => 0.0..1.0_f64,
        2 => proptest::sample::select(special.to_vec()),
        1 => (-324.0..309.0_f64).prop_map(|x| 10.0_f64.powf(x)),
        1 => any::<f64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn any_arguments_have_an_answer(
        phases in proptest::collection::vec((any_number(), any_number(), any::<(u64, u32)>()), 0..4),
        delta in any_number(),
    ) {
        let mechanism = |(q, sigma, (count, shift)): &(f64, f64, (u64, u32))| {
            Mechanism::new(*q, *sigma, count >> (shift % 64))
        };
        let history: Result<Vec<_>, _> = phases.iter().map(mechanism).collect();
        for accountant in &ACCOUNTANTS {
            let start = Instant::now();
            let answer = history.clone().and_then(|h| accountant.spent(&h, delta, Sampling::Poisson));
            match answer {
                Ok(spent) => prop_assert!(spent.epsilon >= 0.0, "{spent:?}"),
                Err(err) => {
                    let line = err.to_string();
                    prop_assert!(!line.is_empty() && !line.contains('\n'), "{line}");
                }
            }
            let time = start.elapsed();
            prop_assert!(time < LONGEST, "{time:?} by {accountant:?} for {phases:?} at {delta}");
        }
    }
}
