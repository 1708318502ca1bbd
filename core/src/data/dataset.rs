//! What a data set is, and what must hold of it.

use crate::{Result, bail};

/// A labelled data set on the host.
///
/// Fill the fields and call [`Dataset::checked`]; the loaders of this module have done so.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Name for people: `MNIST`.
    pub name: String,
    /// Where it comes from: a citation, an address or a file.
    pub source: String,
    /// Licence of the data, `not stated` where the files do not say.
    pub licence: String,
    /// Features, row-major `[N, shape...]`.
    pub features: Vec<f32>,
    /// Extents of one sample: `[1, 28, 28]` for images as `[C, H, W]`, `[D]` for tables.
    pub shape: Vec<usize>,
    /// Class of each sample, in `0..classes`.
    pub labels: Vec<i64>,
    /// Number of classes.
    pub classes: usize,
    /// Names of the classes in the order of their numbers.
    pub class_names: Vec<String>,
    /// Smallest and largest value that a feature may take. Attacks stay within it.
    pub bounds: (f32, f32),
}

impl Dataset {
    /// The data set itself if it is consistent.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) if the lengths disagree, a value is not finite or out of
    /// bounds, a label is not one of the classes, or the classes and their names differ in number.
    pub fn checked(self) -> Result<Self> {
        let each = self.check_lengths()?;
        self.check_classes()?;
        self.check_values(each)?;
        Ok(self)
    }

    /// Values of one sample.
    fn check_lengths(&self) -> Result<usize> {
        let Dataset { name, shape, labels, features, .. } = self;
        let each = shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent));
        let Some(each) = each.filter(|&each| each > 0) else {
            bail!(
                Data,
                "{name}: a sample of shape {shape:?} has no values or too many; mend the shape"
            );
        };
        if each.checked_mul(labels.len()) != Some(features.len()) {
            bail!(
                Data,
                "{name}: {} values do not make {} samples of shape {shape:?}; supply {each} values \
                 for each label",
                features.len(),
                labels.len()
            );
        }
        Ok(each)
    }

    fn check_classes(&self) -> Result<()> {
        let Dataset { name, classes, class_names, labels, .. } = self;
        if class_names.len() != *classes {
            bail!(
                Data,
                "{name}: {} names for {classes} classes; supply one name for each class",
                class_names.len()
            );
        }
        let known = |label: i64| usize::try_from(label).is_ok_and(|label| label < *classes);
        match labels.iter().position(|&label| !known(label)) {
            None => Ok(()),
            Some(sample) => bail!(
                Data,
                "{name}: sample {sample} has the label {}, which is not in 0..{classes}; mend the \
                 label or the number of classes",
                labels[sample]
            ),
        }
    }

    fn check_values(&self, each: usize) -> Result<()> {
        let Dataset { name, features, shape, bounds: (lo, hi), .. } = self;
        if !(lo.is_finite() && hi.is_finite() && lo <= hi) {
            bail!(
                Data,
                "{name}: bounds [{lo}, {hi}] are no range; set two finite ascending numbers"
            );
        }
        // NaN is within no range, so one comparison serves both checks.
        let Some(at) = features.iter().position(|v| !(lo..=hi).contains(&v)) else {
            return Ok(());
        };
        let (sample, value) = (at / each, features[at]);
        let position = unravel(at % each, shape);
        if value.is_finite() {
            bail!(
                Data,
                "{name}: sample {sample} has {value} at {position:?}, outside [{lo}, {hi}]; scale \
                 the values or widen the bounds"
            );
        }
        bail!(
            Data,
            "{name}: sample {sample} has {value} at {position:?}; remove or mend that sample"
        );
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// The index along each axis of element `flat` of a row-major array.
fn unravel(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut position: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&extent| {
            let along = flat % extent;
            flat /= extent;
            along
        })
        .collect();
    position.reverse();
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unravel_inverts_the_row_major_order() {
        let positions: Vec<_> = (0..12).map(|flat| unravel(flat, &[2, 2, 3])).collect();
        assert_eq!(positions[0], [0, 0, 0]);
        assert_eq!(positions[5], [0, 1, 2]);
        assert_eq!(positions[11], [1, 1, 2]);
    }
}
