//! Flags of `evaluate`: which models, which attacks, and which modes of evaluation.

use std::path::PathBuf;

use clap::Args as Flags;
use inocula_core::attack::ATTACKS;
use inocula_core::evaluate::Target;
use inocula_core::metrics::Norm;

use super::{NoCheckFlags, attacks_help, listed};

/// Flags of `evaluate`.
#[derive(Flags)]
pub(crate) struct Evaluate {
    /// Folders of runs made by `inocula train`, all on the same data; the first is the baseline.
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// TOML file with the plan; flags override it.
    #[arg(long, short)]
    pub(crate) config: Option<PathBuf>,
    /// Norm of the budget: linf, l2, l1 or l0.
    #[arg(long)]
    pub(crate) norm: Option<Norm>,
    /// Budget, in units of the data's values.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) eps: Option<f64>,
    /// Attacks within the budget, of any access, the strongest last.
    #[arg(long, value_delimiter = ',', help = attacks_help())]
    pub(crate) attacks: Option<Vec<String>>,
    /// Also aims the strongest attack at classes: `next`, the number of one, or `others` for every other
    /// class in turn; separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "CLASS", allow_negative_numbers = true)]
    pub(crate) target: Vec<Target>,
    /// The most queries per sample of attacks without gradients.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) queries: Option<usize>,
    /// Attacks without a budget, for the distribution of the smallest change that fools.
    #[arg(long, value_delimiter = ',', value_name = "ATTACK", help = minimal_help())]
    pub(crate) minimal: Option<Vec<String>>,
    /// Accuracy as the strongest attack takes more steps; those given after =, separated by commas.
    #[arg(
        long,
        value_delimiter = ',',
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1,2,5,10,20,50,100",
        value_name = "STEPS"
    )]
    pub(crate) steps_curve: Option<Vec<usize>>,
    /// Certificates to hold against the attacks: interval, crown_ibp or crown in linf, smoothing in l2, of
    /// 100 samples; separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "METHOD")]
    pub(crate) certify: Option<Vec<String>>,
    /// Deviation of the noise of smoothing.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) sigma: Option<f64>,
    /// Draws that bound how often smoothing gives a class; 100,000 by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) draws: Option<usize>,
    /// A further data set of the same shape and classes to measure on: `digits`, `mnist`, a folder of IDX
    /// files, a .csv or a .npz file; repeatable.
    #[arg(long, value_name = "DATA")]
    pub(crate) also: Vec<String>,
    /// Run folders of models that only make examples for the others, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "RUN")]
    pub(crate) transfer_from: Vec<PathBuf>,
    /// Run folders of models that are only shown the others' examples, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "RUN")]
    pub(crate) transfer_to: Vec<PathBuf>,
    /// Whether the attacks are checked.
    #[command(flatten)]
    pub(crate) check: NoCheckFlags,
    /// Test samples attacked, drawn at random; all by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) samples: Option<usize>,
    /// Folder for report.json and report.html.
    #[arg(long, short, default_value = "inocula-report")]
    pub(crate) out: PathBuf,
    /// Replaces an earlier report in the folder.
    #[arg(long)]
    pub(crate) force: bool,
    /// Seed of random starts and of the choice of samples; the baseline's by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Device spec; the baseline's by default.
    #[arg(long)]
    pub(crate) backend: Option<String>,
}

fn minimal_help() -> String {
    let minimal = ATTACKS.iter().filter(|a| a.minimal).map(|a| (a.name, a.summary));
    listed(
        "Attacks without a budget, for the distribution of the smallest change that fools",
        minimal,
    )
}
