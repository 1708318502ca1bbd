//! Ctrl-C: a flag that long work looks at, so that it stops between two steps with nothing
//! half-written. A second one ends the process at once.

use std::sync::atomic::{AtomicBool, Ordering};

use inocula_core::{Error, ErrorKind, Result, bail};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Starts to watch for Ctrl-C and the termination signal.
pub(crate) fn watch() -> Result<()> {
    let handler = || {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot watch for Ctrl-C: {e}")))
}

/// Fails once a stop has been asked for.
pub(crate) fn check() -> Result<()> {
    if REQUESTED.load(Ordering::SeqCst) {
        bail!(Cancelled, "stopped as asked; no unfinished file was left behind");
    }
    Ok(())
}
