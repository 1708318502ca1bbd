//! When a row is warm, and how long one round of it takes.
//!
//! The device is waited for after every run, not once a round: the figure is the time until a result
//! is there, and backends that queue work would else be credited with overlapping runs.

use std::time::{Duration, Instant};

use inocula_core::Result;

use crate::row::Work;
use crate::scale::Scale;

/// More runs than this make no round steadier.
const MOST_REPEATS: f64 = 1e5;

/// Work that takes this many seconds warms itself, and once is enough.
const LONG: f64 = 1.0;

/// Decides how long rows are warmed, and how many runs make a round.
pub(crate) struct Timer {
    warm: Duration,
    round: Duration,
}

impl Timer {
    pub(crate) fn new(scale: &Scale) -> Self {
        Timer { warm: scale.warm, round: scale.round }
    }

    /// Runs `work` until it is warm (twice unless it is long: the first run allocates, compiles and
    /// fills caches); how many runs a round takes.
    pub(crate) fn warm(&self, work: &mut dyn Work) -> Result<usize> {
        let start = Instant::now();
        let mut once = round(work, 1)?;
        if once < LONG {
            once = round(work, 1)?;
        }
        while start.elapsed() < self.warm {
            once = round(work, 1)?.min(once);
        }
        Ok((self.round.as_secs_f64() / once.max(1e-9)).ceil().clamp(1.0, MOST_REPEATS) as usize)
    }
}

/// Seconds per run of a round of `repeats` runs.
pub(crate) fn round(work: &mut dyn Work, repeats: usize) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..repeats {
        work.run()?;
    }
    Ok(start.elapsed().as_secs_f64() / repeats as f64)
}
