//! Overheads that only show from outside of a process: starting it, opening its device, and listing
//! the backends with the program that users have.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::plan::OVERHEAD;
use super::results::{Cell, Outcome, Row};
use super::side::{Hello, Process, Starter, one_line};

/// Listing the backends may not be felt.
const LISTING_LIMIT: f64 = 0.1;

/// A backend that can be opened again and again.
pub(super) struct Launch {
    pub(super) name: String,
    pub(super) starter: Starter,
}

/// How long each backend takes to start, and its device to open, a new process for each round.
pub(super) fn starts(launches: &[Launch], rounds: usize) -> Vec<Row> {
    let mut opened: Vec<Timed> = launches.iter().map(|l| Timed::new(&l.name)).collect();
    let mut started: Vec<Timed> = launches.iter().map(|l| Timed::new(&l.name)).collect();
    for _ in 0..rounds {
        for (i, launch) in launches.iter().enumerate() {
            let start = Instant::now();
            let process = Process::start(launch.starter.clone());
            // Before the process is dropped, which waits for its end.
            let seconds = start.elapsed().as_secs_f64();
            let hello = process.map(|(_, hello)| hello);
            started[i].add(hello.as_ref().map(|_| seconds).map_err(Clone::clone));
            let told = |hello: Hello| hello.open_seconds.ok_or("it does not say how long".into());
            opened[i].add(hello.and_then(told));
        }
    }
    vec![row("open the device", opened), row("start a process", started)]
}

/// How long `inocula backends` takes.
pub(super) fn listing(program: &Result<std::path::PathBuf, String>, rounds: usize) -> Row {
    let mut timed = Timed::new("inocula");
    match program {
        Err(why) => timed.add(Err(why.clone())),
        // The first run finds cold caches of the file system, which is no business of the program.
        Ok(program) => (0..=rounds).for_each(|round| {
            let seconds = list(program);
            if round > 0 || seconds.is_err() {
                timed.add(seconds);
            }
        }),
    }
    Row { limit: Some(LISTING_LIMIT), ..row("inocula backends", vec![timed]) }
}

fn list(program: &Path) -> Result<f64, String> {
    let mut command = Command::new(program);
    command.arg("backends").stdin(Stdio::null());
    let start = Instant::now();
    let output = command.output().map_err(|e| format!("{}: {e}", program.display()))?;
    let seconds = start.elapsed().as_secs_f64();
    if output.status.success() {
        return Ok(seconds);
    }
    Err(one_line(&String::from_utf8_lossy(&output.stderr)))
}

/// The rounds of a side.
struct Timed {
    side: String,
    seconds: Vec<f64>,
    failed: Option<String>,
}

impl Timed {
    fn new(side: &str) -> Self {
        Timed { side: side.into(), seconds: Vec::new(), failed: None }
    }

    fn add(&mut self, seconds: Result<f64, String>) {
        match seconds {
            Ok(seconds) => self.seconds.push(seconds),
            Err(why) => self.failed = Some(why),
        }
    }

    fn cell(self) -> Cell {
        let timed = Outcome::Timed { seconds: self.seconds, agreement: None };
        Cell { side: self.side, outcome: self.failed.map_or(timed, Outcome::Failed) }
    }
}

fn row(name: &str, timed: Vec<Timed>) -> Row {
    let cells = timed.into_iter().map(Timed::cell).collect();
    Row { suite: OVERHEAD.into(), name: name.into(), flops: 0.0, limit: None, cells }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::rc::Rc;

    fn launch(name: &str, script: &'static str) -> Launch {
        let starter = move || {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        Launch { name: name.into(), starter: Rc::new(starter) }
    }

    fn rounds(row: &Row, side: &str) -> Result<Vec<f64>, String> {
        match row.cell(side).map(|cell| &cell.outcome) {
            Some(Outcome::Timed { seconds, .. }) => Ok(seconds.clone()),
            Some(Outcome::Disagrees(why) | Outcome::Failed(why)) => Err(why.clone()),
            None => Err("no cell".into()),
        }
    }

    #[test]
    fn every_round_starts_a_process() {
        let launches = [
            launch(
                "good",
                r#"echo '{"hello": {"name": "x", "version": "1", "device": "cpu", "threads": 2, "open_seconds": 0.25}}'"#,
            ),
            launch(
                "silent",
                r#"echo '{"hello": {"name": "x", "version": "1", "device": "cpu", "threads": 2}}'"#,
            ),
            launch("broken", r#"echo '{"error": "no device"}'"#),
        ];
        let rows = starts(&launches, 2);
        assert_eq!(rounds(&rows[0], "good"), Ok(vec![0.25, 0.25]));
        assert_eq!(rounds(&rows[0], "silent"), Err("it does not say how long".into()));
        assert_eq!(rounds(&rows[0], "broken"), Err("no device".into()));
        assert!(rounds(&rows[1], "silent").unwrap().iter().all(|s| *s > 0.0));
        assert_eq!(rounds(&rows[1], "broken"), Err("no device".into()));
    }

    #[test]
    fn a_program_that_does_not_list_is_no_time() {
        let found = listing(&Ok("true".into()), 2);
        assert_eq!(rounds(&found, "inocula").unwrap().len(), 2);
        assert!(rounds(&listing(&Ok("false".into()), 2), "inocula").is_err());
        assert_eq!(
            rounds(&listing(&Err("not built".into()), 2), "inocula"),
            Err("not built".into())
        );
    }
}
