//! What is known of an array before it is computed: its dtype and shape.
//!
//! Shape inference runs on these abstract values once, in this crate, so that every backend gives
//! the same error for the same mistake and may assume well-formed input.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use crate::{Result, bail};

/// The element types of tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DType {
    /// IEEE 754 single precision.
    F32 = 0,
    /// IEEE 754 double precision.
    F64 = 1,
    /// 64-bit signed integers: labels and indices.
    I64 = 2,
}

impl DType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F64 | DType::I64 => 8,
        }
    }

    /// Whether gradients can flow through values of this type.
    pub const fn is_float(self) -> bool {
        !matches!(self, DType::I64)
    }

    /// The name used in messages and files.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I64 => "i64",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The largest number of axes of a tensor.
pub const MAX_RANK: usize = 6;

/// The extents of a tensor's axes, outermost first. A scalar has none.
///
/// Kept inline (`Copy`, no allocation), because every op of a small model makes several.
#[derive(Clone, Copy, Eq)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The shape of a scalar.
    pub const SCALAR: Shape = Shape { dims: [0; MAX_RANK], rank: 0 };

    /// The shape with these extents.
    ///
    /// # Errors
    /// More than [`MAX_RANK`] axes, or an element count that does not fit in memory.
    pub fn new(dims: &[usize]) -> Result<Self> {
        if dims.len() > MAX_RANK {
            bail!(
                Shape,
                "shape: {dims:?} has {} axes; at most {MAX_RANK} are possible",
                dims.len()
            );
        }
        addressable(dims)?;
        let mut shape = Shape { dims: [0; MAX_RANK], rank: dims.len() as u8 };
        shape.dims[..dims.len()].copy_from_slice(dims);
        Ok(shape)
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.iter().product()
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// This shape with the extent of `axis` replaced.
    #[must_use]
    pub fn with(mut self, axis: usize, extent: usize) -> Self {
        self.dims[..self.rank as usize][axis] = extent;
        self
    }

    /// Row-major strides, in elements.
    pub fn strides(&self) -> [usize; MAX_RANK] {
        let mut strides = [0; MAX_RANK];
        let mut step = 1;
        for axis in (0..self.rank()).rev() {
            strides[axis] = step;
            step *= self.dims[axis];
        }
        strides
    }
}

impl PartialEq for Shape {
    /// Extents behind the last axis are 0, so all are compared: without a loop over as many as there are,
    /// or a call.
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.dims.iter().zip(&other.dims);
        pairs.fold(self.rank == other.rank, |same, (a, b)| same & (a == b))
    }
}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self[..].hash(state);
    }
}

/// Fails if no memory holds an array of these extents.
pub(crate) fn addressable(dims: &[usize]) -> Result<()> {
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if count.is_none_or(|n| n > isize::MAX as usize / 8) {
        bail!(Shape, "shape: {dims:?} has too many elements for this machine's memory");
    }
    Ok(())
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &**self)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An abstract value: dtype and shape of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Aval {
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Shape,
}

impl Aval {
    /// An abstract value.
    pub const fn new(dtype: DType, shape: Shape) -> Self {
        Aval { dtype, shape }
    }

    /// Bytes of the array, row-major and dense.
    pub fn bytes(&self) -> usize {
        self.shape.numel() * self.dtype.size()
    }
}

impl fmt::Display for Aval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// The shape two operands broadcast to: axes aligned at the end, extents equal or one.
pub fn broadcast(a: &Shape, b: &Shape) -> Option<Shape> {
    let (long, short) = if a.rank() >= b.rank() { (a, b) } else { (b, a) };
    let offset = long.rank() - short.rank();
    let mut out = *long;
    for (axis, &d) in short.iter().enumerate() {
        let e = long[offset + axis];
        out.dims[offset + axis] = match (d, e) {
            (d, e) if d == e => d,
            (1, e) => e,
            (d, 1) => d,
            _ => return None,
        };
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(dims: &[usize]) -> Shape {
        Shape::new(dims).unwrap()
    }

    #[test]
    fn broadcasting_aligns_at_the_last_axis() {
        assert_eq!(broadcast(&s(&[2, 3]), &s(&[3])), Some(s(&[2, 3])));
        assert_eq!(broadcast(&s(&[2, 1]), &s(&[1, 3])), Some(s(&[2, 3])));
        assert_eq!(broadcast(&s(&[]), &s(&[4])), Some(s(&[4])));
        assert_eq!(broadcast(&s(&[2]), &s(&[3])), None);
    }

    #[test]
    fn too_large_a_shape_is_an_error_not_an_overflow() {
        assert!(Shape::new(&[usize::MAX, 2]).is_err());
        assert!(Shape::new(&[1; 7]).is_err());
    }
}
