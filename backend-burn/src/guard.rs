//! Keeps what goes wrong inside Burn from getting out as anything but an error.
//!
//! Burn's kernels report failures by panicking. A device must not take the program down with it, so
//! every call into Burn passes through [`contained`]. The message that the program's panic hook
//! prints is left alone: the hook belongs to the whole process, and a library that replaced it would
//! race with every other panic.

use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn_backend::ExecutionError;
use inocula_core::{Error, ErrorKind, Result};

/// Runs `body`; a panic in it becomes an error that names `what` was attempted.
///
/// Nothing that outlives a call is left half-written by a panic: results are handed over whole, and
/// operands are shared or were given away.
pub(crate) fn contained<T>(what: impl Display, body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let why = first_line(text(&*payload));
        let message = format!("{what}: burn failed: {why}; if this repeats, use another device");
        Err(Error::new(ErrorKind::Backend, message))
    })
}

/// A failure that Burn reports without panicking.
pub(crate) fn failed(what: impl Display, err: &ExecutionError) -> Error {
    let whole = err.to_string();
    // The first line says only that something failed; the cause is on a later one.
    let mut lines = whole.lines().map(str::trim);
    let why = lines.rfind(|line| !line.is_empty() && !line.ends_with("Caused by:"));
    let why = why.unwrap_or("no reason was given");
    let message = format!("{what}: {why}; free some memory or open the device again");
    Error::new(ErrorKind::Backend, message)
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}

fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("a panic")
}
