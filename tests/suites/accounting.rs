//! The accountants of differential privacy against other systems, and against each other.
//!
//! The figures are those of the files that README.md of the golden vectors describes, with the
//! tolerances it states.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

use std::time::{Duration, Instant};

use inocula_core::dp::accounting::{
    ACCOUNTANTS, Accountant, Mechanism, Sampling, calibrate, gaussian, renyi_divergence,
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

/// E\[L\] and E\[L^2\] of the loss of a step with a sample that is removed, by the trapezoidal rule: E of
/// (1 + x) ln(1 + x) - x and of (1 + x) ln(1 + x)^2 under the normal, where x = q (e^t - 1) has mean 0.
fn moments_of_loss(q: f64, sigma: f64) -> [f64; 2] {
    let mu = 1.0 / sigma;
    let step = 1.0 / 128.0;
    let mut sums = [0.0, 0.0];
    for i in -14 * 128..=((14.0 + 2.0 * mu) * 128.0) as i32 {
        let z = f64::from(i) * step;
        let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let x = q * (mu * z - 0.5 * mu * mu).exp_m1();
        let loss = x.ln_1p();
        // The terms cancel for a small x, their series does not.
        let mean = if x.abs() < 1e-4 {
            x * x * (0.5 - x / 6.0 + x * x / 12.0)
        } else {
            (1.0 + x) * loss - x
        };
        sums[0] += density * mean * step;
        sums[1] += density * (1.0 + x) * loss * loss * step;
    }
    sums
}

/// What no epsilon at a delta of at most 0.4 may be below: delta is at least P\[L > epsilon + 1\] (1 - 1/e),
/// and by Chebyshev's inequality L is above its mean less two deviations three times of four.
fn at_least(phases: &[Mechanism]) -> f64 {
    let of = |m: &Mechanism| {
        let [mean, square] = moments_of_loss(m.sampling_rate(), m.noise_multiplier());
        [mean * m.steps() as f64, square * m.steps() as f64]
    };
    let sums = phases.iter().map(of).fold([0.0, 0.0], |s, m| [s[0] + m[0], s[1] + m[1]]);
    // The integrals, and the divergences that they are compared with, are good to 1e-9.
    sums[0] * (1.0 - 2e-9) - 2.0 * sums[1].sqrt() - 1.0
}

const MANY: [u64; 8] = [
    1_000_000_000,
    10_000_000_000,
    1_000_000_000_000,
    1_000_000_000_000_000,
    10_000_000_000_000_000,
    100_000_000_000_000_000,
    1_000_000_000_000_000_000,
    u64::MAX,
];

#[test]
fn very_many_steps_are_never_understated() {
    let part = |q, sigma, steps| Mechanism::new(q, sigma, steps).unwrap();
    let cases: [&dyn Fn(u64) -> Vec<Mechanism>; 6] = [
        &|n| vec![part(1e-4, 5.0, n)],
        &|n| vec![part(1e-4, 6.0, n)],
        &|n| vec![part(0.01, 1.1, n)],
        &|n| vec![part(1e-8, 0.8, n)],
        &|n| vec![part(1e-4, 5.0, n), part(1e-3, 9.0, n / 3), part(1e-4, 5.0, n)],
        &|n| vec![part(0.01, 1.1, 1000), part(1e-5, 20.0, n)],
    ];
    for case in cases {
        let mut last = 0.0;
        for history in MANY.map(case) {
            for delta in [1e-5, 0.1] {
                let [pld, rdp] = ["pld", "rdp"].map(|a| epsilon(a, &history, delta));
                let least = at_least(&history);
                assert!(pld >= least, "{history:?} {delta}: {pld} {least}");
                assert!(pld <= rdp && rdp.is_finite(), "{history:?} {delta}: {pld} {rdp}");
                if delta == 1e-5 {
                    assert!(pld >= last * (1.0 - 1e-9), "{history:?}: {last}, then {pld}");
                    last = pld;
                }
            }
        }
    }
}

#[test]
fn very_many_steps_without_sampling_are_the_closed_form() {
    for n in MANY {
        for sigma in [0.5, 1e3, 1e9] {
            let got = epsilon("pld", &[Mechanism::new(1.0, sigma, n).unwrap()], 1e-5);
            let want = gaussian::epsilon((n as f64).sqrt() / sigma, 1e-5);
            assert!((got / want - 1.0).abs() < 1e-4, "{n} {sigma}: {got} {want}");
        }
    }
}

#[test]
fn noise_for_very_many_steps_is_enough() {
    let (q, delta) = (1e-4_f64, 1e-5_f64);
    let pld = Accountant::named("pld").unwrap();
    let (sigma, _) = calibrate(pld, 3.0, q, u64::MAX, delta, Sampling::Poisson).unwrap();
    // Renyi divergences of whole orders, as they are printed.
    let by_order = |order: i32| {
        let a = f64::from(order);
        let (mut choose, mut excess) = (1.0, 0.0);
        for k in 1..=order {
            let k = f64::from(k);
            choose *= (a - k + 1.0) / k;
            let moment = (0.5 * k * (k - 1.0) / (sigma * sigma)).exp_m1();
            excess += choose * q.powf(k) * (1.0 - q).powf(a - k) * moment;
        }
        let rdp = u64::MAX as f64 * excess.ln_1p() / (a - 1.0);
        rdp + ((a - 1.0) / a).ln() - (delta.ln() + a.ln()) / (a - 1.0)
    };
    let spent = (2..64).map(by_order).fold(f64::INFINITY, f64::min);
    assert!(spent <= 3.0 * 1.01, "{sigma}: {spent}");
    let least = at_least(&[Mechanism::new(q, sigma, u64::MAX).unwrap()]);
    assert!(least <= 3.0 && spent > 2.9, "{sigma}: {least} {spent}");
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

/// Rates, noise, steps and a delta where samples are rare beyond measure, or steps past counting.
fn extremes() -> impl Strategy<Value = (Vec<Mechanism>, f64)> {
    let rare = || {
        prop_oneof![
            3 => (-300.0..0.0_f64).prop_map(|x| 10.0_f64.powf(x)),
            1 => (-12.0..0.0_f64).prop_map(|x| 10.0_f64.powf(x)),
            1 => proptest::sample::select(vec![1e-300, 1e-299, 1.0 - f64::EPSILON / 2.0, 1.0]),
        ]
    };
    let sigma = prop_oneof![0.03..0.05_f64, (-4.0..6.0_f64).prop_map(|x| 10.0_f64.powf(x))];
    let count = prop_oneof![
        2 => Just(1),
        2 => any::<(u64, u32)>().prop_map(|(count, shift)| (count >> (shift % 64)).max(1)),
        1 => Just(u64::MAX),
    ];
    let part = (rare(), sigma, count).prop_map(|(q, sigma, count)| repeated_whole(q, sigma, count));
    // A delta near the rate is where the answer turns from nothing to much.
    let near = (rare(), 0.0..1.5_f64, any::<bool>());
    (proptest::collection::vec(part, 1..4), near).prop_map(|(history, (delta, share, is_near))| {
        let near = (history[0].sampling_rate() * share).clamp(1e-300, 1.0 - f64::EPSILON);
        let delta = if is_near { near } else { delta };
        (history, delta)
    })
}

fn repeated_whole(q: f64, sigma: f64, count: u64) -> Mechanism {
    Mechanism::new(q, sigma, count).expect("values in range")
}

/// Epsilon of one step with a sample that is removed, a little below: its delta is q times that of the
/// Gaussian at ln(1 + (e^epsilon - 1) / q) (Balle, Barthe and Gaboardi 2018, Theorem 9).
fn of_a_step(step: &Mechanism, delta: f64) -> f64 {
    let q = step.sampling_rate();
    let share = delta / q * (1.0 + 1e-9);
    if share >= 1.0 {
        return 0.0;
    }
    let whole = gaussian::epsilon(1.0 / step.noise_multiplier(), share);
    let exact = if whole < 600.0 { (q * whole.exp_m1()).ln_1p() } else { whole + q.ln() };
    exact.max(0.0) * (1.0 - 1e-7)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn extremes_are_between_their_bounds((history, delta) in extremes()) {
        let start = Instant::now();
        let [pld, rdp] = ["pld", "rdp"].map(|a| epsilon(a, &history, delta));
        let time = start.elapsed();
        prop_assert!(time < LONGEST, "{time:?} for {history:?} at {delta}");
        prop_assert!(pld <= rdp, "{pld} {rdp}");
        // More steps are never less than one of them.
        let least = history.iter().map(|step| of_a_step(step, delta)).fold(0.0, f64::max);
        prop_assert!(pld >= least, "{pld} {least} for {history:?} at {delta}");
    }
}

#[test]
fn rare_samples_end_in_bounded_time() {
    for (sigma, delta) in [(0.0405, 1e-300), (0.0406, 1e-300), (0.041, 1e-300), (0.04, 1e-299)] {
        let start = Instant::now();
        let got = epsilon("pld", &repeated(1e-300, sigma, 1.0), delta);
        // Nothing is spent, as delta is the chance of being in the batch; all sizes of losses between
        // are more than a grid can tell apart.
        assert!((0.0..1e-20).contains(&got), "{sigma} {delta}: {got}");
        assert!(start.elapsed() < LONGEST);
    }
    let pld = Accountant::named("pld").unwrap();
    let start = Instant::now();
    if let Ok((sigma, spent)) = calibrate(pld, 1e-300, 1e-300, 1, 1e-300, Sampling::Poisson) {
        assert!(spent.epsilon <= 1e-300, "{sigma}: {spent:?}");
    }
    assert!(start.elapsed() < LONGEST);
}
