//! The empirical audit against another system's bounds and against mechanisms that are broken on
//! purpose, and the privacy ledger against being killed.
//!
//! An audit that always passes is worthless, so for every way to break the mechanism there is a test
//! that it is caught, beside one that the right mechanism is not. Seeds are fixed.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

#[path = "audit/kill.rs"]
mod kill;
#[path = "audit/mechanisms.rs"]
mod mechanisms;
#[path = "audit/training.rs"]
mod training;
#[path = "audit/vectors.rs"]
mod vectors;
