//! Named parameters, in the order of the layers.

use std::sync::Arc;

use crate::{Device, Result, Tensor, bail};

/// The weights of a model, or anything shaped like them: gradients, moments.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(Arc<str>, Tensor)>);

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter at the end.
    pub fn push(&mut self, name: impl AsRef<str>, value: Tensor) {
        self.0.push((name.as_ref().into(), value));
    }

    /// The parameter of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        match self.0.iter().find(|(n, _)| **n == *name) {
            Some((_, value)) => Ok(value),
            None => bail!(NotFound, "parameters: there is no {name:?}"),
        }
    }

    /// The parameter `part` of a layer: `conv1` and `weight` for `conv1.weight`.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn of(&self, layer: &str, part: &str) -> Result<&Tensor> {
        let named = |name: &str| {
            name.strip_prefix(layer).and_then(|rest| rest.strip_prefix('.')) == Some(part)
        };
        match self.0.iter().find(|(name, _)| named(name)) {
            Some((_, value)) => Ok(value),
            None => bail!(NotFound, "parameters: there is no \"{layer}.{part}\""),
        }
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// The values, in order.
    pub fn values(&self) -> Vec<&Tensor> {
        self.0.iter().map(|(_, value)| value).collect()
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same names with `f` of each value.
    #[must_use]
    pub fn map(&self, mut f: impl FnMut(&Tensor) -> Tensor) -> Self {
        Params(self.0.iter().map(|(name, value)| (name.clone(), f(value))).collect())
    }

    /// The same names with `f` of the values of both, paired by position.
    ///
    /// # Errors
    /// The two have different names.
    pub fn zip_map(
        &self,
        other: &Params,
        mut f: impl FnMut(&Tensor, &Tensor) -> Tensor,
    ) -> Result<Self> {
        if !self.0.iter().map(|p| &p.0).eq(other.0.iter().map(|p| &p.0)) {
            bail!(Usage, "parameters: two sets with different names were combined");
        }
        let pairs = self.0.iter().zip(&other.0);
        Ok(Params(pairs.map(|((name, a), (_, b))| (name.clone(), f(a, b))).collect()))
    }

    /// The same names with new values.
    ///
    /// # Errors
    /// There are not as many.
    pub fn with_values(&self, values: Vec<Tensor>) -> Result<Self> {
        if values.len() != self.0.len() {
            bail!(Usage, "parameters: {} values for {} names", values.len(), self.0.len());
        }
        Ok(Params(self.0.iter().map(|(name, _)| name.clone()).zip(values).collect()))
    }

    /// Every value as a variable of its own.
    #[must_use]
    pub fn tracked(&self) -> Self {
        self.map(Tensor::tracked)
    }

    /// `self + a * other`.
    ///
    /// # Errors
    /// The two have different names.
    pub fn axpy(&self, a: f64, other: &Params) -> Result<Self> {
        self.zip_map(other, |x, y| x + &(y * a))
    }

    /// The inner product over all parameters.
    ///
    /// # Errors
    /// The two have different names, or the device failed.
    pub fn dot(&self, other: &Params) -> Result<f64> {
        let products = self.zip_map(other, |x, y| (x * y).sum_all())?;
        products.0.iter().map(|(_, p)| p.item()).sum()
    }

    /// The Euclidean norm over all parameters.
    ///
    /// # Errors
    /// The device failed.
    pub fn norm(&self) -> Result<f64> {
        Ok(self.dot(self)?.sqrt())
    }

    /// The same values on another device.
    ///
    /// # Errors
    /// Either device failed.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let moved = self.0.iter().map(|(n, v)| Ok((n.clone(), v.to_device(device)?)));
        Ok(Params(moved.collect::<Result<_>>()?))
    }
}
