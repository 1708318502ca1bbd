//! The one record that an attacker does not have, from a convex model and all the others (Balle et
//! al. 2022, "Reconstructing Training Data with Informed Adversaries", section 4).
//!
//! Softmax regression with an L2 penalty is trained to its optimum, where the gradients of all records
//! and of the penalty sum to zero. What the known records leave is therefore minus the gradient of the
//! missing one, `(p - e_y) x^T` for the weights and `p - e_y` for the bias: a division gives the record,
//! and the only negative entry its label. No search, and exact as far as the optimum is reached.

use crate::data::Dataset;
use crate::grad::grad;
use crate::lbfgs::{Lbfgs, Minimum};
use crate::loss::cross_entropy;
use crate::place::Placement;
use crate::{DType, Device, Error, ErrorKind, Result, Tensor, bail};

/// Softmax regression `z = x W^T + b` at the optimum of the mean loss plus
/// `penalty / 2 (|W|^2 + |b|^2)`, in f64.
#[derive(Debug, Clone)]
pub struct Convex {
    /// `[classes, D]`.
    weight: Tensor,
    /// `[classes]`.
    bias: Tensor,
    penalty: f64,
    /// Euclidean norm of the gradient that training left.
    pub gradient_norm: f64,
}

/// A record with its label.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Values `[D]`.
    pub x: Vec<f64>,
    /// Class.
    pub label: i64,
}

/// Gradient norm that training aims at: the error of a reconstruction is about the number of records
/// times as large.
const OPTIMUM: f64 = 1e-13;
const STEPS: usize = 5000;

impl Convex {
    /// Trains on `data` to the optimum.
    ///
    /// # Errors
    /// `penalty` is not positive (there is no optimum without it where classes can be separated), the
    /// data are empty, or the device does not compute in f64.
    pub fn train(device: &Device, data: &Dataset, penalty: f64) -> Result<Self> {
        if !(penalty > 0.0 && penalty.is_finite()) {
            bail!(Config, "database: penalty = {penalty} must be positive, say 0.01");
        }
        let (x, y) = flat(device, data, &(0..data.len()).collect::<Vec<_>>())?;
        let zeros = |shape: &[usize]| Tensor::zeros(device, DType::F64, shape);
        let start = vec![zeros(&[data.classes, x.dim(1)]), zeros(&[data.classes])];
        let objective = &mut |at: &[Tensor]| {
            let at: Vec<Tensor> = at.iter().map(Tensor::tracked).collect();
            let loss = cross_entropy(&logits(&x, &at[0], &at[1]), &y).mean_all();
            let size = at[0].square().sum_all() + at[1].square().sum_all();
            let value = loss + size * (0.5 * penalty);
            Ok((value.item()?, grad(&value, &[&at[0], &at[1]])?))
        };
        let search = Lbfgs { steps: STEPS, memory: 50, tolerance: OPTIMUM };
        let Minimum { x: found, gradient_norm, .. } = search.minimise(start, objective)?;
        let mut found = found.into_iter();
        let (Some(weight), Some(bias)) = (found.next(), found.next()) else {
            return Err(Error::new(ErrorKind::Usage, "database: training lost a parameter"));
        };
        Ok(Convex { weight, bias, penalty, gradient_norm })
    }

    /// Logits of a data set's records by the model, `[N, classes]`.
    ///
    /// # Errors
    /// The records have another width, or the device failed.
    pub fn logits(&self, data: &Dataset) -> Result<Tensor> {
        let rows: Vec<usize> = (0..data.len()).collect();
        let (x, _) = flat(self.weight.device(), data, &rows)?;
        Ok(logits(&x, &self.weight, &self.bias).check()?.clone())
    }

    /// The sum of the gradients of all records of `data`, `[classes, D]` and `[classes]`: computed once,
    /// any one record can be left out of it.
    ///
    /// # Errors
    /// As [`Convex::logits`].
    pub fn gradient_sum(&self, data: &Dataset, rows: &[usize]) -> Result<[Vec<f64>; 2]> {
        let (x, y) = flat(self.weight.device(), data, rows)?;
        let (w, b) = (self.weight.tracked(), self.bias.tracked());
        let g = grad(&cross_entropy(&logits(&x, &w, &b), &y).sum_all(), &[&w, &b])?;
        Ok([g[0].to_f64_vec()?, g[1].to_f64_vec()?])
    }

    /// The record that is missing from `known` (`rows` of it), which with it made `rows.len() + 1`
    /// training records. It sees the model and the known records, no more.
    ///
    /// # Errors
    /// The model is so sure of the missing record that its gradient is lost in rounding, or the device
    /// failed.
    pub fn missing(&self, known: &Dataset, rows: &[usize]) -> Result<Record> {
        self.solve(&self.gradient_sum(known, rows)?, rows.len() + 1)
    }

    /// As [`Convex::missing`], from the sum of the known records' gradients.
    ///
    /// # Errors
    /// As [`Convex::missing`].
    pub fn solve(&self, [w, b]: &[Vec<f64>; 2], records: usize) -> Result<Record> {
        let pull = records as f64 * self.penalty;
        let rest = |sum: &[f64], at: Vec<f64>| -> Vec<f64> {
            sum.iter().zip(at).map(|(g, at)| -g - pull * at).collect()
        };
        let dw = rest(w, self.weight.to_f64_vec()?);
        let db = rest(b, self.bias.to_f64_vec()?);
        let total: f64 = db.iter().map(|g| g * g).sum();
        let lost = self.gradient_norm * records as f64;
        if total.sqrt() <= 10.0 * lost {
            bail!(
                Numeric,
                "database: the missing record's gradient, {:.1e}, is lost in what training left, \
                 {lost:.1e}; raise the penalty",
                total.sqrt()
            );
        }
        let mut x = vec![0.0; dw.len() / db.len()];
        let width = x.len();
        for (row, g) in dw.chunks(width).zip(&db) {
            x.iter_mut().zip(row).for_each(|(x, w)| *x += g * w / total);
        }
        let label = (0..db.len()).min_by(|&a, &b| db[a].total_cmp(&db[b])).unwrap_or(0) as i64;
        Ok(Record { x, label })
    }
}

fn logits(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    x.linear(weight, bias, false)
}

/// Records as rows `[N, D]` in f64, with their labels.
fn flat(device: &Device, data: &Dataset, rows: &[usize]) -> Result<(Tensor, Tensor)> {
    if rows.is_empty() {
        bail!(Data, "database: there are no records; supply some");
    }
    let place = Placement { dtype: DType::F64, ..Placement::new(device) };
    let (x, y) = place.tensors(data, rows)?;
    let width = data.shape.iter().product();
    Ok((x.reshape(&[rows.len(), width]), y))
}
