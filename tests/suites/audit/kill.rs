//! The ledger of a real process that is killed at random points: whatever it used is recorded.
//!
//! The process is this program, started again with one test and a variable that says where to work. It
//! appends a step to the ledger, then uses it, which is a line in a second file, and so on until it
//! is killed. It resumes from a checkpoint that lies a few steps back, as training does.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use inocula_core::dp::accounting::{Accountant, Mechanism, Sampling};
use inocula_core::dp::ledger::{self, Entry, Ledger, Terms};
use inocula_core::rng::Rng;

const KILLS: u64 = 60;
/// Steps between two checkpoints.
const CHECKPOINT: u64 = 7;
const TERMS: Terms = Terms { samples: 60_000, delta: 1e-5 };

/// How long a process that uses its steps too early takes to record them, so that some kill falls between
/// the two on any disk.
const DWELL: Duration = Duration::from_millis(2);

/// Where the process works, and whether it uses a step before it is recorded.
const FOLDER: &str = "INOCULA_TEST_LEDGER";
const TOO_EARLY: &str = "INOCULA_TEST_LEDGER_TOO_EARLY";

fn mechanism(steps: u64) -> Mechanism {
    Mechanism::new(0.01, 1.1, steps).unwrap()
}

/// Records and uses steps until it is killed.
fn run(folder: &Path) -> ! {
    let too_early = std::env::var_os(TOO_EARLY).is_some();
    let mut ledger = Ledger::open_or_create(folder.join("ledger"), TERMS).unwrap();
    let uses = folder.join("uses");
    let mut used = OpenOptions::new().create(true).append(true).open(&uses).unwrap();
    let last = used_steps(folder).last().copied().unwrap_or(0);
    for step in last - last % CHECKPOINT.. {
        let mut take = || used.write_all(&step.to_le_bytes()).unwrap();
        if too_early {
            take();
            std::thread::sleep(DWELL);
        }
        ledger.append(Entry { step, mechanism: mechanism(1) }).unwrap();
        if !too_early {
            take();
        }
    }
    unreachable!("steps do not end")
}

/// The steps that were used, in order.
fn used_steps(folder: &Path) -> Vec<u64> {
    let bytes = fs::read(folder.join("uses")).unwrap_or_default();
    bytes.as_chunks::<8>().0.iter().map(|step| u64::from_le_bytes(*step)).collect()
}

/// Starts the process for the test of that name, and kills it at a random point: while it starts,
/// opens the ledger, or after some steps, however long those take on a busy machine.
fn start_and_kill(folder: &Path, test: &str, too_early: bool, rng: &mut Rng) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test]).env(FOLDER, folder);
    if too_early {
        command.env(TOO_EARLY, "1");
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    if rng.bernoulli(0.7) {
        let enough = used_steps(folder).len() + 1 + rng.below(4);
        while used_steps(folder).len() < enough {
            assert!(child.try_wait().unwrap().is_none(), "the process ended by itself");
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    std::thread::sleep(Duration::from_micros(rng.below(8000) as u64));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// How often each step was used and not recorded: none, if the ledger keeps its promise.
fn uncounted(folder: &Path) -> u64 {
    let used = used_steps(folder);
    let path = folder.join("ledger");
    if used.is_empty() && fs::metadata(&path).map_or(0, |m| m.len()) < 64 {
        return 0;
    }
    let recorded = ledger::read(&path).unwrap();
    let mut counts = std::collections::HashMap::new();
    recorded.entries.iter().for_each(|e| *counts.entry(e.step).or_insert(0i64) += 1);
    used.iter().for_each(|step| *counts.entry(*step).or_insert(0) -= 1);
    counts.values().map(|n| n.min(&0).unsigned_abs()).sum()
}

fn folder_of_the_process() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

#[test]
fn whatever_is_killed_no_used_step_is_uncounted() {
    if let Some(folder) = folder_of_the_process() {
        run(&folder);
    }
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let mut rng = Rng::new(31);
    for kills in 1..=KILLS {
        let test = "kill::whatever_is_killed_no_used_step_is_uncounted";
        start_and_kill(folder, test, false, &mut rng);
        assert_eq!(uncounted(folder), 0, "after {kills} kills");
        let used = used_steps(folder).len() as u64;
        let recorded = ledger::read(folder.join("ledger")).map_or(0, |l| l.steps());
        assert!(recorded >= used && recorded <= used + kills, "{used} used, {recorded} recorded");
    }
    // The ledger gives the epsilon of what was released, at most a step a kill above it.
    let used = used_steps(folder).len() as u64;
    assert!(used > KILLS, "{used} steps in {KILLS} lives are too few to say anything");
    let accountant = Accountant::named("rdp").unwrap();
    let of =
        |steps| accountant.spent(&[mechanism(steps)], 1e-5, Sampling::Poisson).unwrap().epsilon;
    let resumed = Ledger::open_or_create(folder.join("ledger"), TERMS).unwrap();
    let spent = resumed.contents().spent(accountant, 1e-5).unwrap().epsilon;
    assert!(spent >= of(used) && spent <= of(used + KILLS), "{spent} for {used} steps");
}

/// The test above would notice: a process that uses steps before they are recorded is caught.
#[test]
fn a_process_that_uses_steps_too_early_is_caught() {
    if let Some(folder) = folder_of_the_process() {
        run(&folder);
    }
    let temp = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(32);
    let caught = (0..KILLS).any(|_| {
        let test = "kill::a_process_that_uses_steps_too_early_is_caught";
        start_and_kill(temp.path(), test, true, &mut rng);
        uncounted(temp.path()) > 0
    });
    assert!(caught, "{KILLS} kills did not hit a step between its use and its record");
}
