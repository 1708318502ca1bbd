//! `membership.json`: what `inocula audit membership` found about a run, for `inocula evaluate` to take
//! up, so that one report has all.
//!
//! It names the weights that it is about by their checksum: a run that was trained anew must not be
//! reported with the leak of the old one.

use std::path::Path;

use inocula_core::report::{MembershipReport, ProgramSection};
use inocula_core::{Error, ErrorKind, Result, fs};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Name of the file in the run folder.
pub(crate) const FILE: &str = "membership.json";
/// Larger files are refused.
const MAX_BYTES: u64 = 64 << 20;
/// Larger weights are refused.
const MAX_WEIGHTS: u64 = 8 << 30;

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MembershipAudit {
    /// When it ended: RFC 3339, UTC.
    pub(crate) created: String,
    /// The program that ran.
    pub(crate) program: ProgramSection,
    /// Name of the run.
    pub(crate) model: String,
    /// SHA-256 of the weights.
    pub(crate) weights: String,
    /// The seed.
    pub(crate) seed: u64,
    /// The device spec of the target.
    pub(crate) backend: String,
    /// Training samples judged.
    pub(crate) members: usize,
    /// Test samples judged.
    pub(crate) non_members: usize,
    /// Test samples compared with.
    pub(crate) population: usize,
    /// Shadow models; none if no attack needed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shadows: Option<ShadowSection>,
    /// The attacks.
    pub(crate) attacks: Vec<MembershipReport>,
}

/// The shadow models of an audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShadowSection {
    /// How many.
    pub(crate) count: usize,
    /// Samples that each was trained on.
    pub(crate) samples: usize,
    /// The device spec of each.
    pub(crate) backend: String,
    /// Mean time that one took, in seconds.
    pub(crate) seconds: f64,
}

/// SHA-256 of the weights of the run `folder`.
pub(crate) fn weights(folder: &Path) -> Result<String> {
    let bytes = fs::read(folder.join("model.safetensors"), MAX_WEIGHTS)?;
    Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What an audit found about the run `folder`: its attacks, or a warning if it is about other weights;
/// nothing if there was no audit.
pub(crate) fn found(folder: &Path) -> Result<Option<Result<Vec<MembershipReport>, String>>> {
    let path = folder.join(FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let audit: MembershipAudit =
        serde_json::from_slice(&fs::read(&path, MAX_BYTES)?).map_err(|e| {
            let what = format!("{}: {e}; run `inocula audit membership` again", path.display());
            Error::new(ErrorKind::Data, what)
        })?;
    if audit.weights == weights(folder)? {
        return Ok(Some(Ok(audit.attacks)));
    }
    let again = format!("inocula audit membership {} --force", folder.display());
    Ok(Some(Err(stale(&path, &again))))
}

/// The warning that `path` is of an audit of other weights, which the command `again` would renew.
pub(crate) fn stale(path: &Path, again: &str) -> String {
    format!("{} is about other weights and was left out; run `{again}`", path.display())
}
