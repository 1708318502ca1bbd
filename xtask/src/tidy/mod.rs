//! `cargo xtask tidy`: the project's invariants, as code.
//!
//! A rule reads the tree and lists its violations, each one line that says where, what and what to
//! do. The same check is a test of this crate, so `cargo test` finds what the command would.

mod attacks;
mod code;
mod links;
mod manifests;
mod source;
mod tree;
mod words;

use std::fmt;

use crate::workspace::root;
use crate::{Command, Outcome};
use tree::Tree;

pub(crate) const COMMAND: Command = Command {
    name: "tidy",
    about: "Check the invariants of the project that the compiler does not",
    args: |command| command,
    run: |_| run(),
};

/// An invariant.
struct Rule {
    name: &'static str,
    check: fn(&Tree) -> Vec<Violation>,
}

/// Every invariant.
const RULES: &[Rule] = &[
    Rule { name: "unsafe-code", check: source::unsafe_code },
    Rule { name: "module-heads", check: source::module_heads },
    Rule { name: "file-length", check: source::file_length },
    Rule { name: "quiet-libraries", check: source::quiet_libraries },
    Rule { name: "dependencies", check: manifests::dependencies },
    Rule { name: "attack-table", check: attacks::attack_table },
    Rule { name: "words", check: words::words },
    Rule { name: "links", check: links::links },
];

/// A place where an invariant does not hold.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    path: String,
    /// From 1.
    line: usize,
    /// What is wrong, and what to do.
    what: String,
}

impl Violation {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Violation { path: path.into(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Checks every rule on the workspace.
pub(crate) fn run() -> Outcome {
    let tree = Tree::read(&root())?;
    let mut count = 0;
    for rule in RULES {
        for violation in (rule.check)(&tree) {
            println!("{violation} [{}]", rule.name);
            count += 1;
        }
    }
    match count {
        0 => {
            println!("tidy: {} files keep {} rules", tree.files.len(), RULES.len());
            Ok(())
        }
        1 => Err("1 violation; see above".into()),
        _ => Err(format!("{count} violations; see above")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let tree = Tree::read(&root()).unwrap();
        assert!(tree.files.iter().any(|f| f.path == "core/src/lib.rs"), "the tree was not found");
        let found: Vec<String> =
            RULES.iter().flat_map(|r| (r.check)(&tree)).map(|v| v.to_string()).collect();
        assert!(found.is_empty(), "\n{}", found.join("\n"));
    }
}
