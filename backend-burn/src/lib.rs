//! The Burn backend of Inocula: operations run by whatever Burn runs on.
//!
//! Burn has one interface over several backends. This crate writes every operation of Inocula on
//! that interface once (`elementwise`, `reduce`, `movement`, `matmul`, `conv`, `index`, `pool`,
//! `softmax`, `step`), for any of them: flex on the CPU, wgpu and CUDA on GPUs, chosen by features of
//! the same names. Where a kernel of Burn keeps other rules for ties, NaN or empty arrays than
//! `inocula_core::op` states, the operation is composed of kernels that do not (`inner` says which).
//!
//! Burn reports failures by panicking. They become errors here (`guard`), but the message that the
//! program's panic hook prints on standard error still appears: the hook is the program's to set.
//!
//! Integers overflow as Burn's kernels do: they wrap in release builds, and are an error in others.

mod guard;
mod inner;
mod num;

mod buf;
mod place;
mod threads;

mod elementwise;
mod index;
mod movement;
mod reduce;

mod conv;
mod matmul;
mod pool;

mod softmax;
mod step;

mod engine;

mod device;
mod gpu;
#[cfg(test)]
mod tests;

pub use device::{Buf, Burn, ENTRY};
