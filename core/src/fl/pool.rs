//! Work on many clients by few workers, with results in the order of the clients.
//!
//! The server adds up in a fixed order, or its sums would depend on who was fast. So a result that
//! comes early waits, and a worker takes a new client only while fewer than two for each worker
//! are ahead of the server: that is the bound on updates that are held at a time. Handing out clients
//! in waves would bound them too, and leave workers idle at the end of each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Result;

/// Results that may be ahead of the server, for each worker.
pub(super) const AHEAD: usize = 2;
/// How often the caller is asked whether to stop.
const TICK: Duration = Duration::from_millis(50);

/// Who takes the next one, and how far the server is.
struct Line {
    at: Mutex<At>,
    moved: Condvar,
    stop: AtomicBool,
    count: usize,
    window: usize,
}

#[derive(Default)]
struct At {
    next: usize,
    done: usize,
    /// The most that were taken and not done at a time.
    peak: usize,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, At> {
        // A worker that panicked ends the scope with its panic; the numbers are whole all the same.
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<usize> {
        let mut at = self.lock();
        loop {
            if self.stop.load(Ordering::Relaxed) || at.next >= self.count {
                return None;
            }
            if at.next < at.done + self.window {
                at.next += 1;
                at.peak = at.peak.max(at.next - at.done);
                return Some(at.next - 1);
            }
            at = self.moved.wait(at).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self) {
        self.lock().done += 1;
        self.moved.notify_all();
    }

    fn stop(&self) {
        // Under the lock, so that nobody is between looking and waiting.
        let _at = self.lock();
        self.stop.store(true, Ordering::Relaxed);
        self.moved.notify_all();
    }
}

/// Lets the others go when a worker panics: they would wait for its result.
struct Guard<'a>(&'a Line);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

/// Has `job` done for `0..count` by the workers, and gives `sink` the results in that order. `tick` is
/// asked a few times a second whether to stop; `job` may look at its flag, which says that the rest is
/// not wanted. Returns the most results that existed or were being made at a time, at most
/// [`AHEAD`] for each worker.
///
/// # Errors
/// The first of the errors of `job`, `sink` and `tick`.
pub(super) fn ordered<W: Send, T: Send>(
    workers: &mut [W],
    count: usize,
    job: impl Fn(&mut W, usize, &AtomicBool) -> Result<T> + Sync,
    mut sink: impl FnMut(usize, T) -> Result<()>,
    mut tick: impl FnMut() -> Result<()>,
) -> Result<usize> {
    let line = Line {
        at: Mutex::default(),
        moved: Condvar::new(),
        stop: AtomicBool::new(false),
        count,
        window: AHEAD * workers.len(),
    };
    let outcome = std::thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        for worker in workers {
            let (send, line, job) = (send.clone(), &line, &job);
            scope.spawn(move || {
                let _guard = Guard(line);
                while let Some(i) = line.take() {
                    if send.send((i, job(worker, i, &line.stop))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let (mut early, mut outcome) = (BTreeMap::new(), Ok(()));
        loop {
            let heard = match receive.recv_timeout(TICK) {
                Ok((i, made)) => made.map(|made| {
                    early.insert(i, made);
                }),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if outcome.is_ok() {
                outcome = heard
                    .and_then(|()| tick())
                    .and_then(|()| pass_on(&line, &mut early, &mut sink));
                if outcome.is_err() {
                    line.stop();
                }
            }
        }
        outcome
    });
    outcome.map(|()| line.lock().peak)
}

/// Gives `sink` what is next in order, as far as it is there.
fn pass_on<T>(
    line: &Line,
    early: &mut BTreeMap<usize, T>,
    sink: &mut impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    loop {
        let next = line.lock().done;
        let Some(made) = early.remove(&next) else { return Ok(()) };
        sink(next, made)?;
        line.done();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::bail;

    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    static PEAK: AtomicUsize = AtomicUsize::new(0);

    /// A stand-in for an update, which counts how many there are.
    struct Counted(usize);

    impl Counted {
        fn new(value: usize) -> Self {
            let alive = ALIVE.fetch_add(1, Ordering::SeqCst) + 1;
            PEAK.fetch_max(alive, Ordering::SeqCst);
            Counted(value)
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn results_come_in_order_and_few_exist_at_a_time() {
        for threads in [1, 2, 5] {
            PEAK.store(0, Ordering::SeqCst);
            let mut workers = vec![(); threads];
            let mut seen = Vec::new();
            let job = |(): &mut (), i: usize, _: &AtomicBool| {
                // The first of them is slow, so that others come early.
                let slow = if i.is_multiple_of(7) { 5 } else { 0 };
                std::thread::sleep(Duration::from_millis(slow));
                Ok(Counted::new(i * i))
            };
            let sink = |i: usize, made: Counted| {
                seen.push((i, made.0));
                Ok(())
            };
            let peak = ordered(&mut workers, 100, job, sink, || Ok(())).unwrap();
            assert_eq!(seen, (0..100).map(|i| (i, i * i)).collect::<Vec<_>>());
            assert!(peak <= AHEAD * threads, "{peak} with {threads}");
            let held = PEAK.load(Ordering::SeqCst);
            assert!(held <= AHEAD * threads, "{held} with {threads}");
            assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
        }
    }

    #[test]
    fn an_error_ends_it() {
        let job = |(): &mut (), i: usize, _: &AtomicBool| match i {
            3 => bail!(Data, "client 3 is broken"),
            _ => Ok(i),
        };
        let failed = ordered(&mut [(), ()], 1000, job, |_, _| Ok(()), || Ok(())).unwrap_err();
        assert_eq!(failed.to_string(), "client 3 is broken");
        let fine = |(): &mut (), i: usize, _: &AtomicBool| Ok(i);
        let full = |i: usize, _| if i == 2 { bail!(Io, "full") } else { Ok(()) };
        assert!(ordered(&mut [(), ()], 1000, fine, full, || Ok(())).is_err());
        let stopped = || bail!(Cancelled, "stopped");
        assert!(ordered(&mut [()], 1000, fine, |_, _| Ok(()), stopped).is_err());
        assert_eq!(ordered(&mut [()], 0, fine, |_, _| Ok(()), || Ok(())).unwrap(), 0);
    }
}
