//! The attacks that suites go through.

use inocula_core::attack::{ATTACKS, Access, AttackEntry, Threat};

/// Those that take gradients. Black-box attacks have a suite of their own, with small budgets of
/// queries.
pub fn white_box() -> impl Iterator<Item = &'static AttackEntry> {
    let takes_gradients = |entry: &&AttackEntry| {
        let usual = (entry.at)(Threat::new(entry.norms[0], 1.0));
        matches!(usual.check().map(|attack| attack.access()), Ok(Access::Gradient))
    };
    ATTACKS.iter().filter(takes_gradients)
}
