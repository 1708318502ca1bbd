//! Flags of the commands that check what privacy is claimed: `audit dp` and `dp ledger`.

use std::path::PathBuf;

use clap::{Args as Flags, Subcommand};

/// Flags of `audit`.
#[derive(Flags)]
pub(crate) struct Audit {
    /// What to audit.
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

/// The commands of `audit`.
#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Attacks this program's noisy steps with canaries; fails if they leak more than is claimed.
    Dp(Box<AuditDp>),
    /// Makes samples of a run's classes from its weights, and has another network judge them.
    Inversion(super::AuditInversion),
    /// Reconstructs training records of a run from gradients, updates, or outputs.
    Reconstruction(Box<super::AuditReconstruction>),
    /// Attacks the updates that nodes of a federation sent, as their server could.
    Updates(super::AuditUpdates),
    /// Guesses masked fields of a run's records from the rest of them and its model.
    Attributes(super::AuditAttributes),
    /// Attacks the training data of runs: can they be told from other samples?
    Membership(Box<super::AuditMembership>),
    /// Trains a run again with secrets in its data: would they come back?
    Exposure(Box<super::AuditExposure>),
}

/// Flags of `audit dp`.
#[derive(Flags)]
pub(crate) struct AuditDp {
    /// Folder of a private run, whose steps and claim are audited; writes dp.json there, which
    /// `inocula evaluate` takes up. Without it, name the steps by the flags below.
    #[arg(conflicts_with_all = ["sampling_rate", "noise_multiplier", "steps", "delta", "claim"])]
    pub(crate) run: Option<PathBuf>,
    /// Replaces an earlier dp.json.
    #[arg(long, requires = "run")]
    pub(crate) force: bool,
    /// Probability with which a sample joins a batch.
    #[arg(long, allow_negative_numbers = true, required_unless_present = "run")]
    pub(crate) sampling_rate: Option<f64>,
    /// Standard deviation of the noise over the clipping norm.
    #[arg(long, allow_negative_numbers = true, required_unless_present = "run")]
    pub(crate) noise_multiplier: Option<f64>,
    /// Noisy steps.
    #[arg(long, allow_negative_numbers = true, required_unless_present = "run")]
    pub(crate) steps: Option<u64>,
    /// Probability with which the claim may fail.
    #[arg(long, allow_negative_numbers = true, required_unless_present = "run")]
    pub(crate) delta: Option<f64>,
    /// Canaries, each in the data or not by a coin: more show more, and take longer.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1000)]
    pub(crate) canaries: usize,
    /// Probability with which the audit refutes no claim that holds.
    #[arg(long, default_value_t = 0.95, allow_negative_numbers = true)]
    pub(crate) confidence: f64,
    /// Seed of the coins, the batches and the noise.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Epsilon that is claimed; what the accountant says if left out.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) claim: Option<f64>,
    /// Accountant.
    #[arg(long, default_value = "pld", help = super::accountants_help())]
    pub(crate) accountant: String,
    /// Device that clips and sums.
    #[arg(long, default_value = crate::backends::DEFAULT)]
    pub(crate) backend: String,
    /// Prints JSON; of a run, dp.json has it.
    #[arg(long, conflicts_with = "run")]
    pub(crate) json: bool,
}

/// Flags of `dp ledger`.
#[derive(Flags)]
pub(crate) struct DpLedger {
    /// The ledger of a run.
    pub(crate) file: PathBuf,
    /// Probability with which the bound may fail; that of the ledger if left out.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) delta: Option<f64>,
    /// Accountant.
    #[arg(long, default_value = "pld", help = super::accountants_help())]
    pub(crate) accountant: String,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
