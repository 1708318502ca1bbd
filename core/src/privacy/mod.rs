//! Attacks on the privacy of the training data.

pub mod attributes;
pub mod exposure;
pub mod inversion;
pub mod membership;
pub mod reconstruction;

mod descend;
pub mod prior;
