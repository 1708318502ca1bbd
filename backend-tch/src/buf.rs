//! Arrays: a libtorch tensor, and whether its memory may be written.
//!
//! Reshape, permute, slice and broadcast give tensors on the memory of their operand, and libtorch's
//! in-place operators would write through all of them. Its own reference count is of no help: tch
//! does not show it, and a tensor that was handed on inside libtorch counts too. So each array
//! carries a mark that those on the same memory share, and memory is written only when its array was
//! donated and holds the last mark.

use std::sync::Arc;

use inocula_core::{Arg, Aval, DType, Error, ErrorKind};
use tch::{Kind, Tensor};

use crate::dispatch::Held;
use crate::failure::Made;
use crate::host;

/// An array on this backend.
pub struct Buf {
    tensor: Held,
    aval: Aval,
    /// Shared by all arrays on the same memory.
    memory: Arc<()>,
    /// Whether several elements may be one place in memory, as after a broadcast.
    repeats: bool,
}

/// The element type in libtorch's terms.
pub(crate) fn kind(dtype: DType) -> Kind {
    match dtype {
        DType::F32 => Kind::Float,
        DType::F64 => Kind::Double,
        DType::I64 => Kind::Int64,
    }
}

/// Extents in libtorch's terms: its sizes are signed.
pub(crate) fn signed<const N: usize>(values: [usize; N]) -> [i64; N] {
    values.map(|v| v as i64)
}

/// A list of extents or axes in libtorch's terms.
pub(crate) fn sizes(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&v| v as i64).collect()
}

impl Buf {
    /// An array on memory that a kernel has just made.
    pub(crate) fn fresh(tensor: Tensor, aval: Aval) -> Made<Self> {
        // Operands of different dtypes were promoted to a third if they ever came this far.
        let got = tensor.f_kind()?;
        if got != kind(aval.dtype) {
            return Err(mixed(got, aval).into());
        }
        debug_assert_eq!(tensor.size(), sizes(&aval.shape), "a kernel gave another shape");
        Ok(Buf { tensor: Held::new(tensor), aval, memory: Arc::new(()), repeats: false })
    }

    /// An array that may lie on this one's memory.
    pub(crate) fn view(&self, tensor: Tensor, aval: Aval) -> Self {
        debug_assert_eq!(tensor.size(), sizes(&aval.shape), "a view has another shape");
        let memory = Arc::clone(&self.memory);
        Buf { tensor: Held::new(tensor), aval, memory, repeats: self.repeats }
    }

    /// The same, its elements now repeated.
    pub(crate) fn repeated(&self, tensor: Tensor, aval: Aval) -> Self {
        Buf { repeats: true, ..self.view(tensor, aval) }
    }

    pub(crate) fn tensor(&self) -> &Tensor {
        self.tensor.get()
    }

    pub(crate) fn aval(&self) -> Aval {
        self.aval
    }

    /// The elements, row-major, to be changed where they lie: on CPUs, where nobody else can see it.
    pub(crate) fn host_memory(&mut self) -> Option<&mut [u8]> {
        if !self.is_writable() {
            return None;
        }
        host::bytes(self.tensor.get_mut())
    }

    /// Whether nobody else can see what is written here.
    pub(crate) fn is_writable(&mut self) -> bool {
        !self.repeats && Arc::get_mut(&mut self.memory).is_some()
    }
}

fn mixed(got: Kind, aval: Aval) -> Error {
    let what =
        format!("tch: a result is {got:?} where {aval} was inferred; pass operands of one dtype");
    Error::new(ErrorKind::Usage, what)
}

/// A number of this dtype, as an array without axes on the CPU, which libtorch combines with arrays on
/// any device.
///
/// Numbers go to libtorch in this form wherever it asks for memory. tch's own type for them panics
/// when an operator fails, because it takes the error of the operator for its own; out of memory must
/// be an error, so it is used only by operators that write into memory they are given.
pub(crate) fn constant(value: f64, dtype: DType) -> Made<Tensor> {
    let made = match dtype {
        DType::F32 => Tensor::f_from_data_size(&(value as f32).to_ne_bytes(), &[], Kind::Float),
        DType::F64 => Tensor::f_from_data_size(&value.to_ne_bytes(), &[], Kind::Double),
        DType::I64 => Tensor::f_from_data_size(&(value as i64).to_ne_bytes(), &[], Kind::Int64),
    };
    Ok(made?)
}

/// Operand `i`.
pub(crate) fn operand<'a>(args: &'a [Arg<'_, Buf>], i: usize) -> &'a Tensor {
    args[i].get().tensor()
}

/// Takes operand `i` if it was donated and its memory can hold the result `out`.
pub(crate) fn reusable(args: &mut [Arg<'_, Buf>], i: usize, out: &Aval) -> Option<Tensor> {
    let Arg::Donated(slot) = args.get_mut(i)? else { return None };
    let buf = slot.as_mut()?;
    if buf.aval != *out || !buf.is_writable() {
        return None;
    }
    slot.take().map(|buf| buf.tensor.into_inner())
}

/// A copy of operand `i` to be written, or the operand itself if it was donated.
pub(crate) fn own(args: &mut [Arg<'_, Buf>], i: usize) -> Made<Tensor> {
    let out = args[i].get().aval();
    match reusable(args, i, &out) {
        Some(tensor) => Ok(tensor),
        None => copy(operand(args, i)),
    }
}

/// A copy in row-major order on memory of its own.
pub(crate) fn copy(x: &Tensor) -> Made<Tensor> {
    let mut fresh = Tensor::f_empty(x.size(), (x.f_kind()?, x.device()))?;
    fresh.f_copy_(x)?;
    Ok(fresh)
}
