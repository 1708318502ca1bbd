//! The mechanism under differentially private training (Abadi et al. 2016): bound what one sample
//! can contribute, sum, add Gaussian noise in proportion to the bound.
//!
//! These are its parts as functions of tensors, the same on every backend: [`clip`] and [`noise`],
//! clipped sums by one backward pass ([`ghost`]), over portions of a batch ([`contributions`]), all together ([`mechanism`]), [`accounting`], which
//! turns noise into epsilon, and the [`ledger`], which forgets no step.
//! [`Private`](crate::train::Private) trains with them. [`audit`] attacks the mechanism, to see whether it
//! leaks more than it claims.

pub mod accounting;
pub mod audit;
pub mod clip;
pub mod contributions;
pub mod ghost;
pub mod ledger;
pub mod mechanism;
pub mod noise;
