//! Pictures in a report: inputs, perturbations, reconstructions.
//!
//! Pixels are bytes, in JSON as base64: a list of numbers would put each pixel on a line of its own.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::base64;
use crate::{Result, bail};

/// Rows of pictures under common headings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PictureGrid {
    /// Headline.
    pub title: String,
    /// What is to be seen, in a sentence or two.
    pub caption: String,
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// The rows, each with a picture a column.
    pub rows: Vec<PictureRow>,
}

/// A row of a [`PictureGrid`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PictureRow {
    /// Heading of the row: the model, or the sample.
    pub label: String,
    /// The pictures, one a column; missing ones at the end leave their place empty.
    pub cells: Vec<Picture>,
}

/// Whether what a picture shows went well for the defender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing to judge: an input, a perturbation.
    #[default]
    Neutral,
    /// The model was right, or the secret was kept.
    Good,
    /// The model was fooled, or the secret came out.
    Bad,
}

/// A small greyscale or RGB picture with a line of text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// 1 for grey, 3 for red, green, blue.
    pub channels: usize,
    /// Bytes, row by row, the channels of a pixel together: `height * width * channels` of them.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub pixels: Vec<u8>,
    /// Text below: `predicted 3 (0.98)`.
    pub label: String,
    /// How the label is coloured.
    #[serde(default)]
    pub verdict: Verdict,
}

impl Picture {
    /// A picture of a sample `[C, H, W]` (`C` 1 or 3) whose values span `bounds`; values beyond are
    /// clipped and NaN is shown as the lower bound.
    ///
    /// # Errors
    /// The shape is not that of a picture, or does not fit the number of values.
    pub fn from_sample(
        values: &[f32],
        shape: &[usize],
        bounds: [f64; 2],
        label: impl Into<String>,
    ) -> Result<Self> {
        let &[channels @ (1 | 3), height, width] = shape else {
            bail!(
                Shape,
                "picture: shape {shape:?} is not [1 or 3, height, width]; select channels"
            );
        };
        if values.len() != channels * height * width {
            bail!(Shape, "picture: {} values for shape {shape:?}; pass one sample", values.len());
        }
        let (low, span) = (bounds[0], bounds[1] - bounds[0]);
        let byte = |v: f32| ((f64::from(v) - low) / span * 255.0).round() as u8;
        let plane = height * width;
        let pixels = (0..plane)
            .flat_map(|at| (0..channels).map(move |c| (c, at)))
            .map(|(c, at)| byte(values[c * plane + at]))
            .collect();
        Ok(Picture {
            width,
            height,
            channels,
            pixels,
            label: label.into(),
            verdict: Verdict::Neutral,
        })
    }

    /// A picture of a perturbation `[C, H, W]`: mid-grey is no change, `scale` and more is white,
    /// `-scale` and less is black.
    ///
    /// # Errors
    /// As [`Picture::from_sample`].
    pub fn from_change(
        change: &[f32],
        shape: &[usize],
        scale: f64,
        label: impl Into<String>,
    ) -> Result<Self> {
        Self::from_sample(change, shape, [-scale, scale], label)
    }

    /// The same picture with a verdict.
    #[must_use]
    pub fn judged(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }
}

fn to_base64<S: Serializer>(pixels: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&base64::encode(pixels))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    base64::decode(&text).ok_or_else(|| serde::de::Error::custom("pixels are not valid base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_interleaved_and_values_clipped() {
        // [3, 1, 2]: red 0 1, green 0.5 2, blue -1 NaN
        let values = [0.0, 1.0, 0.5, 2.0, -1.0, f32::NAN];
        let p = Picture::from_sample(&values, &[3, 1, 2], [0.0, 1.0], "x").unwrap();
        assert_eq!(p.pixels, [0, 128, 0, 255, 255, 0]);
        assert_eq!((p.width, p.height, p.channels), (2, 1, 3));
        let change = Picture::from_change(&[0.0, 0.1, -0.2], &[1, 1, 3], 0.1, "d").unwrap();
        assert_eq!(change.pixels, [128, 255, 0]);
        assert!(Picture::from_sample(&values, &[2, 1, 3], [0.0, 1.0], "x").is_err());
        assert!(Picture::from_sample(&values, &[1, 2, 2], [0.0, 1.0], "x").is_err());
    }
}
