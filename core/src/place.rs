//! How host data gets onto a device: which device, which dtype, how many samples at a time.

use crate::data::Dataset;
use crate::{DType, Device, Result, Tensor};

/// Where and in which portions a data set is processed.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The device.
    pub device: Device,
    /// Dtype of the inputs.
    pub dtype: DType,
    /// Samples per batch. Results depend on it by rounding only, time and memory do in full.
    pub batch: usize,
}

impl Placement {
    /// Batches of 256 samples in f32.
    pub fn new(device: &Device) -> Self {
        Placement { device: device.clone(), dtype: DType::F32, batch: 256 }
    }

    /// Inputs `[N, ...]` and labels `[N]` of the samples `rows`.
    ///
    /// # Errors
    /// The device failed.
    pub fn tensors(&self, data: &Dataset, rows: &[usize]) -> Result<(Tensor, Tensor)> {
        let each: usize = data.shape.iter().product();
        let mut features = Vec::with_capacity(rows.len() * each);
        for &row in rows {
            features.extend_from_slice(&data.features[row * each..(row + 1) * each]);
        }
        let labels: Vec<i64> = rows.iter().map(|&row| data.labels[row]).collect();
        let shape: Vec<usize> = [rows.len()].iter().chain(&data.shape).copied().collect();
        let x = Tensor::from_slice(&self.device, &features, &shape)?.cast(self.dtype);
        Ok((x, Tensor::from_slice(&self.device, &labels, &[rows.len()])?))
    }

    /// The samples `rows` in portions of the batch size.
    pub fn portions<'a>(&self, rows: &'a [usize]) -> impl Iterator<Item = &'a [usize]> {
        rows.chunks(self.batch.max(1))
    }
}
