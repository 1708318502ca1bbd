//! Secure aggregation (Bonawitz et al. 2017, "Practical secure aggregation for privacy-preserving
//! machine learning", figure 4): the server learns the sum of the clients' vectors and nothing else.
//!
//! Each client hides its vector under a mask shared with each other client, which cancel in the sum,
//! and one of its own. Keys and seeds are in shares with all clients, so that the server can take off
//! the masks of those that drop out, and the own ones of those that do not; a client never gives both
//! kinds of share of the same client, or the server could take off both.
//!
//! Here all clients are in one process, so messages are values that are handed over; shares are sealed
//! all the same, since they pass through the server. The server is honest but curious: rounds
//! of consistency against one that lies about who dropped out (section 6.2 of the paper) are not built.
//!
//! Masks are ChaCha20 streams over all 256 bits of what HKDF makes of an X25519 secret
//! (`keys`, `masks`); shares are Shamir's ([`shamir`]); reals become integers of 32 bits with a
//! stated range ([`fixed_point`]); sums are exact in integers modulo 2^32.

pub mod fixed_point;
mod keys;
mod masks;
pub mod protocol;
pub mod shamir;

use serde::{Deserialize, Serialize};

use crate::{Result, bail};

/// How a federation aggregates securely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Secure {
    /// Values of updates are cut off at this size.
    pub range: f64,
    /// Share of the clients of a round, rounded up, of which that many together can take off masks:
    /// fewer that stay lose the round, fewer that collude learn nothing.
    pub threshold: f64,
}

impl Default for Secure {
    fn default() -> Self {
        Secure { range: 1.0, threshold: 2.0 / 3.0 }
    }
}

impl Secure {
    /// Checks both values.
    ///
    /// # Errors
    /// Names the one that is out of range. A threshold of half or less would let a server play two
    /// groups of clients against each other.
    pub fn check(&self) -> Result<()> {
        let Secure { range, threshold } = *self;
        if !(range > 0.0 && range.is_finite()) {
            bail!(Config, "secure: range = {range} must be positive and finite, say 1.0");
        }
        if !(threshold > 0.5 && threshold <= 1.0) {
            bail!(Config, "secure: threshold = {threshold} must be in (0.5, 1], say 0.67");
        }
        Ok(())
    }

    /// Shares that are needed of `clients`.
    pub fn shares(&self, clients: usize) -> usize {
        ((self.threshold * clients as f64).ceil() as usize).clamp(1, clients.max(1))
    }
}
