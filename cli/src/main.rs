//! The `inocula` command: trains, attacks and judges classifiers.
//!
//! Everything that computes is in the core crate; here are flags, configuration files, progress and
//! output. An error is one line on standard error and exit status 1; Ctrl-C is status 130. What the
//! parser refuses (an unknown flag) it explains in its own way, with status 2.

mod args;
mod audits;
mod backends;
mod commands;
mod config;
mod federation;
mod interrupt;
#[cfg(all(feature = "tch", unix))]
mod openmp;
mod output;
mod progress;
mod reporting;
mod runs;
mod staging;
mod unfinished;

use std::process::ExitCode;

use clap::Parser as _;
use inocula_core::ErrorKind;

fn main() -> ExitCode {
    #[cfg(all(feature = "tch", unix))]
    openmp::quiet();
    let args = args::Args::parse();
    let result = interrupt::watch().and_then(|()| commands::run(args));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            output::error(&err);
            match err.kind() {
                ErrorKind::Cancelled => ExitCode::from(130),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
