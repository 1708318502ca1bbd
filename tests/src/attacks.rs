//! The attacks that suites go through.

use inocula_core::attack::{ATTACKS, Access, AttackEntry, Threat};

/// Those that take gradients, in some norm. Black-box attacks have a suite of their own, with small budgets of
/// queries.
pub fn white_box() -> impl Iterator<Item = &'static AttackEntry> {
    let takes_gradients = |entry: &&AttackEntry| {
        let Some(&norm) = entry.norms.first() else { return false };
        let usual = (entry.at)(Threat::new(norm, 1.0));
        matches!(usual.check().map(|attack| attack.access()), Ok(Access::Gradient))
    };
    ATTACKS.iter().filter(takes_gradients)
}
