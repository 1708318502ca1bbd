//! The C boundary between this crate and backends that are loaded at run time.
//!
//! `include/inocula_backend.h` is the specification; [`types`] mirrors it. A Rust backend crosses
//! the boundary through [`export_backend!`](crate::export_backend) on its side and [`import`] on
//! ours, a backend in C through its own functions and [`import`]. One `execute` that takes the
//! operation as numbers keeps the table at thirteen functions, and a new operation is never a
//! break: who does not know its code answers "unimplemented".
//!
//! What makes it safe to load somebody else's library, as far as that can be: nothing crosses but
//! numbers, pointers with lengths, and handles that only their maker looks into; memory is freed by
//! who allocated it; panics stop at the boundary and poison the device they happened on; a table
//! shorter or longer than ours is read as far as both go. This module and the SIMD kernels are the
//! only places with `unsafe`.

#![allow(
    unsafe_code,
    reason = "pointers cross the C boundary here, and nowhere else in this crate"
)]

pub mod export;
pub mod import;
#[cfg(feature = "plugins")]
pub(crate) mod load;
mod log;
mod manifest;
mod panics;
#[cfg(test)]
mod tests;
pub mod types;

pub use manifest::Manifest;
