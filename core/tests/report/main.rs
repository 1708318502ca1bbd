//! The report from the outside: what is written, what can be read back, and what the page holds.
//!
//! `INOCULA_REPORT_SAMPLE=<file>` makes the suite write the sample page there, to look at it.

// Fixtures and checks fail by panicking, outside test functions too.
#![allow(clippy::unwrap_used)]

mod edge;
mod html;
mod json;
mod markup;
mod modes;
mod sample;
mod tables;
