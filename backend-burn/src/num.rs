//! Burn's tensors of floats and of integers behind one type, and what moves their elements.
//!
//! Burn has a function per kind of element (`float_permute`, `int_permute`) because it knows the
//! kind at compile time; here it is known at run time. Movements are the same for both, so the two
//! meet here and nowhere else.

use burn_backend::ops::PadMode;
use burn_backend::tensor::{BoolTensor, FloatTensor, IntTensor};
use burn_backend::{Backend, Scalar, Shape, Slice};
use inocula_core::{Error, ErrorKind, Result};

/// A tensor of floats (f32 or f64, which Burn knows at run time) or of integers.
#[derive(Clone)]
pub(crate) enum Num<B: Backend> {
    Float(FloatTensor<B>),
    Int(IntTensor<B>),
}

/// Applies the function of the kind of element, and wraps its result.
macro_rules! both {
    ($num:expr, $t:ident => $float:expr, $int:expr) => {
        match $num {
            $crate::num::Num::Float($t) => $crate::num::Num::Float($float),
            $crate::num::Num::Int($t) => $crate::num::Num::Int($int),
        }
    };
}
pub(crate) use both;

/// Two operands of one kind.
pub(crate) enum Pair<B: Backend> {
    Float(FloatTensor<B>, FloatTensor<B>),
    Int(IntTensor<B>, IntTensor<B>),
}

/// Burn's shape of these extents. Burn has no tensors without axes: a scalar has one of extent 1.
pub(crate) fn extents(dims: &[usize]) -> Shape {
    Shape::from(if dims.is_empty() { vec![1] } else { dims.to_vec() })
}

fn ranges(start: &[usize], len: &[usize]) -> Vec<Slice> {
    start.iter().zip(len).map(|(&s, &n)| Slice::from(s..s + n)).collect()
}

impl<B: Backend> Num<B> {
    /// The floats.
    pub(crate) fn float(self) -> Result<FloatTensor<B>> {
        match self {
            Num::Float(t) => Ok(t),
            Num::Int(_) => Err(wrong_kind("integers where floats were inferred")),
        }
    }

    /// The integers.
    pub(crate) fn int(self) -> Result<IntTensor<B>> {
        match self {
            Num::Int(t) => Ok(t),
            Num::Float(_) => Err(wrong_kind("floats where integers were inferred")),
        }
    }

    /// With another operand of the same kind.
    pub(crate) fn with(self, other: Self) -> Result<Pair<B>> {
        match (self, other) {
            (Num::Float(a), Num::Float(b)) => Ok(Pair::Float(a, b)),
            (Num::Int(a), Num::Int(b)) => Ok(Pair::Int(a, b)),
            _ => Err(wrong_kind("floats and integers where one dtype was inferred")),
        }
    }

    pub(crate) fn reshape(self, dims: &[usize]) -> Self {
        let shape = extents(dims);
        both!(self, t => B::float_reshape(t, shape), B::int_reshape(t, shape))
    }

    /// Repeats axes of extent 1; `dims` has as many axes as the tensor.
    pub(crate) fn expand(self, dims: &[usize]) -> Self {
        let shape = extents(dims);
        both!(self, t => B::float_expand(t, shape), B::int_expand(t, shape))
    }

    pub(crate) fn permute(self, axes: &[usize]) -> Self {
        both!(self, t => B::float_permute(t, axes), B::int_permute(t, axes))
    }

    pub(crate) fn flip(self, axes: &[usize]) -> Self {
        both!(self, t => B::float_flip(t, axes), B::int_flip(t, axes))
    }

    /// The box of extents `len` from `start`.
    pub(crate) fn slice(self, start: &[usize], len: &[usize]) -> Self {
        let ranges = ranges(start, len);
        both!(self, t => B::float_slice(t, &ranges), B::int_slice(t, &ranges))
    }

    /// Zeros around.
    pub(crate) fn pad(self, before: &[usize], after: &[usize]) -> Self {
        let sides: Vec<(usize, usize)> =
            before.iter().copied().zip(after.iter().copied()).collect();
        let zeros = PadMode::Constant(0.0);
        both!(self, t => B::float_pad(t, &sides, zeros), B::int_pad(t, &sides, zeros))
    }

    /// Sum over one axis, which stays with extent 1.
    pub(crate) fn sum(self, axis: usize) -> Self {
        both!(self, t => B::float_sum_dim(t, axis), B::int_sum_dim(t, axis))
    }

    /// `value` where the mask holds, else the element.
    pub(crate) fn replace(self, mask: BoolTensor<B>, value: Self) -> Result<Self> {
        Ok(match self.with(value)? {
            Pair::Float(t, v) => Num::Float(B::float_mask_where(t, mask, v)),
            Pair::Int(t, v) => Num::Int(B::int_mask_where(t, mask, v)),
        })
    }

    /// The sum of two tensors of one shape.
    pub(crate) fn plus(self, other: Self) -> Result<Self> {
        Ok(match self.with(other)? {
            Pair::Float(a, b) => Num::Float(B::float_add(a, b)),
            Pair::Int(a, b) => Num::Int(B::int_add(a, b)),
        })
    }
}

/// The tensors one after the other along `axis`.
pub(crate) fn concat<B: Backend>(parts: Vec<Num<B>>, axis: usize) -> Result<Num<B>> {
    if matches!(parts.first(), Some(Num::Float(_))) {
        let parts: Vec<_> = parts.into_iter().map(Num::float).collect::<Result<_>>()?;
        return Ok(Num::Float(B::float_cat(parts, axis)));
    }
    let parts: Vec<_> = parts.into_iter().map(Num::int).collect::<Result<_>>()?;
    Ok(Num::Int(B::int_cat(parts, axis)))
}

/// A float constant for Burn.
pub(crate) fn float(value: f64) -> Scalar {
    Scalar::Float(value)
}

fn wrong_kind(what: &str) -> Error {
    let message = format!("burn: an operand holds {what}; pass operands as inferred");
    Error::new(ErrorKind::Usage, message)
}
