//! Loops of ours over tensors on CPUs, for what libtorch has no operator for: their elements as slices,
//! and libtorch's threads to run on.
//!
//! A second pool of threads would find the cores taken: libtorch's workers spin for milliseconds after
//! each operation. Its interface for C runs a function on these workers instead.

#![allow(
    unsafe_code,
    reason = "memory of libtorch, and a C interface; each use says why it is sound"
)]

use std::any::Any;
use std::ffi::c_void;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::slice::{from_raw_parts, from_raw_parts_mut};
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use crate::failure::{Made, from_library};

/// What libtorch calls with a part of a range.
type Body = unsafe extern "C" fn(begin: i64, end: i64, context: *mut c_void);

// torch/csrc/stable/c/shim.h of libtorch 2.13. Returns 0 where it succeeds.
unsafe extern "C" {
    fn torch_parallel_for(
        begin: i64,
        end: i64,
        grain: i64,
        body: Body,
        context: *mut c_void,
    ) -> i32;
}

/// The elements of an f32 tensor on a CPU that is dense and row-major.
pub(crate) fn elements(tensor: &Tensor) -> Made<&[f32]> {
    if !is_plain(tensor)? {
        return Err(from_library("elements of another type, device or order were asked for"));
    }
    match tensor.numel() {
        0 => Ok(&[]),
        // SAFETY: so many elements of this type lie there in a row, for as long as the tensor lives; this
        // crate writes to memory only where no other array is on it (`buf`), so not while one is borrowed.
        count => Ok(unsafe { from_raw_parts(tensor.data_ptr().cast(), count) }),
    }
}

/// A new f32 tensor on the CPU, row-major, after `fill` has written each of its elements. What it finds in
/// them is whatever libtorch left there.
pub(crate) fn filled(size: &[i64], fill: impl FnOnce(&mut [f32]) -> Made<()>) -> Made<Tensor> {
    let tensor = Tensor::f_empty(size, (Kind::Float, Device::Cpu))?;
    match tensor.numel() {
        0 => {}
        // SAFETY: so many elements lie there in a row, and nobody else has the tensor yet. They hold some
        // bits, as memory does that comes from another language, and every pattern of bits is an f32.
        count => fill(unsafe { from_raw_parts_mut(tensor.data_ptr().cast(), count) })?,
    }
    Ok(tensor)
}

/// The bytes of an array on a CPU, in row-major order, if they lie so.
///
/// The tensor must be the only one on its memory: its holder (`buf::Buf`) knows.
pub(crate) fn bytes(tensor: &mut Tensor) -> Option<&mut [u8]> {
    let kind = tensor.f_kind().ok()?;
    if tensor.device() != Device::Cpu || !tensor.is_contiguous() || tensor.numel() == 0 {
        return None;
    }
    let count = tensor.numel() * kind.elt_size_in_bytes();
    // SAFETY: so many bytes lie there in a row; the tensor is borrowed mutably and, as its holder vouches,
    // the only way to them.
    Some(unsafe { from_raw_parts_mut(tensor.data_ptr().cast(), count) })
}

/// Whether [`elements`] has them.
pub(crate) fn is_plain(tensor: &Tensor) -> Made<bool> {
    let kind = tensor.f_kind()?;
    Ok(kind == Kind::Float && tensor.device() == Device::Cpu && tensor.is_contiguous())
}

/// Has `body` make every row of `width` elements.
pub(crate) fn for_rows(
    rows: &mut [f32],
    width: usize,
    body: impl Fn(usize, &mut [f32]) + Sync,
) -> Made<()> {
    let rows: Vec<_> = rows.chunks_exact_mut(width).map(Mutex::new).collect();
    for_ranges(rows.len(), |range| {
        for i in range {
            let mut row = rows[i].lock().unwrap_or_else(PoisonError::into_inner);
            body(i, &mut row);
        }
    })
}

/// What a range is worked through with.
struct Context<'a, F> {
    body: &'a F,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Has `body` called on parts of `0..count`, disjoint and in no order, on as many threads as an operation
/// of libtorch would take that is called by this one.
fn for_ranges<F: Fn(Range<usize>) + Sync>(count: usize, body: F) -> Made<()> {
    let context = Context { body: &body, panic: Mutex::new(None) };
    let pointer = (&raw const context).cast_mut().cast();
    // SAFETY: `run::<F>` is given this context, which outlives the call, from several threads: what they
    // share of it is `Sync`. It does not unwind.
    let code = unsafe { torch_parallel_for(0, count as i64, 1, run::<F>, pointer) };
    if let Some(said) = context.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(said);
    }
    if code == 0 { Ok(()) } else { Err(from_library("a loop over samples failed")) }
}

/// # Safety
/// `context` points to a [`Context`] of this `F`.
unsafe extern "C" fn run<F: Fn(Range<usize>) + Sync>(begin: i64, end: i64, context: *mut c_void) {
    // SAFETY: the caller vouches for it.
    let context = unsafe { &*context.cast::<Context<'_, F>>() };
    let range = begin as usize..end as usize;
    if let Err(said) = catch_unwind(AssertUnwindSafe(|| (context.body)(range))) {
        *context.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
    }
}
