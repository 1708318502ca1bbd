//! What is compared: networks, attacks, budgets. An attack is stated once, as the program's configuration;
//! the script reads the constants that it gives the other tools from there.

/// A network of the oracles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// That of the golden vectors, naturally trained.
    Cnn,
    /// The published network of Zhang et al. (2019), robust at eps 0.3.
    Trades,
}

impl Network {
    pub(super) fn preset(self) -> &'static str {
        match self {
            Network::Cnn => "small-cnn",
            Network::Trades => "trades-small-cnn",
        }
    }

    pub(super) fn file(self) -> &'static str {
        match self {
            Network::Cnn => "cnn.safetensors",
            Network::Trades => "models/trades_smallcnn.safetensors",
        }
    }
}

/// What of a row is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// Which images hold.
    Held,
    /// How far the fooled ones were moved.
    Distance,
}

/// An attack on a network.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) network: Network,
    /// The attack as a configuration file.
    pub(super) attack: &'static str,
    pub(super) measure: Measure,
    /// Whether chance decides what it finds.
    pub(super) chance: bool,
}

impl Row {
    /// Its images where `wanted` are asked for: attacks by decisions take thousands of queries each.
    pub(super) fn samples(&self, wanted: u64) -> u64 {
        if self.by_decisions() { (wanted / 5).max(1) } else { wanted }
    }

    fn by_decisions(&self) -> bool {
        ["hop_skip_jump", "boundary"].iter().any(|kind| self.attack.contains(kind))
    }
}

const fn held(name: &'static str, network: Network, attack: &'static str) -> Row {
    Row { name, network, attack, measure: Measure::Held, chance: false }
}

const fn by_chance(row: Row) -> Row {
    Row { chance: true, ..row }
}

const fn nearest(name: &'static str, attack: &'static str) -> Row {
    Row { name, network: Network::Cnn, attack, measure: Measure::Distance, chance: false }
}

use Network::{Cnn, Trades};

/// Every row. Of attacks with a budget the images that hold are compared, of the others the distances.
pub(super) const ROWS: &[Row] = &[
    held("FGSM, Linf 0.1", Cnn, "type = 'fgsm'\nnorm = 'linf'\neps = 0.1"),
    held("FGM, L2 1.5", Cnn, "type = 'fgsm'\nnorm = 'l2'\neps = 1.5"),
    by_chance(held(
        "PGD-40, Linf 0.1",
        Cnn,
        "type = 'pgd'\nnorm = 'linf'\neps = 0.1\nstep = 0.01\nsteps = 40\nrandom_start = true",
    )),
    by_chance(held(
        "PGD-40, L2 1.5",
        Cnn,
        "type = 'pgd'\nnorm = 'l2'\neps = 1.5\nstep = 0.1\nsteps = 40\nrandom_start = true",
    )),
    by_chance(held(
        "PGD-40, L1 10",
        Cnn,
        "type = 'pgd'\nnorm = 'l1'\neps = 10.0\nstep = 1.0\nsteps = 40\nrandom_start = true",
    )),
    held(
        "MI-FGSM-20, Linf 0.1",
        Cnn,
        "type = 'mi_fgsm'\nnorm = 'linf'\neps = 0.1\nstep = 0.01\nsteps = 20\ndecay = 1.0",
    ),
    by_chance(held(
        "APGD-CE-50, Linf 0.1",
        Cnn,
        "type = 'apgd'\nnorm = 'linf'\neps = 0.1\nsteps = 50",
    )),
    by_chance(held("APGD-CE-50, L2 1.5", Cnn, "type = 'apgd'\nnorm = 'l2'\neps = 1.5\nsteps = 50")),
    by_chance(held("APGD-CE-50, L1 10", Cnn, "type = 'apgd'\nnorm = 'l1'\neps = 10.0\nsteps = 50")),
    by_chance(held(
        "APGD-T-50, Linf 0.1",
        Cnn,
        "type = 'apgd'\nnorm = 'linf'\neps = 0.1\nsteps = 50\nloss = 'dlr'\ntargets = 9",
    )),
    by_chance(held(
        "Square-500, Linf 0.1",
        Cnn,
        "type = 'square'\nnorm = 'linf'\neps = 0.1\nqueries = 500",
    )),
    by_chance(held(
        "Square-500, L2 1.5",
        Cnn,
        "type = 'square'\nnorm = 'l2'\neps = 1.5\nqueries = 500",
    )),
    held(
        "rotation and shift, 30 degrees, 3 pixels",
        Cnn,
        "type = 'spatial'\ndegrees = 30.0\npixels = 3.0\nangles = 31\nshifts = 5",
    ),
    nearest(
        "C&W, L2",
        "type = 'cw'\nnorm = 'l2'\nsteps = 300\nsearches = 6\nweight = 0.01\nlr = 0.01",
    ),
    nearest("DeepFool, L2", "type = 'deep_fool'\nnorm = 'l2'\nsteps = 50\novershoot = 0.02"),
    nearest("DeepFool, Linf", "type = 'deep_fool'\nnorm = 'linf'\nsteps = 50\novershoot = 0.02"),
    nearest("DDN-100, L2", "type = 'ddn'\nnorm = 'l2'\nsteps = 100"),
    nearest("FMN-100, Linf", "type = 'fmn'\nnorm = 'linf'\nsteps = 100"),
    nearest("FMN-100, L2", "type = 'fmn'\nnorm = 'l2'\nsteps = 100"),
    nearest("FMN-100, L1", "type = 'fmn'\nnorm = 'l1'\nsteps = 100"),
    nearest("FMN-100, L0", "type = 'fmn'\nnorm = 'l0'\nsteps = 100"),
    by_chance(nearest("FAB-T-20, Linf", "type = 'fab'\nnorm = 'linf'\nsteps = 20\ntargets = 9")),
    by_chance(nearest("FAB-T-20, L2", "type = 'fab'\nnorm = 'l2'\nsteps = 20\ntargets = 9")),
    nearest(
        "EAD, L1",
        "type = 'ead'\nnorm = 'l1'\nsteps = 100\nsearches = 9\nweight = 0.001\nbeta = 0.01\nlr = 0.01",
    ),
    by_chance(nearest(
        "HopSkipJump-2000, L2",
        "type = 'hop_skip_jump'\nnorm = 'l2'\nqueries = 2000",
    )),
    by_chance(nearest(
        "HopSkipJump-2000, Linf",
        "type = 'hop_skip_jump'\nnorm = 'linf'\nqueries = 2000",
    )),
    by_chance(nearest("Boundary-2000, L2", "type = 'boundary'\nnorm = 'l2'\nqueries = 2000")),
    held("TRADES: FGSM, Linf 0.3", Trades, "type = 'fgsm'\nnorm = 'linf'\neps = 0.3"),
    by_chance(held(
        "TRADES: PGD-40, Linf 0.3",
        Trades,
        "type = 'pgd'\nnorm = 'linf'\neps = 0.3\nstep = 0.01\nsteps = 40\nrandom_start = true",
    )),
    by_chance(held(
        "TRADES: APGD-CE-50, Linf 0.3",
        Trades,
        "type = 'apgd'\nnorm = 'linf'\neps = 0.3\nsteps = 50",
    )),
    by_chance(held(
        "TRADES: APGD-T-20, Linf 0.3",
        Trades,
        "type = 'apgd'\nnorm = 'linf'\neps = 0.3\nsteps = 20\nloss = 'dlr'\ntargets = 9",
    )),
    by_chance(held(
        "TRADES: Square-500, Linf 0.3",
        Trades,
        "type = 'square'\nnorm = 'linf'\neps = 0.3\nqueries = 500",
    )),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::root;

    #[test]
    fn names_tell_rows_apart() {
        for (i, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..i].iter().all(|other| other.name != row.name), "{}", row.name);
        }
    }

    #[test]
    fn every_row_has_a_peer_that_is_asked_by_its_kind_and_norm() {
        let script = std::fs::read_to_string(root().join("tests/peers/strength_tools.py")).unwrap();
        for row in ROWS {
            let value = |key: &str| {
                let line = row.attack.lines().find_map(|line| line.strip_prefix(key))?;
                Some(line.trim_start_matches(" = ").replace('\'', "\""))
            };
            let norm = value("norm").unwrap_or_else(|| "None".into());
            let key = format!("({}, {norm}):", value("type").unwrap());
            assert!(script.contains(&key), "{}: no tool has {key}", row.name);
        }
    }
}
