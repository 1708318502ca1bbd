//! The pauses between the turns of the sides, and whether the machine really rests in them.
//!
//! Worker threads spin for some milliseconds after their last work, and would take time from the side
//! that comes next: hence the pauses. What runs in them nevertheless is not ours, and it harms some
//! sides more than others: pools that spin while they wait slow down many times over when they have
//! to share a processor. So the report says how much there was.

use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(10);

/// Processor time, in ticks, of all processors since the start of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    all: u64,
}

/// The pauses of a benchmark so far.
#[derive(Debug, Default)]
pub(super) struct Rest {
    busy: u64,
    all: u64,
}

impl Rest {
    /// Waits until the workers of the side before have gone to sleep.
    pub(super) fn pause(&mut self) {
        // The first half is for them; what the second half sees is somebody else's.
        std::thread::sleep(PAUSE);
        let before = now();
        std::thread::sleep(PAUSE);
        if let (Some(before), Some(after)) = (before, now()) {
            self.busy += after.busy.saturating_sub(before.busy);
            self.all += after.all.saturating_sub(before.all);
        }
    }

    /// The share of the machine that others used; nothing where the system does not tell, or after
    /// too few pauses.
    pub(super) fn others(&self) -> Option<f64> {
        const ENOUGH: u64 = 40;
        (self.all >= ENOUGH).then(|| self.busy as f64 / self.all as f64)
    }
}

fn now() -> Option<Ticks> {
    ticks(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// Reads `cpu user nice system idle iowait irq softirq steal ...`; time that a host took away
/// (steal) is as good as busy.
fn ticks(stat: &str) -> Option<Ticks> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Option<Vec<u64>> =
        line.split_whitespace().take(8).map(|field| field.parse().ok()).collect();
    let fields = fields?;
    let idle = fields.get(3)? + fields.get(4)?;
    let all = fields.iter().sum::<u64>();
    Some(Ticks { busy: all - idle, all })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_all_but_idle_and_waiting_for_disks() {
        let stat = "cpu  10 1 20 300 40 2 3 4 50 60\ncpu0 1 2 3 4 5 6 7 8\n";
        assert_eq!(ticks(stat), Some(Ticks { busy: 40, all: 380 }));
        assert_eq!(ticks("intr 1 2"), None);
        assert_eq!(ticks("cpu 1 x"), None);
    }

    #[test]
    fn a_share_needs_enough_pauses() {
        assert_eq!(Rest { busy: 5, all: 30 }.others(), None);
        assert_eq!(Rest { busy: 50, all: 200 }.others(), Some(0.25));
    }
}
