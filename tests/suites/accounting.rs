//! The accountants of differential privacy against other systems, and against each other.
//!
//! The figures are those of the files that README.md of the golden vectors describes, with the
//! tolerances it states.

use inocula_core::dp::accounting::{Accountant, Mechanism, Sampling, renyi_divergence};
use inocula_tests::files;

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
    let accountant = Accountant::named(accountant).unwrap();
    accountant.spent(history, delta, Sampling::Poisson).unwrap().epsilon
}

fn steps(q: f64, sigma: f64, count: f64) -> [Mechanism; 1] {
    [Mechanism::new(q, sigma, count as u64).unwrap()]
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
        let got = epsilon("rdp", &steps(q, sigma, count), delta);
        assert!(got <= 1.005 * google.min(opacus), "{row:?}: {got}");
        assert!(pld.is_nan() || got >= pld, "{row:?}: {got}");
    }
}

#[test]
fn epsilons_by_pld_are_those_of_the_vectors() {
    let Some(rows) = table("dp_sgd_epsilon.csv") else { return };
    for row in rows {
        let [q, sigma, count, delta, _, pld, _] = numbers(&row);
        let history = steps(q, sigma, count);
        let start = std::time::Instant::now();
        let got = epsilon("pld", &history, delta);
        eprintln!("{row:?}: {got} {:e} {:?}", got / pld - 1.0, start.elapsed());
        assert!(pld.is_nan() || (got / pld - 1.0).abs() <= 1e-3, "{row:?}: {got}");
        assert!(got <= epsilon("rdp", &history, delta), "{row:?}: {got}");
    }
}
