//! The one record that an attacker does not have, from a convex model and all the others (Balle et
//! al. 2022, "Reconstructing Training Data with Informed Adversaries", section 4).
//!
//! Softmax regression with an L2 penalty is trained to its optimum, where the gradients of all records
//! and of the penalty sum to zero. What the known records leave is therefore minus the gradient of the
//! missing one, `(p - e_y) x^T` for the weights and `p - e_y` for the bias: a division gives the record,
//! and the only negative entry its label. No search, and exact as far as the optimum is reached.

use super::experiment::{Outcome, judge};
use crate::data::Dataset;
use crate::grad::grad;
use crate::lbfgs::{Lbfgs, Minimum};
use crate::loss::cross_entropy;
use crate::place::Placement;
use crate::privacy::descend::Progress;
use crate::report::Rate;
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
        let all: Vec<usize> = (0..data.len()).collect();
        Self::train_on(device, (data, &all), penalty)
    }

    /// Trains on the records `rows` of `data` to the optimum.
    ///
    /// # Errors
    /// As [`Convex::train`].
    pub fn train_on(
        device: &Device,
        (data, rows): (&Dataset, &[usize]),
        penalty: f64,
    ) -> Result<Self> {
        if !(penalty > 0.0 && penalty.is_finite()) {
            bail!(Config, "database: penalty = {penalty} must be positive, say 0.01");
        }
        let (x, y) = flat(device, data, rows)?;
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

    /// The sum of the gradients of records, `[classes, D]` and `[classes]`.
    ///
    /// # Errors
    /// There is no record, or the device failed.
    fn gradient_sum(&self, data: &Dataset, rows: &[usize]) -> Result<[Vec<f64>; 2]> {
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
    fn solve(&self, [w, b]: &[Vec<f64>; 2], records: usize) -> Result<Record> {
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

/// Trains on the records `all` of `data` and reconstructs each of `rows`, which are among them, from
/// the others. `strangers` are records that were not trained on: their mean is the guess of an attacker
/// who has marginals only.
///
/// # Errors
/// As [`Convex::train`] and [`Convex::missing`], or a row is not among `all`.
pub fn attack(
    device: &Device,
    (data, all): (&Dataset, &[usize]),
    rows: &[usize],
    penalty: f64,
    strangers: &Dataset,
    recovered_from: f64,
    progress: Progress<'_>,
) -> Result<Outcome> {
    if let Some(row) = rows.iter().find(|r| !all.contains(r)) {
        bail!(Usage, "database: record {row} is not among those trained on; pass one that is");
    }
    let model = Convex::train_on(device, (data, all), penalty)?;
    let (mut guesses, mut right) = (Vec::new(), 0);
    for (i, &row) in rows.iter().enumerate() {
        progress(i, rows.len())?;
        let known: Vec<usize> = all.iter().copied().filter(|&r| r != row).collect();
        let found = model.missing(data, &known)?;
        right += usize::from(found.label == data.labels[row]);
        guesses.push((row, found.x.into_iter().map(|v| v as f32).collect()));
    }
    let leak = format!("softmax regression on {} records and all but one of them", all.len());
    let mut outcome = judge("database", &leak, data, guesses, strangers, recovered_from)?;
    outcome.report.labels = Some(Rate::new(right, rows.len())?);
    Ok(outcome)
}
