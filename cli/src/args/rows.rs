//! `--rows FIRST..END`: a part of the test samples by their places, so that a long run can be done in
//! pieces, one after the other or on several machines. A sample's random numbers hang on its place, so the
//! pieces find what one run over all would, up to rounding by the size of batches.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use inocula_core::{Error, Result, bail};

/// Places of test samples: the first, and the one after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rows {
    first: usize,
    end: usize,
}

impl Rows {
    /// The places, of a data set with `n` samples.
    ///
    /// # Errors
    /// There are fewer samples.
    pub(crate) fn of(self, n: usize) -> Result<Range<usize>> {
        if self.end > n {
            bail!(Config, "--rows {self}: there are {n} test samples, so the end is {n} at most");
        }
        Ok(self.first..self.end)
    }
}

impl FromStr for Rows {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let ends =
            text.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        match ends {
            Some((first, end)) if first < end => Ok(Rows { first, end }),
            _ => bail!(Config, "give the first place and the one after the last, as in 0..1000"),
        }
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_a_first_and_an_end() {
        let rows: Rows = "20..30".parse().unwrap();
        assert_eq!((rows.of(30).unwrap(), rows.to_string()), (20..30, "20..30".into()));
        assert!(rows.of(29).unwrap_err().to_string().contains("there are 29 test samples"));
        for text in ["", "20", "..", "20..", "30..30", "30..20", "-1..2", "1..2..3", "0..=3"] {
            assert!(text.parse::<Rows>().is_err(), "{text}");
        }
    }
}
