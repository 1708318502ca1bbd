//! Flags of the commands that attack the training data: `audit membership` and `audit exposure`.

use std::path::PathBuf;

use clap::Args as Flags;
use inocula_core::metrics::Norm;
use inocula_core::privacy::membership::MEMBERSHIP;

/// Flags of `audit membership`.
#[derive(Flags)]
pub(crate) struct AuditMembership {
    /// Folders of runs made by `inocula train`.
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Attacks, separated by commas; all but boundary, and robust only with --eps, by default.
    #[arg(long, value_delimiter = ',', help = attacks_help())]
    pub(crate) attacks: Option<Vec<String>>,
    /// Shadow models, an even number from 4 on: each is trained as the run was, on a random half of
    /// training and test part together.
    #[arg(long, allow_negative_numbers = true, default_value_t = 16)]
    pub(crate) shadows: usize,
    /// Shadow models trained at the same time, each on one thread; as many as there are processors by
    /// default. The result does not depend on it.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) jobs: Option<usize>,
    /// Training samples judged, drawn at random; all by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) members: Option<usize>,
    /// Test samples judged, drawn at random; all but the population by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) non_members: Option<usize>,
    /// Test samples that are not judged but compared with (rmia): a fifth up to 1000 by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) population: Option<usize>,
    /// Asks models about shifts of each picture by up to so many pixels too (lira).
    #[arg(long, allow_negative_numbers = true, default_value_t = 0, value_name = "PIXELS")]
    pub(crate) shifts: u8,
    /// Asks about mirror images too (lira).
    #[arg(long)]
    pub(crate) flips: bool,
    /// Budget of the adversarial versions of robust, in units of the data's values.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) eps: Option<f64>,
    /// Norm of that budget: linf, l2 or l1.
    #[arg(long, default_value = "linf")]
    pub(crate) norm: Norm,
    /// The most queries per sample of boundary.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1000)]
    pub(crate) queries: usize,
    /// Folder for membership.json and the shadow models; the run's by default, and a folder per run
    /// within it for several. Shadow models that are there are not trained again.
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Replaces an earlier membership.json.
    #[arg(long)]
    pub(crate) force: bool,
    /// Seed of samples, halves and shadow models; the run's by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Device spec; the run's by default.
    #[arg(long)]
    pub(crate) backend: Option<String>,
}

/// Flags of `audit exposure`.
#[derive(Flags)]
pub(crate) struct AuditExposure {
    /// Folder of a run made by `inocula train`: its training is repeated with canaries in the data.
    pub(crate) run: PathBuf,
    /// Digits of a secret.
    #[arg(long, allow_negative_numbers = true, default_value_t = 4)]
    pub(crate) digits: u32,
    /// First feature that the secret takes the place of.
    #[arg(long, allow_negative_numbers = true, default_value_t = 0, value_name = "FEATURE")]
    pub(crate) at: usize,
    /// How digits are written: one-hot (ten features a digit) or level (one); one-hot where it fits and
    /// the network reads no tokens.
    #[arg(long)]
    pub(crate) encoding: Option<String>,
    /// Canaries in the training data.
    #[arg(long, allow_negative_numbers = true, default_value_t = 10)]
    pub(crate) canaries: usize,
    /// Canaries kept out of it, as controls.
    #[arg(long, allow_negative_numbers = true, default_value_t = 10)]
    pub(crate) controls: usize,
    /// Times that each canary is in the training data.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1)]
    pub(crate) repeats: usize,
    /// Secrets tried for each canary, drawn at random; all of them by default, up to 100,000.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) sampled: Option<u64>,
    /// Folder for exposure.json; the run's by default.
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Replaces an earlier exposure.json.
    #[arg(long)]
    pub(crate) force: bool,
    /// Seed of the canaries; the run's by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Device spec; the run's by default.
    #[arg(long)]
    pub(crate) backend: Option<String>,
}

fn attacks_help() -> String {
    super::listed("Attacks", MEMBERSHIP.iter().map(|a| (a.name, a.summary)))
}
