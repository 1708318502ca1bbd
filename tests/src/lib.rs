//! What every backend must hold, as suites that run once for each of them.
//!
//! A suite is a list of cases, a case a function of a device; [`harness::run`] makes a trial of
//! every case and backend, named `[backend] suite::case`. Random cases are drawn by proptest from
//! the table of operations ([`gens`]), so that a new operation is covered without a new test.

pub mod attacks;
pub mod brief;
pub mod files;
pub mod gens;
pub mod guide;
pub mod harness;
pub mod pairs;
pub mod rows;
pub mod tolerance;
