//! One row on all sides: results first, then rounds in turns.
//!
//! Sides take turns, a round each, so that whatever else the machine does meets all of them; and who
//! begins changes from round to round. A side that fails or disagrees is out, and the others go on.

use std::path::Path;

use serde_json::{Value, json};

use super::agree::{Agreement, Array, Tolerance, agree, read};
use super::plan::Task;
use super::rest::Rest;
use super::results::{Cell, Outcome, Row};
use super::side::Side;

/// Where a side takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// In every suite.
    Everywhere,
    /// In this one.
    Suite(&'static str),
    /// Nowhere: it is there for its results.
    Reference,
}

/// A side with its name.
pub(super) struct Entry {
    pub(super) name: String,
    /// Whether it is a tool that is compared with: it may lack rows and outputs.
    pub(super) peer: bool,
    pub(super) part: Part,
    /// The rows that it can do; all where it does not say.
    pub(super) rows: Option<Vec<String>>,
    pub(super) side: Box<dyn Side>,
}

impl Entry {
    fn can(&self, task: &Task) -> bool {
        let here = match self.part {
            Part::Everywhere => true,
            Part::Suite(suite) => suite == task.suite,
            Part::Reference => false,
        };
        here && self.rows.as_ref().is_none_or(|rows| rows.contains(&task.name))
    }

    fn seconds(&mut self, row: &str) -> Result<f64, String> {
        let reply = self.side.ask(&json!({ "do": "measure", "row": row }))?;
        match reply["seconds"].as_f64() {
            Some(seconds) if seconds >= 0.0 => Ok(seconds),
            _ => Err(format!("{reply} instead of seconds")),
        }
    }
}

/// How rows are measured.
pub(super) struct Method<'a> {
    pub(super) rounds: usize,
    /// Where results are exchanged.
    pub(super) folder: &'a Path,
    /// Whose results are right.
    pub(super) reference: &'a str,
}

/// A side at its row.
struct Turn<'a> {
    entry: &'a mut Entry,
    seconds: Vec<f64>,
    agreement: Option<Agreement>,
    /// Why it is out.
    out: Option<Outcome>,
}

/// Measures `task` on every side that can do it.
pub(super) fn measure(
    task: &Task,
    entries: &mut [Entry],
    method: &Method<'_>,
    rest: &mut Rest,
) -> Row {
    let reference = entries
        .iter_mut()
        .find(|e| e.name == method.reference)
        .ok_or_else(|| format!("there is no {}", method.reference))
        .and_then(|e| result(&mut *e.side, &task.name, method.folder));
    let mut turns: Vec<Turn<'_>> = entries
        .iter_mut()
        .filter(|e| e.can(task))
        .map(|entry| Turn { entry, seconds: Vec::new(), agreement: None, out: None })
        .collect();
    for turn in &mut turns {
        turn.compare(task, &reference, method);
        turn.warm(&task.name);
    }
    for round in 0..method.rounds {
        let count = turns.len();
        for i in 0..count {
            turns[(round + i) % count].round(&task.name, rest);
        }
    }
    Row {
        suite: task.suite.clone(),
        name: task.name.clone(),
        flops: task.flops,
        limit: None,
        cells: turns.into_iter().map(Turn::finish).collect(),
    }
}

impl Turn<'_> {
    fn compare(
        &mut self,
        task: &Task,
        reference: &Result<Vec<Array>, String>,
        method: &Method<'_>,
    ) {
        let want = match reference {
            Ok(want) => want,
            Err(why) if self.entry.name == method.reference => {
                self.out = Some(Outcome::Failed(why.clone()));
                return;
            }
            Err(why) => {
                self.out = Some(Outcome::Failed(format!("no reference to compare with: {why}")));
                return;
            }
        };
        if self.entry.name == method.reference {
            return;
        }
        match result(&mut *self.entry.side, &task.name, method.folder) {
            Err(why) => self.out = Some(Outcome::Failed(why)),
            Ok(got) => match agree(&got, want, !self.entry.peer, task.tolerance) {
                Ok(agreement) => self.agreement = Some(agreement),
                Err(why) => self.out = Some(Outcome::Disagrees(why)),
            },
        }
    }

    fn warm(&mut self, row: &str) {
        if self.out.is_none()
            && let Err(why) = self.entry.side.ask(&json!({ "do": "warm", "row": row }))
        {
            self.out = Some(Outcome::Failed(why));
        }
    }

    fn round(&mut self, row: &str, rest: &mut Rest) {
        if self.out.is_some() {
            return;
        }
        rest.pause();
        match self.entry.seconds(row) {
            Ok(seconds) => self.seconds.push(seconds),
            Err(why) => self.out = Some(Outcome::Failed(why)),
        }
    }

    fn finish(self) -> Cell {
        let timed = Outcome::Timed { seconds: self.seconds, agreement: self.agreement };
        Cell { side: self.entry.name.clone(), outcome: self.out.unwrap_or(timed) }
    }
}

fn result(side: &mut dyn Side, row: &str, folder: &Path) -> Result<Vec<Array>, String> {
    let file = folder.join("result.f64");
    let request = json!({ "do": "result", "row": row, "file": file.to_string_lossy() });
    let reply = side.ask(&request)?;
    let arrays = read(&reply, &file);
    // What is left from one side must not pass for the result of the next.
    std::fs::remove_file(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    arrays
}

/// The rows that a side has, in its order.
pub(super) fn rows(side: &mut dyn Side) -> Result<Vec<Task>, String> {
    let reply = side.ask(&json!({ "do": "rows" }))?;
    let list = reply["rows"].as_array().ok_or_else(|| format!("{reply} instead of rows"))?;
    list.iter().map(task).collect()
}

fn task(row: &Value) -> Result<Task, String> {
    let text = |key: &str| row[key].as_str().map(str::to_owned);
    let (Some(suite), Some(name)) = (text("suite"), text("name")) else {
        return Err(format!("{row} instead of a row"));
    };
    let number = |key: &str| row[key].as_f64().unwrap_or(0.0);
    let tolerance = Tolerance { relative: number("relative"), outliers: number("outliers") };
    Ok(Task { suite, name, flops: number("flops"), tolerance })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Gives `values` as the result of every row, and a second for every round.
    struct Fake {
        values: Vec<f64>,
        fails_at: &'static str,
        log: Rc<RefCell<Vec<f64>>>,
    }

    impl Side for Fake {
        fn ask(&mut self, request: &Value) -> Result<Value, String> {
            let what = request["do"].as_str().unwrap();
            if what == self.fails_at {
                return Err(format!("{what} broke"));
            }
            if let Some(file) = request["file"].as_str() {
                let bytes: Vec<u8> = self.values.iter().flat_map(|v| v.to_le_bytes()).collect();
                std::fs::write(file, bytes).unwrap();
            }
            if what == "measure" {
                self.log.borrow_mut().push(self.values[0]);
            }
            let shape = [self.values.len()];
            Ok(
                json!({ "seconds": 1.0, "repeats": 1, "outputs": [{ "name": "y", "shape": shape }] }),
            )
        }
    }

    struct Bench {
        entries: Vec<Entry>,
        log: Rc<RefCell<Vec<f64>>>,
    }

    impl Bench {
        fn of(sides: &[(&str, f64, &'static str)]) -> Self {
            let log = Rc::new(RefCell::new(Vec::new()));
            let entry = |&(name, value, fails_at): &(&str, f64, &'static str)| Entry {
                name: name.into(),
                peer: false,
                part: Part::Everywhere,
                rows: None,
                side: Box::new(Fake { values: vec![value; 3], fails_at, log: log.clone() }),
            };
            Bench { entries: sides.iter().map(entry).collect(), log }
        }

        fn run(&mut self, rounds: usize) -> Row {
            let folder = tempfolder();
            let tolerance = Tolerance { relative: 0.1, outliers: 0.0 };
            let (suite, name) = ("ops".into(), "add".into());
            let task = Task { suite, name, flops: 0.0, tolerance };
            let method = Method { rounds, folder: &folder, reference: "right" };
            let row = measure(&task, &mut self.entries, &method, &mut Rest::default());
            std::fs::remove_dir_all(&folder).unwrap();
            row
        }
    }

    fn tempfolder() -> std::path::PathBuf {
        let id = format!("{:?}", std::thread::current().id());
        let name = format!("xtask-measure-{}-{id}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn why(row: &Row, side: &str) -> String {
        match &row.cell(side).unwrap().outcome {
            Outcome::Timed { seconds, .. } => format!("{} rounds", seconds.len()),
            Outcome::Disagrees(why) => format!("disagrees: {why}"),
            Outcome::Failed(why) => format!("failed: {why}"),
        }
    }

    #[test]
    fn sides_take_turns_and_who_begins_changes() {
        let mut bench = Bench::of(&[("right", 1.0, ""), ("close", 1.01, "")]);
        let row = bench.run(3);
        assert_eq!(*bench.log.borrow(), [1.0, 1.01, 1.01, 1.0, 1.0, 1.01]);
        assert_eq!(why(&row, "right"), "3 rounds");
        let Outcome::Timed { agreement: Some(found), .. } = row.cells[1].outcome else {
            panic!("{row:?}");
        };
        assert!((found.deviation - 0.01).abs() < 1e-9);
    }

    #[test]
    fn a_side_that_fails_or_disagrees_leaves_the_others_in() {
        let mut bench = Bench::of(&[
            ("right", 1.0, ""),
            ("wrong", 2.0, ""),
            ("mute", 1.0, "result"),
            ("cold", 1.0, "warm"),
            ("late", 1.0, "measure"),
            ("good", 1.0, ""),
        ]);
        let row = bench.run(2);
        assert!(why(&row, "wrong").starts_with("disagrees: y: 3 of 3 values"), "{row:?}");
        assert_eq!(why(&row, "mute"), "failed: result broke");
        assert_eq!(why(&row, "cold"), "failed: warm broke");
        assert_eq!(why(&row, "late"), "failed: measure broke");
        assert_eq!((why(&row, "right"), why(&row, "good")), ("2 rounds".into(), "2 rounds".into()));
    }

    #[test]
    fn without_a_reference_there_is_no_time() {
        let mut bench = Bench::of(&[("right", 1.0, "result"), ("good", 1.0, "")]);
        let row = bench.run(2);
        assert_eq!(why(&row, "right"), "failed: result broke");
        assert_eq!(why(&row, "good"), "failed: no reference to compare with: result broke");
    }

    #[test]
    fn sides_take_part_where_they_are_to() {
        let mut bench = Bench::of(&[("right", 1.0, ""), ("here", 1.0, ""), ("there", 1.0, "")]);
        bench.entries[0].part = Part::Reference;
        bench.entries[1].part = Part::Suite("ops");
        bench.entries[2].part = Part::Suite("train");
        let row = bench.run(1);
        assert_eq!(row.cells.iter().map(|c| c.side.as_str()).collect::<Vec<_>>(), ["here"]);
    }

    #[test]
    fn peers_are_asked_only_for_their_rows() {
        let mut bench = Bench::of(&[("right", 1.0, ""), ("peer", 1.0, "")]);
        bench.entries[1].rows = Some(vec!["mul".into()]);
        let row = bench.run(1);
        assert!(row.cell("peer").is_none());
        bench.entries[1].rows = Some(vec!["add".into()]);
        assert!(bench.run(1).cell("peer").is_some());
    }

    #[test]
    fn rows_are_read_as_they_are_told() {
        struct Teller(Value);
        impl Side for Teller {
            fn ask(&mut self, _: &Value) -> Result<Value, String> {
                Ok(self.0.clone())
            }
        }
        let row = json!({ "suite": "ops", "name": "add", "flops": 2.0, "relative": 1e-3 });
        let found = rows(&mut Teller(json!({ "rows": [row] }))).unwrap();
        assert_eq!((found[0].name.as_str(), found[0].flops), ("add", 2.0));
        assert_eq!(found[0].tolerance.relative, 1e-3);
        assert!(rows(&mut Teller(json!({ "rows": [{ "name": "x" }] }))).is_err());
    }
}
