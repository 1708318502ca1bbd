//! Arrays on a device: a Burn tensor, the shape that the program knows, and what is known of values.
//!
//! Burn has neither scalars without axes nor kernels that can be trusted with empty arrays, so an
//! array keeps its own shape, and one without elements holds no tensor at all.

use burn_backend::Backend;
use inocula_core::{Aval, DType, Error, ErrorKind, Result, Shape};

use crate::num::Num;

/// What is known of the elements of an array without looking at them.
///
/// Indices have to be checked before a kernel reads through them, and looking at them means a copy
/// from the device. Most indices come from the host, or from an operation whose results have bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fact {
    /// Nothing.
    None,
    /// Floats that all have this value, which is a number.
    Fill(f64),
    /// Integers from the first to the second, both included.
    Within(i64, i64),
}

impl Fact {
    /// What is known of a constant array.
    pub(crate) fn of_constant(dtype: DType, value: f64) -> Self {
        match dtype {
            DType::F32 => Fact::of_float(f64::from(value as f32)),
            DType::F64 => Fact::of_float(value),
            DType::I64 => {
                let value = value.round_ties_even() as i64;
                Fact::Within(value, value)
            }
        }
    }

    /// What is known of floats that all have this value.
    pub(crate) fn of_float(value: f64) -> Self {
        if value.is_nan() { Fact::None } else { Fact::Fill(value) }
    }

    /// What holds of elements of either array.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Fact::Within(a, b), Fact::Within(c, d)) => Fact::Within(a.min(c), b.max(d)),
            (Fact::Fill(a), Fact::Fill(b)) if a == b => self,
            _ => Fact::None,
        }
    }

    /// Whether the elements are known to be integers that index an axis of `extent`.
    pub(crate) fn indexes(self, extent: usize) -> bool {
        match self {
            Fact::Within(low, high) => low >= 0 && usize::try_from(high).is_ok_and(|h| h < extent),
            _ => false,
        }
    }

    /// Whether some element may have this value.
    pub(crate) fn may_be(self, value: i64) -> bool {
        !matches!(self, Fact::Within(low, high) if value < low || value > high)
    }
}

/// An array on a device of the Burn backend `B`.
#[derive(Clone)]
pub(crate) struct Array<B: Backend> {
    aval: Aval,
    num: Option<Num<B>>,
    fact: Fact,
}

impl<B: Backend> Array<B> {
    /// The elements of `num`, which has the shape of `aval`, or one axis of extent 1 for a scalar.
    pub(crate) fn new(aval: Aval, num: Num<B>, fact: Fact) -> Self {
        Array { aval, num: Some(num), fact }
    }

    /// An array without elements.
    pub(crate) fn empty(aval: Aval) -> Self {
        Array { aval, num: None, fact: Fact::None }
    }

    pub(crate) fn aval(&self) -> Aval {
        self.aval
    }

    pub(crate) fn dtype(&self) -> DType {
        self.aval.dtype
    }

    pub(crate) fn shape(&self) -> Shape {
        self.aval.shape
    }

    pub(crate) fn fact(&self) -> Fact {
        self.fact
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.num.is_none()
    }

    /// The tensor. Operations on empty arrays were answered before they come here.
    pub(crate) fn num(self) -> Result<Num<B>> {
        self.num.ok_or_else(|| {
            let message = "burn: an empty array got to a kernel; this is a defect, report it";
            Error::new(ErrorKind::Backend, message)
        })
    }

    /// The tensor with leading axes of extent 1 up to `rank` axes, at least one.
    pub(crate) fn aligned(self, rank: usize) -> Result<Num<B>> {
        let shape = self.shape();
        if shape.rank() == rank.max(1) {
            return self.num();
        }
        let mut dims = vec![1; rank.saturating_sub(shape.rank())];
        dims.extend_from_slice(&shape);
        Ok(self.num()?.reshape(&dims))
    }

    /// The tensor, repeated to this shape.
    pub(crate) fn expanded(self, to: &Shape) -> Result<Num<B>> {
        let alike = self.shape() == *to;
        let num = self.aligned(to.rank())?;
        Ok(if alike { num } else { num.expand(to) })
    }
}
