//! Attacks made short: what holds of an attack with its usual number of queries must hold with few, and
//! suites that run every attack on every backend have the time for few.

use inocula_core::attack::{AttackConfig, Autoattack, Substitute};
use inocula_core::{Error, ErrorKind, Result};

/// The attack with at most so many queries per sample, where it has such a limit. The work of a substitute
/// grows with what it knows rather than with what it asks, so it asks fewer still; AutoAttack takes fewer
/// steps as well.
///
/// # Errors
/// Its configuration cannot be written down.
pub fn with_queries(config: &AttackConfig, queries: usize) -> Result<AttackConfig> {
    if let AttackConfig::Substitute(config) = config {
        let (queries, rounds, epochs) = (queries.min(30), 3, 10);
        return Ok(AttackConfig::Substitute(Substitute {
            queries,
            rounds,
            epochs,
            ..config.clone()
        }));
    }
    if let AttackConfig::Autoattack(config) = config {
        let steps = config.steps.min(10);
        return Ok(AttackConfig::Autoattack(Autoattack { queries, steps, ..config.clone() }));
    }
    let invalid = |err: serde_json::Error| Error::new(ErrorKind::Config, err.to_string());
    let mut fields = serde_json::to_value(config).map_err(invalid)?;
    if let Some(most) = fields.get_mut("queries") {
        *most = queries.into();
    }
    serde_json::from_value(fields).map_err(invalid)
}
