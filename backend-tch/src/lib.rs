//! The libtorch backend of Inocula: every operation, by the kernels of PyTorch's library.
//!
//! It is the backend for large models: matrix products and convolutions of MKL, oneDNN and cuDNN, on
//! CPUs and NVIDIA GPUs. Operations map onto libtorch's operators one to one where their definitions
//! agree; the files say where they do not. libtorch's own differentiation is switched off
//! throughout: here a gradient is a formula of operations like any other.
//!
//! # Building
//!
//! `cargo xtask setup libtorch` fetches libtorch and tells cargo where it is. For NVIDIA GPUs, build
//! with `LIBTORCH` naming the `torch` folder of a Python that has PyTorch 2.13.0 with CUDA.
//!
//! # Threads
//!
//! `threads=N` holds for the operations of one device. libtorch's workers spin for a while before
//! they sleep, at the expense of everybody else's; a program avoids that by setting
//! `OMP_WAIT_POLICY=PASSIVE` before the library is loaded.
//!
//! # What is not exactly as defined
//!
//! Where values are NaN: the gradient of a ReLU passes where its value is NaN, and of several NaN in
//! a pooling window the last one counts. Where they are infinite: gradients of samples in the weight of
//! a convolution leave out cotangents of 0, whatever they would be multiplied with.

mod dispatch;
mod failure;
mod host;
mod layout;
mod threads;

mod buf;
mod cuda;

mod elementwise;
mod index;
mod movement;
mod reduce;

mod columns;
mod conv;
mod matmul;
mod per_sample;
mod pool;

mod softmax;
mod step;

mod device;
#[cfg(test)]
mod tests;

pub use buf::Buf;
pub use device::{ENTRY, Tch};
