//! Arrays: a layout on shared storage.
//!
//! Cloning the storage reference is what makes reshape, permute, slice, flip and broadcast free.
//! Storage is written only while an array is being made, or when it is held by one array alone
//! that was donated.

use std::ops::Deref;
use std::sync::Arc;

use inocula_core::{Arg, DType, Error, ErrorKind, Result, Shape};

use crate::elem::Elem;
use crate::layout::Layout;
use crate::movement;
use crate::pool::{Memory, Store};
use crate::simd_tiles::Kernels;
use crate::workers::Workers;

/// An array of one element type.
pub(crate) struct Array<T: Elem> {
    store: Arc<Store<T>>,
    layout: Layout,
}

/// An array on this backend.
pub struct Buf(pub(crate) Typed);

/// An array of any element type.
pub(crate) enum Typed {
    F32(Array<f32>),
    F64(Array<f64>),
    I64(Array<i64>),
}

/// Runs an expression with `$x` bound to the typed array in a [`Buf`].
macro_rules! typed {
    ($buf:expr, $x:ident => $body:expr) => {
        match &$buf.0 {
            $crate::buf::Typed::F32($x) => $body,
            $crate::buf::Typed::F64($x) => $body,
            $crate::buf::Typed::I64($x) => $body,
        }
    };
}
pub(crate) use typed;

impl Buf {
    /// The element type.
    pub(crate) fn dtype(&self) -> DType {
        match self.0 {
            Typed::F32(_) => DType::F32,
            Typed::F64(_) => DType::F64,
            Typed::I64(_) => DType::I64,
        }
    }
}

impl<T: Elem> Array<T> {
    /// The elements of `store` in row-major order.
    pub(crate) fn new(store: Store<T>, shape: Shape) -> Self {
        Array { store: Arc::new(store), layout: Layout::dense(shape) }
    }

    /// The same storage seen through another layout.
    pub(crate) fn view(&self, layout: Layout) -> Self {
        Array { store: Arc::clone(&self.store), layout }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn shape(&self) -> Shape {
        self.layout.shape
    }

    /// The whole storage, which the layout's offset and strides refer to.
    pub(crate) fn storage(&self) -> &[T] {
        self.store.data()
    }

    /// The elements, if they lie side by side.
    pub(crate) fn slice(&self) -> Option<&[T]> {
        let n = self.layout.shape.numel();
        if n == 0 {
            return Some(&[]);
        }
        self.layout.is_dense().then(|| &self.store.data()[self.layout.offset..][..n])
    }

    /// The elements for writing, if they lie side by side and nobody else holds the storage.
    pub(crate) fn slice_mut(&mut self) -> Option<&mut [T]> {
        let n = self.layout.shape.numel();
        if !self.layout.is_dense() {
            return None;
        }
        let data = Arc::get_mut(&mut self.store)?.data_mut();
        Some(if n == 0 { &mut [] } else { &mut data[self.layout.offset..][..n] })
    }
}

/// Elements side by side: an array's own, or a copy.
pub(crate) enum Dense<'a, T: Elem> {
    Own(&'a [T]),
    Copy(Store<T>, usize),
}

impl<T: Elem> Deref for Dense<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match self {
            Dense::Own(slice) => slice,
            Dense::Copy(store, n) => &store.data()[..*n],
        }
    }
}

/// What every kernel needs: threads, memory and the tiles of an instruction set.
pub(crate) struct Ctx {
    pub(crate) kernels: &'static Kernels,
    pub(crate) workers: Workers,
    pub(crate) memory: Arc<Memory>,
}

impl Ctx {
    /// Storage for `n` elements of unspecified value.
    pub(crate) fn store<T: Elem>(&self, n: usize) -> Store<T> {
        Store::take(&self.memory, n)
    }

    /// A new array whose elements `fill` writes, all of them.
    pub(crate) fn make<T: Elem>(&self, shape: Shape, fill: impl FnOnce(&mut [T])) -> Array<T> {
        let n = shape.numel();
        let mut store = self.store(n);
        if n != 0 {
            fill(&mut store.data_mut()[..n]);
        }
        Array::new(store, shape)
    }

    /// The elements of `x` side by side, copied if they are not.
    pub(crate) fn dense<'a, T: Elem>(&self, x: &'a Array<T>) -> Dense<'a, T> {
        match x.slice() {
            Some(slice) => Dense::Own(slice),
            None => self.copied(x),
        }
    }

    /// The elements of `x` in order, copied.
    pub(crate) fn copied<'a, T: Elem>(&self, x: &Array<T>) -> Dense<'a, T> {
        let n = x.shape().numel();
        let mut store = self.store(n);
        movement::copy(self, x, &mut store.data_mut()[..n]);
        Dense::Copy(store, n)
    }
}

/// Operand `i` in the element type that inference promised.
pub(crate) fn operand<'a, T: Elem>(args: &'a [Arg<'_, Buf>], i: usize) -> Result<&'a Array<T>> {
    let buf = args[i].get();
    T::of(buf).ok_or_else(|| wrong_dtype(buf.dtype(), T::DTYPE))
}

/// Takes operand `i` if it was donated and its memory can hold a result of this type and shape.
pub(crate) fn reusable<T: Elem>(
    args: &mut [Arg<'_, Buf>],
    i: usize,
    shape: Shape,
) -> Option<Array<T>> {
    let Arg::Donated(slot) = &mut args[i] else { return None };
    let array = T::of_mut(slot.as_mut()?)?;
    if array.shape() != shape || array.slice_mut().is_none() {
        return None;
    }
    slot.take().and_then(T::out_of)
}

/// A writable copy of operand `i`, or the operand itself if it was donated.
pub(crate) fn own<T: Elem>(ctx: &Ctx, args: &mut [Arg<'_, Buf>], i: usize) -> Result<Array<T>> {
    let shape = operand::<T>(args, i)?.shape();
    if let Some(array) = reusable(args, i, shape) {
        return Ok(array);
    }
    let x = operand::<T>(args, i)?;
    Ok(ctx.make(shape, |out| movement::copy(ctx, x, out)))
}

fn wrong_dtype(got: DType, want: DType) -> Error {
    Error::new(
        ErrorKind::Usage,
        format!(
            "ndarray: an operand is {got} where {want} was inferred; pass operands as inferred"
        ),
    )
}

/// The elements of an array that was just made or taken, and so is held by nobody else.
pub(crate) fn exclusive<T: Elem>(array: &mut Array<T>) -> Result<&mut [T]> {
    array.slice_mut().ok_or_else(|| {
        Error::new(ErrorKind::Backend, "ndarray: storage to be written is shared; this is a defect")
    })
}
