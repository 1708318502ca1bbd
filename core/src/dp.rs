//! The mechanism under differentially private training (Abadi et al. 2016): bound what one sample
//! can contribute, sum, add Gaussian noise in proportion to the bound.
//!
//! These are its parts as functions of tensors, the same on every backend: [`clip`] and [`noise`],
//! clipped sums by one backward pass ([`ghost`]), and both together ([`mechanism`]). A trainer, accountants that turn noise into epsilon, and noise that nobody can predict
//! are not here: with what is here alone, no model may be called private.

pub mod accounting;
pub mod clip;
pub mod ghost;
pub mod mechanism;
pub mod noise;
