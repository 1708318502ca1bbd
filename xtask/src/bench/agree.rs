//! Whether a side computed what the reference did.
//!
//! Differences are relative to the largest magnitude of the reference's array: an error of a sum is
//! of the size of its terms, not of what is left of them. A share of values may be further apart
//! where the row allows it, as for steps that follow a sign. NaN and infinity never agree.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An array as a side gave it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f64>,
}

/// How far results may be apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tolerance {
    /// Largest difference, relative to the largest magnitude of the reference's array.
    pub(super) relative: f64,
    /// Share of the values that may differ by more.
    pub(super) outliers: f64,
}

/// How far results are apart, where they agree.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Agreement {
    /// Largest relative difference, those that were allowed to be larger aside.
    pub(super) deviation: f64,
    /// Share of those in the array that has most of them.
    pub(super) outliers: f64,
}

/// The arrays of the reply to a request for a result: their shapes in the reply, their values one
/// after the other in `file`.
pub(super) fn read(reply: &Value, file: &Path) -> Result<Vec<Array>, String> {
    let failed = |what: &str| format!("result: {what}");
    let bytes = std::fs::read(file).map_err(|e| failed(&format!("{}: {e}", file.display())))?;
    let mut words = bytes.chunks_exact(8).map(|word| word.iter().rev());
    let mut arrays = Vec::new();
    for about in reply["outputs"].as_array().ok_or_else(|| failed("no list of outputs"))? {
        let shape: Option<Vec<usize>> =
            about["shape"].as_array().and_then(|dims| dims.iter().map(extent).collect());
        let (Some(name), Some(shape)) = (about["name"].as_str(), shape) else {
            return Err(failed(&format!("{about} has no name or no shape")));
        };
        let count = shape.iter().product();
        let values: Vec<f64> = words
            .by_ref()
            .take(count)
            .map(|word| f64::from_bits(word.fold(0, |bits, &byte| bits << 8 | u64::from(byte))))
            .collect();
        if values.len() != count {
            return Err(failed(&format!("{name} of shape {shape:?} has {} values", values.len())));
        }
        arrays.push(Array { name: name.into(), shape, values });
    }
    if words.next().is_some() {
        return Err(failed("there are more values than the shapes say"));
    }
    Ok(arrays)
}

fn extent(dim: &Value) -> Option<usize> {
    dim.as_u64()?.try_into().ok()
}

/// Compares what a side gave with the reference. A side that is not `complete` may leave outputs
/// out, as tools do that give no gradient, but not all of them.
///
/// # Errors
/// In one line, where and how they disagree.
pub(super) fn agree(
    got: &[Array],
    want: &[Array],
    complete: bool,
    tolerance: Tolerance,
) -> Result<Agreement, String> {
    if let Some(extra) = got.iter().find(|g| !want.iter().any(|w| w.name == g.name)) {
        return Err(format!("{} is not in the reference", extra.name));
    }
    let mut worst = Agreement::default();
    let mut compared = 0;
    for want in want {
        match got.iter().find(|g| g.name == want.name) {
            Some(got) => {
                let one = same(got, want, tolerance).map_err(|e| format!("{}: {e}", want.name))?;
                worst.deviation = worst.deviation.max(one.deviation);
                worst.outliers = worst.outliers.max(one.outliers);
                compared += 1;
            }
            None if complete => return Err(format!("{} is missing", want.name)),
            None => {}
        }
    }
    if compared == 0 {
        return Err("there is nothing to compare".into());
    }
    Ok(worst)
}

fn same(got: &Array, want: &Array, tolerance: Tolerance) -> Result<Agreement, String> {
    if got.shape != want.shape {
        return Err(format!("shape {:?} instead of {:?}", got.shape, want.shape));
    }
    if let Some(i) = got.values.iter().position(|v| !v.is_finite()) {
        return Err(format!("{} at position {i}", got.values[i]));
    }
    if let Some(i) = want.values.iter().position(|v| !v.is_finite()) {
        return Err(format!("the reference has {} at position {i}", want.values[i]));
    }
    let scale = want.values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let (mut inside, mut outside, mut count) = (0.0f64, 0.0f64, 0usize);
    for (g, w) in got.values.iter().zip(&want.values) {
        // Equal values are no deviation even where the reference is zero everywhere.
        let deviation = if g == w { 0.0 } else { (g - w).abs() / scale };
        if deviation <= tolerance.relative {
            inside = inside.max(deviation);
        } else {
            outside = outside.max(deviation);
            count += 1;
        }
    }
    let outliers = count as f64 / want.values.len().max(1) as f64;
    if outliers > tolerance.outliers {
        let limit = tolerance.relative;
        let total = want.values.len();
        return Err(format!(
            "{count} of {total} values are off by more than {limit:.0e}, up to {outside:.1e}"
        ));
    }
    Ok(Agreement { deviation: inside, outliers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const EXACT: Tolerance = Tolerance { relative: 1e-3, outliers: 0.0 };

    fn array(name: &str, values: &[f64]) -> Array {
        Array { name: name.into(), shape: vec![values.len()], values: values.to_vec() }
    }

    fn check(got: &[f64], want: &[f64], tolerance: Tolerance) -> Result<Agreement, String> {
        agree(&[array("y", got)], &[array("y", want)], true, tolerance)
    }

    #[test]
    fn within_the_tolerance_of_the_largest_value() {
        let found = check(&[100.05, 0.05], &[100.0, 0.0], EXACT).unwrap();
        assert!((found.deviation - 5e-4).abs() < 1e-9, "{found:?}");
        assert_eq!(found.outliers, 0.0);
        assert_eq!(check(&[0.0], &[0.0], EXACT), Ok(Agreement::default()));
    }

    #[test]
    fn beyond_the_tolerance() {
        let why = check(&[100.2, 0.0], &[100.0, 0.0], EXACT).unwrap_err();
        assert_eq!(why, "y: 1 of 2 values are off by more than 1e-3, up to 2.0e-3");
        assert!(check(&[1e-30], &[0.0], EXACT).is_err(), "zero has no magnitude to be relative to");
    }

    #[test]
    fn a_share_of_values_may_be_apart_where_that_is_allowed() {
        let (mut got, want) = ([1.0; 100], [1.0; 100]);
        let lenient = Tolerance { relative: 1e-3, outliers: 0.01 };
        got[3] = 2.0;
        assert_eq!(check(&got, &want, lenient).unwrap().outliers, 0.01);
        got[4] = 2.0;
        assert!(check(&got, &want, lenient).is_err());
    }

    #[test]
    fn what_is_not_a_number_never_agrees() {
        let all = Tolerance { relative: f64::INFINITY, outliers: 1.0 };
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(check(&[1.0, bad], &[1.0, 1.0], all).unwrap_err().contains("at position 1"));
            assert!(check(&[1.0], &[bad], all).unwrap_err().contains("the reference has"));
            assert!(check(&[bad], &[bad], all).is_err());
        }
    }

    #[test]
    fn shapes_and_names_must_fit() {
        let want = [array("a", &[1.0, 2.0]), array("b", &[3.0])];
        let flat = Array { shape: vec![2, 1], ..array("a", &[1.0, 2.0]) };
        let why = agree(&[flat, want[1].clone()], &want, true, EXACT).unwrap_err();
        assert_eq!(why, "a: shape [2, 1] instead of [2]");
        assert_eq!(agree(&want[..1], &want, true, EXACT).unwrap_err(), "b is missing");
        assert!(agree(&want[..1], &want, false, EXACT).is_ok());
        assert!(agree(&[], &want, false, EXACT).is_err());
        let other = [array("c", &[1.0])];
        assert_eq!(agree(&other, &want, false, EXACT).unwrap_err(), "c is not in the reference");
    }

    #[test]
    fn values_are_read_in_the_order_of_the_reply() {
        let file = std::env::temp_dir().join(format!("xtask-agree-{}", std::process::id()));
        let bytes: Vec<u8> = [1.5f64, -2.0, 3.25].iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(&file, bytes).unwrap();
        let reply = |shape: &[usize]| json!({ "outputs": [{ "name": "a", "shape": [] }, { "name": "b", "shape": shape }] });
        let arrays = read(&reply(&[2, 1]), &file).unwrap();
        let short = read(&reply(&[1]), &file).unwrap_err();
        let long = read(&reply(&[3]), &file).unwrap_err();
        std::fs::remove_file(&file).unwrap();
        assert_eq!((&arrays[0].values[..], &arrays[1].values[..]), (&[1.5][..], &[-2.0, 3.25][..]));
        assert_eq!(arrays[1].shape, [2, 1]);
        assert!(short.contains("more values") && long.contains("has 2 values"), "{short}; {long}");
    }
}
