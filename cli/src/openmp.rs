//! Has the threads of libtorch sleep while they wait.
//!
//! By default they spin for milliseconds after every operation, on cores that others need. OpenMP
//! reads its wish from the environment as its library is loaded. For a plugin the loader sets it
//! before that; a program that libtorch is linked into has loaded it before `main`, so it has to
//! start over.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

const VARIABLE: &str = "OMP_WAIT_POLICY";

/// Starts this program over with the variable set, unless it is.
pub(crate) fn quiet() {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // Returns only if it failed; then threads spin, which is slow but right.
        let _ =
            Command::new(program).args(std::env::args_os().skip(1)).env(VARIABLE, "PASSIVE").exec();
    }
}
