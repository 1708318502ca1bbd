//! What an attack sees of a model: logits, bounds, number of classes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::data::Dataset;
use crate::metrics::Confusion;
use crate::nn::{self, Mode, ModelSpec, Params};
use crate::place::Placement;
use crate::{DType, Device, Result, Tensor, bail};

/// A classifier of batches of samples, in evaluation mode.
pub trait Classifier: Send + Sync {
    /// Logits `[N, classes]` of `x` (`[N, ...]`, values within [`Classifier::bounds`]).
    ///
    /// # Errors
    /// The shape does not fit the model, or the device failed.
    fn logits(&self, x: &Tensor) -> Result<Tensor>;

    /// Smallest and largest value of an input.
    fn bounds(&self) -> [f64; 2];

    /// Number of classes.
    fn classes(&self) -> usize;

    /// Hears that the next evaluation asks `count` rows for sample `row` of the batch under attack. An
    /// attack that asks a different number for each sample says so, for counting them one by one.
    fn attribute(&self, _row: usize, _count: usize) {}
}

impl<M: Classifier + ?Sized> Classifier for &M {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        (**self).logits(x)
    }

    fn bounds(&self) -> [f64; 2] {
        (**self).bounds()
    }

    fn classes(&self) -> usize {
        (**self).classes()
    }

    fn attribute(&self, row: usize, count: usize) {
        (**self).attribute(row, count);
    }
}

/// A network with its weights.
#[derive(Clone, Debug)]
pub struct Network {
    spec: ModelSpec,
    /// Of the layers: making them costs a small network more than a layer.
    names: Vec<String>,
    params: Params,
    device: Device,
    dtype: DType,
}

impl Network {
    /// A network from a description and weights that fit it.
    ///
    /// # Errors
    /// The layers do not fit together, or a parameter is missing or of another shape.
    pub fn new(spec: ModelSpec, params: Params, device: &Device) -> Result<Self> {
        let wanted = spec.params()?;
        for want in &wanted {
            let got = params.get(&want.name)?.shape();
            if *got != *want.shape {
                bail!(Shape, "model: {} is {got} where {:?} is needed", want.name, want.shape);
            }
        }
        let dtype = params.iter().next().map_or(DType::F32, |(_, p)| p.dtype());
        Ok(Network { names: spec.names(), spec, params, device: device.clone(), dtype })
    }

    /// The description.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The weights.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Replaces the weights.
    pub fn set_params(&mut self, params: Params) {
        self.params = params;
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Dtype of the weights, and of the inputs the network takes.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Logits of `x` computed with other weights, for differentiation with respect to them.
    ///
    /// # Errors
    /// The shape of `x` or of the weights does not fit.
    pub fn forward(&self, params: &Params, x: &Tensor, mode: &mut Mode<'_>) -> Result<Tensor> {
        if x.shape().get(1..) != Some(&self.spec.input[..]) {
            let (got, want) = (x.shape(), &self.spec.input);
            bail!(Shape, "model: a batch of shape {got} where samples are {want:?}");
        }
        nn::forward_named(&self.spec.layers, &self.names, params, x, mode)
    }
}

impl Classifier for Network {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(&self.params, x, &mut Mode::Eval)
    }

    fn bounds(&self) -> [f64; 2] {
        self.spec.bounds
    }

    fn classes(&self) -> usize {
        self.spec.classes
    }
}

/// A model that can be queried but not differentiated: what a remote service is to an attacker.
///
/// Its logits have no history, so a gradient attack on it fails with an error instead of quietly
/// using what it should not have.
pub struct BlackBox<M>(pub M);

impl<M: Classifier> Classifier for BlackBox<M> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.0.logits(&x.detach())?.detach())
    }

    fn bounds(&self) -> [f64; 2] {
        self.0.bounds()
    }

    fn classes(&self) -> usize {
        self.0.classes()
    }
}

/// Counts, per batch row, how often a model is evaluated and how often for a gradient.
pub(crate) struct Metered<'a> {
    model: &'a dyn Classifier,
    queries: AtomicU64,
    gradients: AtomicU64,
    /// What was attributed to each sample of the batch under attack.
    each: Mutex<Vec<u64>>,
}

impl<'a> Metered<'a> {
    pub(crate) fn new(model: &'a dyn Classifier) -> Self {
        let (queries, gradients) = (AtomicU64::new(0), AtomicU64::new(0));
        Metered { model, queries, gradients, each: Mutex::default() }
    }

    /// Rows evaluated.
    pub(crate) fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    /// Rows evaluated with a tracked input, which is how gradients are asked for.
    pub(crate) fn gradients(&self) -> u64 {
        self.gradients.load(Ordering::Relaxed)
    }

    /// Rows evaluated for each of `samples`, if every one of them was attributed.
    pub(crate) fn each(&self, samples: usize) -> Option<Vec<u64>> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = each.len() <= samples && each.iter().sum::<u64>() == self.queries();
        each.resize(samples, 0);
        known.then_some(each)
    }
}

impl Classifier for Metered<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let rows = x.dim(0) as u64;
        self.queries.fetch_add(rows, Ordering::Relaxed);
        if x.is_tracked() {
            self.gradients.fetch_add(rows, Ordering::Relaxed);
        }
        self.model.logits(x)
    }

    fn bounds(&self) -> [f64; 2] {
        self.model.bounds()
    }

    fn classes(&self) -> usize {
        self.model.classes()
    }

    fn attribute(&self, row: usize, count: usize) {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if each.len() <= row {
            each.resize(row + 1, 0);
        }
        each[row] += count as u64;
    }
}

/// Predicted classes of `x`: the first of the largest logits.
///
/// # Errors
/// As [`Classifier::logits`].
pub fn predict(model: &dyn Classifier, x: &Tensor) -> Result<Vec<i64>> {
    model.logits(x)?.argmax(1).to_vec()
}

/// Predicted classes of the samples `rows` of a data set, in batches.
///
/// # Errors
/// A sample does not fit the model, or the device failed.
pub fn predict_rows(
    model: &dyn Classifier,
    data: &Dataset,
    rows: &[usize],
    place: &Placement,
) -> Result<Vec<i64>> {
    let mut all = Vec::with_capacity(rows.len());
    for rows in place.portions(rows) {
        all.extend(predict(model, &place.tensors(data, rows)?.0)?);
    }
    Ok(all)
}

/// The confusion matrix of a model on a data set.
///
/// # Errors
/// As [`predict_rows`].
pub fn confusion(model: &dyn Classifier, data: &Dataset, place: &Placement) -> Result<Confusion> {
    let rows: Vec<usize> = (0..data.len()).collect();
    let predictions = predict_rows(model, data, &rows, place)?;
    Confusion::from_labels(&data.labels, &predictions, data.classes)
}
