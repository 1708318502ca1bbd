//! Reals as integers of 32 bits, so that sums are exact and masks can hide them.
//!
//! A value of `-range..=range` becomes an integer of `-levels..=levels`, where `levels` is the most that
//! the sum of all clients has room for. It is rounded towards zero: the norm of a clipped update then does
//! not grow, and the noise that is accounted covers it.

use crate::{Result, bail};

/// The code of a round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixedPoint {
    range: f64,
    levels: f64,
}

impl FixedPoint {
    /// For sums over at most `clients` clients of values within `range`.
    ///
    /// # Errors
    /// There is no client, or there are so many that fewer than a thousand levels are left for each.
    pub fn new(range: f64, clients: usize) -> Result<Self> {
        let levels = i32::MAX as usize / clients.max(1);
        if clients == 0 || levels < 1000 || !(range > 0.0 && range.is_finite()) {
            bail!(
                Config,
                "secure: values within {range} of {clients} clients do not fit 32 bits; use fewer clients"
            );
        }
        Ok(FixedPoint { range, levels: levels as f64 })
    }

    /// The largest difference between a value within the range and its code.
    pub fn resolution(&self) -> f64 {
        self.range / self.levels
    }

    /// The code of a value, and whether it was cut off.
    pub fn encode(&self, value: f64) -> (u32, bool) {
        let scaled = value / self.range * self.levels;
        let level = scaled.clamp(-self.levels, self.levels).trunc();
        // Within an i32, by the choice of levels; what is no number counts as 0.
        let within = scaled.abs() <= self.levels;
        (level as i32 as u32, !within)
    }

    /// The value of a sum of codes.
    pub fn decode(&self, sum: u32) -> f64 {
        f64::from(sum as i32) / self.levels * self.range
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_as_many_as_were_told_of_do_not_overflow() {
        for clients in [1, 2, 3, 100, 1000] {
            let code = FixedPoint::new(2.0, clients).unwrap();
            for value in [2.0, -2.0] {
                let one = code.encode(value).0;
                let sum = (0..clients).fold(0_u32, |sum, _| sum.wrapping_add(one));
                let got = code.decode(sum);
                let slack = clients as f64 * code.resolution();
                assert!((got - value * clients as f64).abs() <= slack, "{clients}: {got}");
            }
        }
    }

    #[test]
    fn codes_are_within_the_resolution_and_no_larger() {
        let code = FixedPoint::new(1.0, 10).unwrap();
        for i in -1000..=1000 {
            let value = f64::from(i) / 1000.0 * 0.999_999_9;
            let (word, cut) = code.encode(value);
            let got = code.decode(word);
            assert!(!cut && (got - value).abs() <= code.resolution());
            assert!(got.abs() <= value.abs());
        }
        assert!(code.resolution() < 1e-8);
    }

    #[test]
    fn what_is_out_of_range_is_cut_off_and_told() {
        let code = FixedPoint::new(1.0, 4).unwrap();
        for (value, want) in [(1.5, 1.0), (-1e30, -1.0), (f64::INFINITY, 1.0)] {
            let (word, cut) = code.encode(value);
            assert!(cut);
            assert!((code.decode(word) - want).abs() < 1e-8, "{value}");
        }
        assert_eq!(code.encode(f64::NAN), (0, true));
        assert_eq!(code.encode(0.0), (0, false));
        assert!(FixedPoint::new(1.0, 0).is_err() && FixedPoint::new(1.0, 1 << 22).is_err());
        assert!(FixedPoint::new(f64::NAN, 1).is_err());
    }
}
