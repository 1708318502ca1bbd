//! The pure-Rust CPU backend of Inocula: every operation, fused ones included, in f32, f64 and i64.
//!
//! It is the backend that is always there, and the one that others are compared with. Arrays are
//! strided views on shared storage (`buf`), so that operations which only move elements cost
//! nothing; storage is recycled (`pool`); kernels run on the caller's thread until the work pays
//! for waking a worker (`workers`). Matrix products and convolutions of f32 run on tiles in vector
//! registers (`simd_tiles`); those of f64 are the `matrixmultiply` crate's, reached through ndarray.
//!
//! Results do not depend on timing: no kernel lets the order in which threads finish decide the
//! order of a sum, so the same thread count gives the same bits.

#[allow(unsafe_code, reason = "vector instructions are reached through intrinsics on pointers")]
mod simd;
#[allow(unsafe_code, reason = "vector instructions are reached through intrinsics on pointers")]
mod simd_combine;
#[allow(unsafe_code, reason = "vector instructions are reached through intrinsics on pointers")]
mod simd_loops;
#[allow(unsafe_code, reason = "vector instructions are reached through intrinsics on pointers")]
mod simd_tiles;
#[allow(unsafe_code, reason = "vector instructions are reached through intrinsics on pointers")]
mod simd_transpose;

mod elem;
mod exponential;
mod layout;

mod buf;
mod pool;
mod workers;

mod nest;
mod order;

mod elementwise;
mod index;
mod movement;
mod reduce;

mod channels_last;
mod columns;
mod conv;
mod direct;
mod direct_weight;
mod matmul;
mod padded;
mod pooling;
mod pooling_last;
mod sgemm;

mod softmax;
mod sparse;
mod step;

mod device;
#[cfg(test)]
mod tests;

pub use buf::Buf;
pub use device::{Cpu, ENTRY};
