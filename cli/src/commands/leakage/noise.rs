//! What `inocula audit dp RUN` leaves in the folder of a private run.

use std::path::Path;

use inocula_core::dp::accounting::Spent;
use inocula_core::dp::audit::Verdict;
use inocula_core::report::{AuditedEpsilon, PrivacyBudget};
use inocula_core::{Result, bail};

use super::Audited;
use crate::args::{AuditDp, AuditedRun};

/// Stem of the file.
const NAME: &str = "dp";

/// A private run whose noisy steps are audited.
pub(in crate::commands) struct AuditedNoise {
    audited: Audited,
    budget: PrivacyBudget,
}

impl AuditedNoise {
    /// Opens the run.
    ///
    /// # Errors
    /// It is none, it is not private, or it was audited before and `--force` is not given.
    pub(in crate::commands) fn open(run: &Path, flags: &AuditDp) -> Result<Self> {
        let flags = AuditedRun {
            run: run.to_path_buf(),
            out: None,
            force: flags.force,
            backend: Some(flags.backend.clone()),
            seed: Some(flags.seed),
        };
        let audited = Audited::open(&flags, &format!("{NAME}.json"))?;
        let training = audited.run.metrics.training.as_ref();
        let Some(budget) = training.and_then(|t| t.privacy.clone()) else {
            bail!(
                Config,
                "{} was trained without noise, so no epsilon is claimed for it; audit a run of \
                 `inocula train --dp-epsilon`",
                run.display()
            );
        };
        Ok(AuditedNoise { audited, budget })
    }

    /// What is claimed for the run.
    pub(in crate::commands) fn budget(&self) -> &PrivacyBudget {
        &self.budget
    }

    /// Writes dp.json.
    pub(in crate::commands) fn publish(
        &self,
        verdict: &Verdict,
        claimed: &Spent,
        flags: &AuditDp,
    ) -> Result<()> {
        let result = AuditedEpsilon {
            epsilon: verdict.epsilon,
            delta: claimed.delta,
            claimed: claimed.epsilon,
            confidence: verdict.confidence,
            canaries: verdict.canaries,
            guesses: verdict.guesses,
            correct: verdict.correct,
            method: verdict.method.to_owned(),
            exceeded: verdict.exceeded,
        };
        let config = serde_json::json!({
            "accountant": flags.accountant,
            "canaries": flags.canaries,
            "confidence": flags.confidence,
        });
        self.audited.publish(NAME, config, &result, None)
    }
}
