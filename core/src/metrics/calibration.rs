//! Whether a classifier's confidence is the share of the time that it is right.
//!
//! The expected calibration error is that of Guo et al. 2017 ("On calibration of modern neural networks",
//! section 2, equation 3): predictions are put into bins of equal width by the probability of the predicted
//! class, and the gaps between confidence and accuracy are averaged by the number of predictions. It
//! depends on the bins, so the figure is stated with their number; the Brier score does not.

use super::confusion::ratio;
use super::robustness::same_length;
use crate::{Result, bail};

/// The bins of the paper's experiments.
pub const CALIBRATION_BINS: usize = 15;

/// Calibration of a set of predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Expected calibration error, in `[0, 1]`.
    pub error: f64,
    /// Brier score: the mean squared distance of the probabilities to the label as 0s and a 1, in `[0, 2]`
    /// (Brier 1950).
    pub brier: f64,
    /// Mean probability of the predicted class.
    pub confidence: f64,
    /// The bins, the lowest confidence first, empty ones included.
    pub bins: Vec<CalibrationBin>,
}

/// Predictions of similar confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBin {
    /// Predictions.
    pub samples: u64,
    /// Their mean confidence; 0 without predictions.
    pub confidence: f64,
    /// The share of them that is right; 0 without predictions.
    pub accuracy: f64,
}

/// Calibration of `logits`, `[N, classes]` row by row, whose softmax is the probability of each class, for
/// labels `[N]`, over `bins` bins: bin `m` of `M` holds confidences in `((m - 1) / M, m / M]`.
///
/// # Errors
/// There is no sample, no bin, a label that is no class, another number of logits, or a logit that is not
/// a number.
pub fn calibration(logits: &[f64], labels: &[i64], bins: usize) -> Result<Calibration> {
    if labels.is_empty() || bins == 0 || !logits.len().is_multiple_of(labels.len()) {
        bail!(
            Usage,
            "calibration: {} logits of {} samples in {bins} bins; pass a row of logits per sample",
            logits.len(),
            labels.len()
        );
    }
    let classes = logits.len() / labels.len();
    let mut brier = 0.0;
    let (mut confidence, mut right) = (Vec::new(), Vec::new());
    for (row, &label) in logits.chunks(classes.max(1)).zip(labels) {
        let Some(own) = usize::try_from(label).ok().filter(|&own| own < classes) else {
            bail!(Data, "calibration: class {label} is outside 0..{classes}; check the labels");
        };
        let p = softmax(row);
        if p.iter().any(|p| p.is_nan()) {
            bail!(Numeric, "calibration: a logit is not a number; check the model for overflow");
        }
        let squares =
            p.iter().enumerate().map(|(c, p)| (p - f64::from(u8::from(c == own))).powi(2));
        brier += squares.sum::<f64>();
        // The first of the largest, as predictions are taken everywhere.
        let top = (1..classes).fold(0, |best, c| if row[c] > row[best] { c } else { best });
        confidence.push(p[top]);
        right.push(top == own);
    }
    let bins = binned(&confidence, &right, bins)?;
    let n = labels.len() as f64;
    let gap = |bin: &CalibrationBin| bin.samples as f64 * (bin.accuracy - bin.confidence).abs();
    Ok(Calibration {
        error: bins.iter().map(gap).sum::<f64>() / n,
        brier: brier / n,
        confidence: confidence.iter().sum::<f64>() / n,
        bins,
    })
}

/// Predictions by their confidence.
fn binned(confidence: &[f64], right: &[bool], bins: usize) -> Result<Vec<CalibrationBin>> {
    same_length("calibration", confidence.len(), right.len())?;
    let mut sums = vec![(0u64, 0.0, 0u64); bins];
    for (&p, &right) in confidence.iter().zip(right) {
        // 0, which no softmax gives, belongs to the first.
        let at = ((p * bins as f64).ceil() as usize).clamp(1, bins) - 1;
        sums[at].0 += 1;
        sums[at].1 += p;
        sums[at].2 += u64::from(right);
    }
    let bin = |(samples, sum, right): (u64, f64, u64)| CalibrationBin {
        samples,
        confidence: if samples == 0 { 0.0 } else { sum / samples as f64 },
        accuracy: ratio(right, samples),
    };
    Ok(sums.into_iter().map(bin).collect())
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let each: Vec<f64> = row.iter().map(|z| (z - top).exp()).collect();
    let sum: f64 = each.iter().sum();
    each.into_iter().map(|e| e / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits whose softmax over two classes is `p` and `1 - p`.
    fn sure(p: f64) -> [f64; 2] {
        [(p / (1.0 - p)).ln(), 0.0]
    }

    /// Four predictions of class 0: at 0.7 right and wrong (bin 11 of 15 holds 0.667 to 0.733), at 0.9
    /// twice right (bin 14 holds 0.867 to 0.933). Error: (2 * |0.5 - 0.7| + 2 * |1 - 0.9|) / 4 = 0.15;
    /// Brier: 2 * (0.09 + 0.49 + 0.01 + 0.01) / 4 = 0.3.
    #[test]
    fn a_table_made_by_hand() {
        let logits: Vec<f64> = [0.7, 0.7, 0.9, 0.9].into_iter().flat_map(sure).collect();
        let found = calibration(&logits, &[0, 1, 0, 0], CALIBRATION_BINS).unwrap();
        assert!((found.error - 0.15).abs() < 1e-12, "{}", found.error);
        assert!((found.brier - 0.3).abs() < 1e-12, "{}", found.brier);
        assert!((found.confidence - 0.8).abs() < 1e-12);
        let filled: Vec<usize> = (0..15).filter(|&b| found.bins[b].samples > 0).collect();
        assert_eq!(filled, [10, 13]);
        assert_eq!(found.bins[10].accuracy, 0.5);
    }

    #[test]
    fn perfect_and_worst() {
        let found = calibration(&[40.0, 0.0, 0.0, 40.0], &[0, 1], 15).unwrap();
        assert!(found.error < 1e-15 && found.brier < 1e-15 && found.bins[14].samples == 2);
        let found = calibration(&[40.0, 0.0], &[1], 15).unwrap();
        assert!((found.error - 1.0).abs() < 1e-15 && (found.brier - 2.0).abs() < 1e-15);
        // Guessing among equals is right as often as it says.
        let found = calibration(&[0.0; 8], &[0, 1, 0, 1], 15).unwrap();
        assert!(found.error < 1e-15 && (found.brier - 0.5).abs() < 1e-15);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (logits, labels) in [
            (&[][..], &[][..]),
            (&[1.0, 2.0, 3.0], &[0, 1]),
            (&[1.0, 2.0], &[2]),
            (&[1.0, 2.0], &[-1]),
        ] {
            assert!(calibration(logits, labels, 15).is_err(), "{logits:?} {labels:?}");
        }
        assert!(calibration(&[f64::NAN, 1.0], &[0], 15).is_err());
        assert!(calibration(&[1.0, 0.0], &[0], 0).is_err());
    }
}
