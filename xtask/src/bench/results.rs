//! What a run of the benchmark found, as data: the contents of `bench.json`, of which the tables and
//! pictures are made, and with which a later run compares.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::agree::Agreement;
use super::host::Host;
use super::side::Hello;
use super::stats::Summary;

/// Raised when a field changes its meaning.
pub(super) const FORMAT: u32 = 1;

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) format: u32,
    pub(super) host: Host,
    /// Threads that every side was told to use.
    pub(super) threads: usize,
    pub(super) rounds: usize,
    /// Small sizes: the times mean nothing.
    pub(super) smoke: bool,
    /// Share of the machine that other programs used in the pauses, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) others: Option<f64>,
    pub(super) sides: Vec<About>,
    /// What was to be measured and could not be opened.
    pub(super) absent: Vec<Absent>,
    pub(super) rows: Vec<Row>,
}

/// A side of the comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct About {
    /// Name in the tables.
    pub(super) side: String,
    /// Whether it is a tool that is compared with, rather than a backend.
    pub(super) peer: bool,
    #[serde(flatten)]
    pub(super) hello: Hello,
}

/// What was not measured, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Absent {
    pub(super) side: String,
    pub(super) reason: String,
}

/// What was measured, on every side that can do it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) suite: String,
    pub(super) name: String,
    /// Multiplications and additions of a run, where they decide its time; else 0.
    #[serde(default)]
    pub(super) flops: f64,
    /// Seconds that it may take at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<f64>,
    pub(super) cells: Vec<Cell>,
}

/// A row on one side.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) side: String,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

/// How measuring ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// Seconds per run, one number for each round, and how far the result was from the reference's.
    Timed { seconds: Vec<f64>, agreement: Option<Agreement> },
    /// The result is not that of the reference, so its time is of no interest.
    Disagrees(String),
    /// There is no result.
    Failed(String),
}

impl Cell {
    pub(super) fn summary(&self) -> Option<Summary> {
        match &self.outcome {
            Outcome::Timed { seconds, .. } => Summary::of(seconds),
            _ => None,
        }
    }
}

impl Row {
    /// The cell of a side.
    pub(super) fn cell(&self, side: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.side == side)
    }

    /// The median of a side that was timed.
    pub(super) fn median(&self, side: &str) -> Option<f64> {
        Some(self.cell(side)?.summary()?.median)
    }
}

impl Results {
    /// The suites that have rows, in their order.
    pub(super) fn suites(&self) -> Vec<&str> {
        let mut suites: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !suites.contains(&row.suite.as_str()) {
                suites.push(&row.suite);
            }
        }
        suites
    }

    /// The rows of a suite.
    pub(super) fn of_suite(&self, suite: &str) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.suite == suite)
    }

    /// Whether a side is a tool that is compared with.
    pub(super) fn is_peer(&self, side: &str) -> bool {
        self.sides.iter().any(|about| about.side == side && about.peer)
    }

    /// In one line, the backends that are wrong or fail somewhere; empty where none does.
    pub(super) fn faults(&self) -> String {
        let backends = || self.sides.iter().filter(|about| !about.peer);
        let count = |wanted: fn(&Outcome) -> bool| {
            let cells = self.rows.iter().flat_map(|row| &row.cells);
            let of_backend = |cell: &&Cell| backends().any(|about| about.side == cell.side);
            cells.filter(of_backend).filter(|cell| wanted(&cell.outcome)).count()
        };
        let disagree = count(|o| matches!(o, Outcome::Disagrees(_)));
        let failed = count(|o| matches!(o, Outcome::Failed(_)));
        let part = |n: usize, what: &str| (n > 0).then(|| format!("{n} {what}"));
        let parts = [part(disagree, "disagree with the reference"), part(failed, "failed")];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Reads `bench.json` of an earlier run.
    ///
    /// # Errors
    /// In one line, why the file cannot be used.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| failed(&e))?;
        let results: Results = serde_json::from_str(&text)
            .map_err(|e| failed(&format!("not the JSON of a benchmark: {e}")))?;
        if results.format != FORMAT {
            return Err(failed(&format!(
                "format {} where this program reads {FORMAT}; measure the baseline again",
                results.format
            )));
        }
        Ok(results)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn cell(side: &str, seconds: &[f64]) -> Cell {
        let outcome = Outcome::Timed { seconds: seconds.to_vec(), agreement: None };
        Cell { side: side.into(), outcome }
    }

    pub(crate) fn row(suite: &str, name: &str, cells: Vec<Cell>) -> Row {
        Row { suite: suite.into(), name: name.into(), flops: 0.0, limit: None, cells }
    }

    pub(crate) fn about(side: &str, peer: bool) -> About {
        let hello = Hello {
            name: side.into(),
            version: "1.2".into(),
            device: "cpu".into(),
            threads: 2,
            open_seconds: None,
        };
        About { side: side.into(), peer, hello }
    }

    pub(crate) fn results(rows: Vec<Row>) -> Results {
        let host = Host {
            cpu: "some cpu".into(),
            threads: 4,
            system: "linux x86_64".into(),
            rustc: "rustc 1".into(),
            commit: "abc".into(),
            version: "0.1.0".into(),
        };
        let sides = vec![about("ndarray", false), about("pytorch", true)];
        let (format, threads, rounds, smoke) = (FORMAT, 2, 3, false);
        let (others, absent) = (None, Vec::new());
        Results { format, host, threads, rounds, smoke, others, sides, absent, rows }
    }

    #[test]
    fn the_file_holds_everything() {
        let agreement = Some(Agreement { deviation: 1e-7, outliers: 0.0 });
        let timed = Outcome::Timed { seconds: vec![0.1, 0.2], agreement };
        let outcomes = [timed, Outcome::Disagrees("x".into()), Outcome::Failed("y".into())];
        let cells = outcomes.map(|outcome| Cell { side: "a".into(), outcome }).to_vec();
        let path = std::env::temp_dir().join(format!("xtask-results-{}", std::process::id()));
        let before = results(vec![row("ops", "add", cells)]);
        std::fs::write(&path, serde_json::to_string(&before).unwrap()).unwrap();
        let after = Results::read(&path);
        let newer = Results { format: FORMAT + 1, ..before.clone() };
        std::fs::write(&path, serde_json::to_string(&newer).unwrap()).unwrap();
        let refused = Results::read(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        let outcomes = |r: &Results| r.rows[0].cells.iter().map(|c| c.outcome.clone()).collect();
        let (before, after): (Vec<_>, Vec<_>) = (outcomes(&before), outcomes(&after.unwrap()));
        assert_eq!(before, after);
        assert!(refused.contains("measure the baseline again"), "{refused}");
    }

    #[test]
    fn faults_are_those_of_backends() {
        let bad = |side: &str, outcome: Outcome| Cell { side: side.into(), outcome };
        let rows = |side: &str| {
            let wrong = bad(side, Outcome::Disagrees("x".into()));
            let broken = bad(side, Outcome::Failed("y".into()));
            results(vec![row("ops", "add", vec![wrong]), row("ops", "mul", vec![broken])])
        };
        assert_eq!(rows("ndarray").faults(), "1 disagree with the reference, 1 failed");
        assert_eq!(rows("pytorch").faults(), "");
        assert_eq!(results(vec![]).faults(), "");
    }
}
