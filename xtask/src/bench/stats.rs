//! Median and spread of a handful of times, and how a time is written.
//!
//! Quartiles rather than a standard deviation: rounds that another program disturbed are a few slow
//! ones, which the middle half does not see.

/// The middle of some times, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub(super) median: f64,
    /// First quartile.
    pub(super) low: f64,
    /// Third quartile.
    pub(super) high: f64,
}

impl Summary {
    /// Of at least one time; nothing of none.
    pub(super) fn of(seconds: &[f64]) -> Option<Self> {
        let mut sorted = seconds.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Summary {
            median: quantile(&sorted, 0.5)?,
            low: quantile(&sorted, 0.25)?,
            high: quantile(&sorted, 0.75)?,
        })
    }

    /// Half the distance of the quartiles, as a share of the median.
    pub(super) fn spread(&self) -> f64 {
        if self.median > 0.0 { (self.high - self.low) / 2.0 / self.median } else { 0.0 }
    }
}

/// The value at share `q` of the way through, between its two neighbours in proportion.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let at = q * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

/// A duration with three digits: `1.23 ms`.
pub(super) fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 0.9995e-6 => (s * 1e9, "ns"),
        s if s < 0.9995e-3 => (s * 1e6, "µs"),
        s if s < 0.9995 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// A positive number with three digits.
pub(super) fn digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_quartiles() {
        let odd = Summary::of(&[5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!(odd, Summary { median: 3.0, low: 2.0, high: 4.0 });
        let even = Summary::of(&[4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!(even, Summary { median: 2.5, low: 1.75, high: 3.25 });
        let one = Summary::of(&[2.0]).unwrap();
        assert_eq!((one, one.spread()), (Summary { median: 2.0, low: 2.0, high: 2.0 }, 0.0));
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn one_disturbed_round_moves_neither_median_nor_spread() {
        let quiet = Summary::of(&[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]).unwrap();
        let noisy = Summary::of(&[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 90.0]).unwrap();
        assert_eq!(quiet, noisy);
        assert!((quiet.spread() - 0.15 / 1.3).abs() < 1e-12);
    }

    #[test]
    fn times_have_three_digits() {
        let cases = [
            (0.0, "0.00 ns"),
            (6.3e-7, "630 ns"),
            (9.996e-7, "1.00 µs"),
            (1.234e-3, "1.23 ms"),
            (0.05678, "56.8 ms"),
            (0.9996, "1.00 s"),
            (123.4, "123 s"),
        ];
        for (seconds, want) in cases {
            assert_eq!(time(seconds), want);
        }
    }
}
