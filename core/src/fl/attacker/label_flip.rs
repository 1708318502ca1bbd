//! Label flipping: an attack by data alone, which whoever can write to a client's disk can mount.

use crate::data::Dataset;

/// Label `classes - 1 - y` for y.
pub(super) fn flipped(mut data: Dataset) -> Dataset {
    let last = data.classes as i64 - 1;
    data.labels.iter_mut().for_each(|label| *label = last - *label);
    data
}
