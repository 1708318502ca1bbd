//! Panics end at the boundary, with what they said and where.
//!
//! Unwinding through C is undefined, so every exported function runs under [`catch`]. The default
//! hook would print to the program's stderr from within somebody else's library; while a guarded
//! function runs, the hook notes message and place for the error instead.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// How many guarded functions this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// What the last panic of this thread said, and where.
    static NOTE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Puts the noting hook in front of the one that is there. Once per copy of this crate.
pub(super) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            if DEPTH.get() == 0 {
                previous(info);
            } else {
                NOTE.with(|note| *note.borrow_mut() = Some(describe(info)));
            }
        }));
    });
}

/// What `f` returns, or what it panicked with.
pub(super) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    DEPTH.set(DEPTH.get() + 1);
    // What a panic may have left half-done is a device, which the caller poisons.
    let outcome = catch_unwind(AssertUnwindSafe(f));
    DEPTH.set(DEPTH.get() - 1);
    outcome.map_err(|payload| {
        let noted = NOTE.with(|note| note.borrow_mut().take());
        noted.unwrap_or_else(|| message(&*payload).to_owned())
    })
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
    format!("{}{}", message(info.payload()), place.unwrap_or_default())
}

fn message(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_and_the_next_call_is_not_touched_by_it() {
        install_hook();
        let said = catch(|| -> u8 { panic!("at {}", 7) }).unwrap_err();
        assert!(said.starts_with("at 7 (") && said.contains("panics.rs"), "{said}");
        assert_eq!(catch(|| 3), Ok(3));
    }
}
