//! The tools that one would use otherwise, as sides: scripts in `tests/peers` that speak the lines of
//! the runner.
//!
//! They keep their own defaults, but for the number of threads. What Python costs is part of what
//! they cost: a user pays it too.

use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::rc::Rc;

use serde_json::json;

use super::plan::Task;
use super::side::{Side, Starter};
use super::with_threads;
use crate::workspace::root;

/// The peers, as `tests/peers/peer.py` names them.
pub(super) const PEERS: &[&str] =
    &["pytorch", "torchattacks", "foolbox", "art", "opacus", "opacus_ghost"];

/// How the peer of this name is started.
pub(super) fn starter(
    python: &Path,
    name: &'static str,
    inputs: PathBuf,
    threads: usize,
) -> Starter {
    let python = python.to_owned();
    Rc::new(move || {
        let mut command = Program::new(&python);
        command.arg(root().join("tests/peers/peer.py")).arg(name);
        command.arg("--inputs").arg(&inputs).args(["--threads", &threads.to_string()]);
        // Some draw a bar of progress for every batch.
        command.env("TQDM_DISABLE", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        with_threads(command, threads)
    })
}

/// The rows that a peer can do, all of which must be `known`: a name that is spelt otherwise would
/// be a comparison that quietly does not take place.
///
/// # Errors
/// The peer does not say, or has a row that is not known.
pub(super) fn rows(peer: &mut dyn Side, known: &[Task]) -> Result<Vec<String>, String> {
    let reply = peer.ask(&json!({ "do": "rows" }))?;
    let list = reply["rows"].as_array().ok_or_else(|| format!("{reply} instead of rows"))?;
    let names: Vec<String> =
        list.iter().filter_map(|row| row["name"].as_str().map(str::to_owned)).collect();
    match names.iter().find(|name| !known.iter().any(|task| task.name == **name)) {
        Some(odd) => Err(format!("its row {odd:?} is not one of the runner's")),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::super::agree::Tolerance;
    use super::*;
    use serde_json::Value;

    struct Peer(Value);

    impl Side for Peer {
        fn ask(&mut self, _: &Value) -> Result<Value, String> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn rows_of_peers_are_the_runners() {
        let tolerance = Tolerance { relative: 0.0, outliers: 0.0 };
        let task = Task { suite: "ops".into(), name: "add".into(), flops: 0.0, tolerance };
        let mut peer = Peer(json!({ "rows": [{ "name": "add" }] }));
        assert_eq!(rows(&mut peer, std::slice::from_ref(&task)), Ok(vec!["add".into()]));
        let why = rows(&mut peer, &[]).unwrap_err();
        assert_eq!(why, "its row \"add\" is not one of the runner's");
        assert!(rows(&mut Peer(json!({})), &[task]).is_err());
    }

    #[test]
    fn the_script_knows_the_same_peers() {
        let script = std::fs::read_to_string(root().join("tests/peers/peer.py")).unwrap();
        let list = format!("PEERS = {PEERS:?}");
        assert!(script.contains(&list), "{list}");
    }
}
