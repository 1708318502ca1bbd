//! The data set built into the library, so that a first run needs no network and no files.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::{Dataset, numbered};
use crate::{Error, ErrorKind, Result};

/// 64 pixels and the label a line.
static DIGITS: &[u8] = include_bytes!("../../data/digits.csv.gz");

const SAMPLES: usize = 1797;
const PIXELS: usize = 64;
/// A pixel counts the dark cells of a block of 4 x 4.
const LEVELS: f32 = 16.0;

/// Handwritten digits, 1,797 images `[1, 8, 8]` in `[0, 1]`, ten classes: the test set of the UCI
/// Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998).
///
/// # Errors
/// The library was built from a damaged copy of the file.
pub fn digits() -> Result<Dataset> {
    let mut text = Vec::with_capacity(1 << 19);
    GzDecoder::new(DIGITS).read_to_end(&mut text).map_err(|e| damaged(&e.to_string()))?;
    let mut features = Vec::with_capacity(SAMPLES * PIXELS);
    let mut labels = Vec::with_capacity(SAMPLES);
    for line in text.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        let fields = line.split(|&b| b == b',').map(number);
        for (i, value) in fields.enumerate() {
            let value = value.ok_or_else(|| damaged("a field is no number"))?;
            if i < PIXELS {
                features.push(f32::from(value) / LEVELS);
            } else {
                labels.push(i64::from(value));
            }
        }
    }
    if labels.len() != SAMPLES {
        return Err(damaged("samples are missing"));
    }
    Dataset {
        name: "UCI digits".into(),
        source: "UCI Machine Learning Repository, Optical Recognition of Handwritten Digits, \
                 E. Alpaydin and C. Kaynak, 1998, DOI 10.24432/C50P49"
            .into(),
        licence: "CC BY 4.0".into(),
        features,
        shape: vec![1, 8, 8],
        labels,
        classes: 10,
        class_names: numbered(10),
        bounds: (0.0, 1.0),
    }
    .checked()
}

/// A number of one or two digits; a general parser would take longer than the decompression.
fn number(field: &[u8]) -> Option<u8> {
    let digit = |b: &u8| b.is_ascii_digit().then(|| b - b'0');
    match field.strip_suffix(b"\r").unwrap_or(field) {
        [a] => digit(a),
        [a, b] => Some(digit(a)? * 10 + digit(b)?),
        _ => None,
    }
}

fn damaged(why: &str) -> Error {
    Error::new(
        ErrorKind::Data,
        format!(
            "the digits built into this program are damaged ({why}); build it again from a clean copy"
        ),
    )
}
