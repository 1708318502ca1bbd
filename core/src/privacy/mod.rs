//! Attacks on the privacy of the training data.

pub mod exposure;
pub mod membership;
