//! Threads, and when to wake them.
//!
//! A kernel offers its work as an iterator of independent items, usually chunks of its output. The
//! calling thread takes items itself, and workers from the device's own rayon pool take others from
//! the same iterator until it is empty: a worker that wakes late costs nothing, and uneven items
//! balance. Who computes an item never changes its value, so results do not depend on timing.

use std::sync::{Mutex, PoisonError};

use inocula_core::{Result, bail};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::simd::Isa;

/// Work, in elements touched by a cheap operation, below which no worker is woken.
const WORTH_WAKING: usize = 1 << 18;

/// Elements of one item when an elementwise operation is split.
pub(crate) const GRAIN: usize = 1 << 14;

/// The caller and its workers.
///
/// Tasks are called from loops: `for_each` would be a function of its own around them, compiled without
/// the instruction set unless it happens to be inlined.
pub(crate) struct Workers {
    threads: usize,
    isa: Isa,
    workers: Option<ThreadPool>,
}

impl Workers {
    /// `threads` threads, the caller's among them, that use the registers of an instruction set.
    pub(crate) fn new(threads: usize, isa: Isa) -> Result<Self> {
        if threads <= 1 {
            return Ok(Workers { threads: 1, isa, workers: None });
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads - 1)
            .thread_name(|i| format!("inocula-ndarray-{}", i + 1))
            .build();
        match pool {
            Ok(pool) => Ok(Workers { threads, isa, workers: Some(pool) }),
            Err(err) => {
                bail!(Backend, "ndarray: cannot start {threads} threads: {err}; ask for fewer")
            }
        }
    }

    /// How many threads there are, the caller's among them.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// The instruction set that tasks run on.
    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Whether work of this size, in elements touched by a cheap operation, pays for a worker.
    pub(crate) fn worth(&self, work: usize) -> bool {
        self.workers.is_some() && work >= WORTH_WAKING
    }

    /// Runs `task` on every item, on all threads if `work` is worth it.
    ///
    /// A task with a loop of arithmetic is best a closure that is `#[inline(always)]`: what is not
    /// inlined is compiled without the instruction set.
    pub(crate) fn each<I>(&self, work: usize, items: I, task: impl Fn(I::Item) + Sync)
    where
        I: Iterator<Item: Send> + Send,
    {
        self.each_with(
            work,
            items,
            || (),
            #[inline(always)]
            |(), item| task(item),
        );
    }

    /// Runs `task` on every item with scratch space that each thread makes once.
    pub(crate) fn each_with<I, S>(
        &self,
        work: usize,
        items: I,
        scratch: impl Fn() -> S + Sync,
        task: impl Fn(&mut S, I::Item) + Sync,
    ) where
        I: Iterator<Item: Send> + Send,
    {
        let most = items.size_hint().1.unwrap_or(usize::MAX);
        match &self.workers {
            Some(pool) if most > 1 && self.worth(work) => {
                let batch = (items.size_hint().0 / (self.threads * 16)).clamp(1, 64);
                let queue = Mutex::new(items);
                let drain = || {
                    let mut scratch = scratch();
                    let mut batched = Vec::with_capacity(batch);
                    while refill(&queue, &mut batched, batch) {
                        let items = batched.drain(..);
                        self.isa.run(
                            #[inline(always)]
                            || {
                                for item in items {
                                    task(&mut scratch, item);
                                }
                            },
                        );
                    }
                };
                let workers = (self.threads - 1).min(most - 1);
                pool.in_place_scope(|scope| {
                    for _ in 0..workers {
                        scope.spawn(|_| drain());
                    }
                    drain();
                });
            }
            _ => {
                let mut scratch = scratch();
                self.isa.run(
                    #[inline(always)]
                    || {
                        for item in items {
                            task(&mut scratch, item);
                        }
                    },
                );
            }
        }
    }
}

/// Takes up to `most` items, so that small ones do not queue for the lock; false if none is left.
fn refill<I: Iterator>(queue: &Mutex<I>, batch: &mut Vec<I::Item>, most: usize) -> bool {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    batch.extend(queue.by_ref().take(most));
    !batch.is_empty()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_item_is_done_once_whoever_does_it() {
        for threads in 1..4 {
            let workers = Workers::new(threads, Isa::Portable).unwrap();
            for work in [0, usize::MAX] {
                let mut done = vec![0; 1000];
                let scratches = AtomicUsize::new(0);
                workers.each_with(
                    work,
                    done.chunks_mut(7).enumerate(),
                    || scratches.fetch_add(1, Ordering::Relaxed),
                    |_, (i, chunk)| chunk.iter_mut().for_each(|d| *d += i + 1),
                );
                assert!(done.iter().enumerate().all(|(i, &d)| d == i / 7 + 1));
                let made = scratches.into_inner();
                assert!(made >= 1 && made <= if work == 0 { 1 } else { threads });
            }
        }
    }

    #[test]
    fn callers_from_several_threads_share_the_helpers() {
        let workers = Workers::new(3, Isa::Portable).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut out = vec![0usize; 10_000];
                    for _ in 0..20 {
                        workers.each(usize::MAX, out.chunks_mut(100), |c| {
                            c.iter_mut().for_each(|v| *v += 1);
                        });
                    }
                    assert!(out.iter().all(|&v| v == 20));
                });
            }
        });
    }
}
