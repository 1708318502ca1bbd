//! Bounds of one run and of Clopper and Pearson against golden vectors, whose README.md states the
//! tolerance.

use inocula_core::dp::audit::{Guesses, fdp, one_run};
use inocula_core::metrics::clopper_pearson_upper;
use inocula_tests::files;

const TOLERANCE: f64 = 1e-3;

/// The cells of a file below its header as numbers, an empty one as none; no rows, with a printed
/// reason, where the file is absent.
fn table(name: &str) -> Option<Vec<Vec<Option<f64>>>> {
    let folder = match files::oracles() {
        Ok(folder) => folder,
        Err(why) => {
            files::skip(&why).expect("the golden vectors are required");
            return None;
        }
    };
    let text = std::fs::read_to_string(folder.join(name)).expect("the folder has the file");
    let cell = |cell: &str| (!cell.is_empty()).then(|| cell.parse().expect("a number"));
    Some(text.lines().skip(1).map(|line| line.split(',').map(cell).collect()).collect())
}

#[test]
fn bounds_of_one_run_are_those_of_the_vectors() {
    let Some(rows) = table("one_run_audit.csv") else { return };
    assert_eq!(rows.len(), 12);
    let mut curves = 0;
    for row in rows {
        let [Some(m), Some(r), Some(v), Some(delta), Some(alpha), Some(want), curve] = row[..]
        else {
            panic!("{row:?}");
        };
        let guesses = Guesses { canaries: m as usize, guesses: r as usize, correct: v as usize };
        let got = one_run::epsilon_lower(&guesses, delta, alpha).unwrap();
        assert!((got - want).abs() <= TOLERANCE, "{row:?}: {got}");
        if let Some(want) = curve {
            let got = fdp::gaussian_epsilon_lower(&guesses, delta, alpha).unwrap();
            assert!((got - want).abs() <= TOLERANCE, "{row:?}: {got} by the curve");
            curves += 1;
        }
    }
    assert_eq!(curves, 8);
}

#[test]
fn upper_bounds_of_proportions_are_those_of_the_vectors() {
    let Some(rows) = table("clopper_pearson_upper.csv") else { return };
    assert_eq!(rows.len(), 4);
    for row in rows {
        let [Some(successes), Some(trials), Some(alpha), Some(want)] = row[..] else {
            panic!("{row:?}");
        };
        let got = clopper_pearson_upper(successes as u64, trials as u64, alpha).unwrap();
        assert!((got - want).abs() <= 1e-12, "{row:?}: {got}");
    }
}
