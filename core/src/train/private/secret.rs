//! What an adversary must not be able to repeat: which samples each batch has, the noise, and what attacks and
//! dropout draw.
//!
//! All of it comes from here, so that the generator is decided in one place. Random starts and masks are of it
//! because the guarantee compares two data sets of which one has a record more: whoever knows every draw knows
//! that the record moves the draws of those behind it in the batch, whose gradients then differ too, and the
//! sums by many clipping bounds. As draws that nobody knows, they are as likely for the one as for the other,
//! sample by sample, and what differs is the record.

use crate::Result;
use crate::dp::{ledger, noise};
use crate::rng::Rng;

/// The source of all secret randomness of a training.
pub(super) struct Secret {
    source: noise::Secret,
    draws: Rng,
}

impl Secret {
    /// Of the operating system; or, if asked, derived from the generator of the training, and so known
    /// to everybody who knows the seed.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub(super) fn new(seeded: bool, rng: &Rng) -> Result<Self> {
        let source = match seeded {
            true => noise::Secret::seeded(&rng.child("private")),
            false => noise::Secret::from_os()?,
        };
        let draws = match seeded {
            true => rng.clone(),
            false => source.child("draws").generator(),
        };
        Ok(Secret { source, draws })
    }

    /// What a reader has to know about the source before believing an epsilon.
    pub(super) fn warning(&self) -> Option<&'static str> {
        (!self.source.is_secret()).then_some(ledger::SEEDED)
    }

    /// The generator of batches.
    pub(super) fn batches(&self) -> Rng {
        self.source.child("batches").generator()
    }

    /// The generator of attacks and dropout.
    pub(super) fn draws(&self) -> &Rng {
        &self.draws
    }

    /// The noise on the gradients of step `step`.
    pub(super) fn gradients(&self, step: usize) -> noise::Secret {
        self.source.child("gradients").index(step as u64)
    }

    /// Normal noise of standard deviation `std` for the count of step `step`.
    pub(super) fn count(&self, step: usize, std: f64) -> f64 {
        std * self.source.child("count").index(step as u64).stream(0).normal()
    }
}
