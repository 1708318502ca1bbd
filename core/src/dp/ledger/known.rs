//! What the state of a run knows of its ledger, and whether a ledger comes up to it.
//!
//! A ledger cannot tell that records were cut off its end, or that it is another run's. The state of the
//! run is written beside it after steps, so it can: for the steps up to its own. What is not noticed is
//! the loss of records that came after the state, and another run's ledger whose first records are the
//! same bytes; of that one the steps that the state knows count as they should.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Contents;
use super::contents::parse;
use super::format::{self, SIZE, Seal};
use crate::dp::accounting::Mechanism;
use crate::{Error, ErrorKind, Result};

/// A place in a ledger, and all that stands before it: the seal is a digest of header and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Records before it.
    pub(super) records: u64,
    /// Seal of the last of them, or of the header.
    pub(super) seal: Seal,
}

/// What a state knows of the ledger of its run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Known {
    /// The noisy steps that it counts.
    pub steps: Vec<Mechanism>,
    /// Where the ledger was when the state was made, if there was one.
    pub mark: Option<Mark>,
}

impl Known {
    /// Whether no step is known, so that none can be missing.
    pub(super) fn is_nothing(&self) -> bool {
        self.steps() == 0 && self.mark.is_none_or(|mark| mark.records == 0)
    }

    fn steps(&self) -> u64 {
        total(self.steps.iter())
    }

    /// The contents of the file at `path`, which is `bytes`.
    ///
    /// # Errors
    /// It is no ledger, is damaged, or lacks something of what is known.
    pub(super) fn check(&self, path: &Path, bytes: &[u8]) -> Result<Contents> {
        if bytes.len() < SIZE {
            return Err(self.refusal(path, "has no steps"));
        }
        let (contents, end) = parse(bytes).map_err(|err| err.context(path.display()))?;
        let recorded = contents.steps();
        if recorded < self.steps() {
            return Err(self.refusal(path, &format!("has {recorded} of them")));
        }
        let marked = self.mark.is_none_or(|mark| mark.records <= end.number && has(bytes, &mark));
        if !marked || self.lacks(&contents) {
            return Err(self.refusal(path, "does not have all of them as they were"));
        }
        Ok(contents)
    }

    /// Whether steps of some noise and rate are fewer than is known, torn records set against them: which
    /// noise those had, nothing tells.
    fn lacks(&self, contents: &Contents) -> bool {
        let key = |m: &Mechanism| (m.sampling_rate().to_bits(), m.noise_multiplier().to_bits());
        let mut missing = 0_u64;
        for (i, kind) in self.steps.iter().enumerate() {
            if self.steps[..i].iter().any(|earlier| key(earlier) == key(kind)) {
                continue;
            }
            let known = total(self.steps.iter().filter(|m| key(m) == key(kind)));
            let recorded = contents.entries.iter().map(|e| &e.mechanism);
            let recorded = total(recorded.filter(|m| key(m) == key(kind)));
            missing = missing.saturating_add(known.saturating_sub(recorded));
        }
        missing > contents.torn
    }

    /// The refusal of a ledger that `fault`.
    pub(super) fn refusal(&self, path: &Path, fault: &str) -> Error {
        let message = format!(
            "{}: the state of the run knows of {} noisy steps, and the ledger {fault}: epsilon would be \
             under-counted; restore the ledger from a copy, or begin anew with --force in place of --resume",
            path.display(),
            self.steps()
        );
        Error::new(ErrorKind::Data, message)
    }
}

fn total<'a>(steps: impl Iterator<Item = &'a Mechanism>) -> u64 {
    steps.map(Mechanism::steps).fold(0, u64::saturating_add)
}

/// Whether the ledger `bytes`, whose chain of seals was checked, has the mark in its place.
fn has(bytes: &[u8], mark: &Mark) -> bool {
    let blocks = bytes.as_chunks::<SIZE>().0;
    let at = usize::try_from(mark.records).ok().and_then(|records| blocks.get(records));
    at.is_some_and(|block| format::seal(block) == mark.seal)
}
