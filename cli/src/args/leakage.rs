//! Flags of the commands that attack the training data of a run: `audit inversion`, `audit
//! reconstruction` and `audit attributes`.

use std::path::PathBuf;

use clap::Args as Flags;
use inocula_core::nn::PRESETS;
use inocula_core::privacy::attributes::ATTACKS;
use inocula_core::privacy::inversion::INVERSIONS;
use inocula_core::privacy::reconstruction::METHODS;

/// Flags that all three have.
#[derive(Flags)]
pub(crate) struct AuditedRun {
    /// The run folder.
    pub(crate) run: PathBuf,
    /// Folder for the results; the run folder if left out, from where `evaluate` reports them.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Replaces the results of an earlier audit.
    #[arg(long)]
    pub(crate) force: bool,
    /// Device; that of the run if left out.
    #[arg(long)]
    pub(crate) backend: Option<String>,
    /// Seed of records, starts and noise; that of the run if left out.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
}

fn list(what: &str, entries: impl Iterator<Item = (&'static str, &'static str)>) -> String {
    let lines: Vec<String> = entries.map(|(name, summary)| format!("{name}: {summary}")).collect();
    format!("{what}, separated by commas:\n{}", lines.join("\n"))
}

fn inversions_help() -> String {
    list("Attacks", INVERSIONS.iter().map(|a| (a.name, a.summary)))
}

fn methods_help() -> String {
    let database = ("database", "the missing record of a convex model, from all others: exact");
    list("Methods", METHODS.iter().map(|m| (m.name, m.summary)).chain([database]))
}

fn attacks_help() -> String {
    list("Attacks", ATTACKS.iter().map(|a| (a.name, a.summary)))
}

fn presets_help() -> String {
    let names: Vec<&str> = PRESETS.iter().map(|p| p.name).collect();
    format!("Network that judges, trained apart: one of {}", names.join(", "))
}

/// Flags of `audit inversion`.
#[derive(Flags)]
pub(crate) struct AuditInversion {
    #[command(flatten)]
    pub(crate) audited: AuditedRun,
    #[arg(long, value_delimiter = ',', default_value = "miface,optimised", help = inversions_help())]
    pub(crate) attacks: Vec<String>,
    /// Classes to invert; all of them if left out.
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    pub(crate) classes: Option<Vec<i64>>,
    /// Inversions of a class by attacks that begin at random.
    #[arg(long, allow_negative_numbers = true, default_value_t = 4)]
    pub(crate) per_class: usize,
    /// Steps at most.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) steps: Option<usize>,
    /// Step size in units of the range of values.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) lr: Option<f64>,
    /// Weight of the total variation (optimised).
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) tv: Option<f64>,
    /// Weight of the distance from the middle of the range (optimised).
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) l2: Option<f64>,
    /// Confidence at which miface is done.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) confidence: Option<f64>,
    #[arg(long, help = presets_help())]
    pub(crate) evaluator: Option<String>,
    /// Passes of the evaluator's training.
    #[arg(long, allow_negative_numbers = true, default_value_t = 5)]
    pub(crate) evaluator_epochs: usize,
    /// Training samples of the evaluator at most.
    #[arg(long, allow_negative_numbers = true, default_value_t = 10_000)]
    pub(crate) evaluator_samples: usize,
}

/// Flags of `audit reconstruction`.
#[derive(Flags)]
pub(crate) struct AuditReconstruction {
    #[command(flatten)]
    pub(crate) audited: AuditedRun,
    #[arg(long, value_delimiter = ',', default_value = "cosine", help = methods_help())]
    pub(crate) method: Vec<String>,
    /// Records to attack.
    #[arg(long, allow_negative_numbers = true, default_value_t = 4)]
    pub(crate) samples: usize,
    /// Records that share a gradient, an update or outputs.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1)]
    pub(crate) batch: usize,
    /// The attacker knows the labels instead of reading them off the gradient.
    #[arg(long)]
    pub(crate) labels_known: bool,
    /// Attacks new weights of the same network, as in the first round of federated training.
    #[arg(long)]
    pub(crate) at_init: bool,
    /// Computes in f64.
    #[arg(long)]
    pub(crate) double: bool,
    /// Steps of a start.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) steps: Option<usize>,
    /// Starts.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) restarts: Option<usize>,
    /// Step size in units of the range of values (cosine, updates, features).
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) lr: Option<f64>,
    /// Weight of the total variation (cosine, updates, features).
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) tv: Option<f64>,
    /// Number of the layer whose outputs are seen, from 1 (features); the last if left out.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) layer: Option<usize>,
    /// Passes of a client over its records (updates).
    #[arg(long, allow_negative_numbers = true, default_value_t = 1)]
    pub(crate) local_epochs: usize,
    /// Records of a local step (updates).
    #[arg(long, allow_negative_numbers = true, default_value_t = 1)]
    pub(crate) local_batch: usize,
    /// Step size of a client (updates).
    #[arg(long, default_value_t = 0.01, allow_negative_numbers = true)]
    pub(crate) local_lr: f64,
    /// Norm to which a record's gradient is clipped before it is seen.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) clip: Option<f64>,
    /// Standard deviation over that norm of noise on the gradients.
    #[arg(long, default_value_t = 0.0, requires = "clip", allow_negative_numbers = true)]
    pub(crate) noise_multiplier: f64,
    /// Training records of the convex model (database).
    #[arg(long, allow_negative_numbers = true, default_value_t = 300)]
    pub(crate) records: usize,
    /// L2 penalty of the convex model (database).
    #[arg(long, default_value_t = 0.01, allow_negative_numbers = true)]
    pub(crate) penalty: f64,
    /// PSNR in decibels from which a record counts as recovered.
    #[arg(long, default_value_t = 20.0, allow_negative_numbers = true)]
    pub(crate) recovered_from: f64,
}

/// Flags of `audit attributes`.
#[derive(Flags)]
pub(crate) struct AuditAttributes {
    #[command(flatten)]
    pub(crate) audited: AuditedRun,
    /// Masked fields, separated by commas: a column from 0, a range such as 3..7 for the indicators of a
    /// text, or the name of a column of a table.
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) fields: Vec<String>,
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "map-confusion,map-likelihood,black-box",
        help = attacks_help()
    )]
    pub(crate) attacks: Vec<String>,
    /// Members to attack, and non-members, at most.
    #[arg(long, allow_negative_numbers = true, default_value_t = 200)]
    pub(crate) samples: usize,
}

/// Flags of `audit updates`.
#[derive(Flags)]
pub(crate) struct AuditUpdates {
    /// Folders of nodes, made by `inocula federate join`; results go to a run folder
    /// `NAME-update` within each, which `evaluate` takes.
    #[arg(required = true)]
    pub(crate) nodes: Vec<PathBuf>,
    /// Round whose update is attacked; the last one by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) round: Option<u64>,
    /// Steps of the search for records.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1000)]
    pub(crate) steps: usize,
    /// Starts of the search.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1)]
    pub(crate) restarts: usize,
    /// The attacker knows the labels instead of reading them off the update.
    #[arg(long)]
    pub(crate) labels_known: bool,
    /// PSNR from which a record counts as recovered, in decibels.
    #[arg(long, default_value_t = 20.0, allow_negative_numbers = true)]
    pub(crate) recovered_from: f64,
    /// Test samples that the node's are told from.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1000)]
    pub(crate) non_members: usize,
    /// Replaces the results of an earlier audit.
    #[arg(long)]
    pub(crate) force: bool,
    /// Device; that of the node by default.
    #[arg(long)]
    pub(crate) backend: Option<String>,
    /// Seed of starts and of the choice of test samples; that of the node by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
}
