//! The mechanism under differentially private training (Abadi et al. 2016): bound what one sample
//! can contribute, sum, add Gaussian noise in proportion to the bound.
//!
//! These are its two parts as functions of tensors, [`clip`] and [`noise`], the same on every
//! backend. A trainer, accountants that turn noise into epsilon, and noise that nobody can predict
//! are not here: with what is here alone, no model may be called private.

pub mod accounting;
pub mod clip;
pub mod noise;
