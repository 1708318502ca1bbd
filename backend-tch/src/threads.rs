//! How many threads an operation runs on.
//!
//! libtorch keeps that number for each thread that calls it, so every device can have its own: the
//! number is set on the calling thread when it comes from another device. What the program sets by
//! itself through libtorch on the same thread is overwritten then.

use std::cell::Cell;
use std::sync::OnceLock;

thread_local! {
    /// What was set last on this thread; 0 for nothing.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// libtorch's own choice: `OMP_NUM_THREADS`, or the number of cores. To be asked for before a number
/// is set: then libtorch would give that.
pub(crate) fn usual() -> usize {
    static CHOSEN: OnceLock<usize> = OnceLock::new();
    *CHOSEN.get_or_init(|| usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1))
}

/// Makes the calling thread's operations run on `threads` threads, itself among them.
pub(crate) fn run_on(threads: usize) {
    CURRENT.with(|current| {
        if current.get() != threads {
            tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
            current.set(threads);
        }
    });
}
