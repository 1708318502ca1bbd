//! The tools that `bench --peers` compares with, in a virtual environment of their own.

use std::path::PathBuf;

use super::environment::Environment;

const PEERS: Environment = Environment { name: "peers", pins: "tests/peers/requirements.txt" };

/// The Python of the virtual environment that has the peers; makes it unless it is there already.
///
/// # Errors
/// In one line, what is missing or failed.
pub(crate) fn python() -> Result<PathBuf, String> {
    PEERS.make()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::environment::{loose, read};
    use crate::workspace::root;

    #[test]
    fn every_pin_is_exact() {
        assert_eq!(loose(PEERS.pins), [""; 0]);
        let pins = read(&root().join(PEERS.pins)).unwrap();
        for tool in ["torch==", "torchattacks==", "foolbox==", "opacus=="] {
            assert!(pins.lines().any(|line| line.starts_with(tool)), "{tool}");
        }
    }
}
