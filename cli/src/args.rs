//! Flags. Each command's flags override its configuration file.

mod audit;
mod check;
mod evaluate;
mod federate;
mod leakage;
mod privacy;
mod rows;

use std::path::PathBuf;

use clap::{ArgAction, Args as Flags, Parser, Subcommand};
use inocula_core::attack::{ATTACKS, Aim};
use inocula_core::dp::accounting::{ACCOUNTANTS, Sampling};
use inocula_core::metrics::Norm;
use inocula_core::nn::PRESETS;
use inocula_core::train::RULES;

pub(crate) use self::audit::{Audit, AuditCommand, AuditDp, DpLedger};
pub(crate) use self::check::{CheckFlags, NoCheckFlags};
pub(crate) use self::evaluate::Evaluate;
pub(crate) use self::federate::{
    ClientPrivacyFlags, Federate, FederateCommand, Init, Join, Simulate,
};
pub(crate) use self::leakage::{
    AuditAttributes, AuditInversion, AuditReconstruction, AuditUpdates, AuditedRun,
};
pub(crate) use self::privacy::{AuditExposure, AuditMembership};
pub(crate) use self::rows::Rows;

/// Trains classifiers against the attacks that would subvert them or leak their data, and measures
/// robustness, privacy and utility together.
#[derive(Parser)]
#[command(name = "inocula", version, max_term_width = 100)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Shows no progress.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// The commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Trains three models on handwritten digits, attacks each, and compares them: half a minute.
    Demo(Demo),
    /// Trains a model and writes it to a run folder.
    Train(Box<Train>),
    /// Trains in a federation of clients.
    Federate(Federate),
    /// Makes a run folder of weights that were trained elsewhere.
    Import(Import),
    /// Attacks a trained model.
    Attack(Attack),
    /// Proves what no attack within a budget can do to a trained model.
    Certify(Certify),
    /// Judges trained models against a baseline and writes a report.
    Evaluate(Box<Evaluate>),
    /// Accounts for differentially private training: epsilon of a noise, noise for an epsilon.
    Dp(Dp),
    /// Attacks the privacy of a mechanism, or of the data that a model was trained on.
    Audit(Audit),
    /// Downloads data sets.
    Data(Data),
    /// Lists the backends: built in, found as plugins, and what is missing of the others.
    Backends(Backends),
}

/// Flags of `backends`.
#[derive(Flags)]
pub(crate) struct Backends {
    /// Opens every device, and lists the places where plugins were looked for.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// Flags of `demo`.
#[derive(Flags)]
pub(crate) struct Demo {
    /// Folder for report.json and report.html.
    #[arg(long, default_value = "inocula-demo")]
    pub(crate) out: PathBuf,
    /// Seed of all randomness.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Device: ndarray, ndarray?threads=2, tch, tch:cuda:0, burn, burn:wgpu, or the path of a plugin.
    #[arg(long, default_value = crate::backends::DEFAULT)]
    pub(crate) backend: String,
}

/// What `train` and `import` share: where the data and the network come from, where the run goes.
#[derive(Flags)]
pub(crate) struct RunFlags {
    /// TOML file with the whole configuration; flags override it.
    #[arg(long, short)]
    pub(crate) config: Option<PathBuf>,
    /// Run folder to write.
    #[arg(long, short)]
    pub(crate) out: PathBuf,
    /// Replaces the result of an earlier run in the folder.
    #[arg(long)]
    pub(crate) force: bool,
    /// `digits`, `mnist`, `breast-cancer`, `german-credit`, `location30`, a folder of IDX files, a .csv
    /// or a .npz file.
    #[arg(long, short)]
    pub(crate) data: Option<String>,
    /// Network.
    #[arg(long, short, help = models_help())]
    pub(crate) model: Option<String>,
    /// Seed of all randomness, the split into training and test part included.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Device: ndarray, ndarray?threads=2, tch, tch:cuda:0, burn, burn:wgpu, or the path of a plugin.
    #[arg(long)]
    pub(crate) backend: Option<String>,
}

/// Flags of `train`.
#[derive(Flags)]
pub(crate) struct Train {
    /// The run.
    #[command(flatten)]
    pub(crate) run: RunFlags,
    /// Goes on with the unfinished run in --out, as it was configured.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Seconds between two writings of the state that --resume goes on with: 60 unless the run is
    /// private; after every step if it is.
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS")]
    pub(crate) checkpoint_every: Option<f64>,
    /// Training samples used, stratified by class.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) train_samples: Option<usize>,
    /// Passes over the data.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) epochs: Option<usize>,
    /// Samples a step.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) batch_size: Option<usize>,
    /// sgd, momentum, adam or rmsprop.
    #[arg(long)]
    pub(crate) optimizer: Option<String>,
    /// Learning rate.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) lr: Option<f64>,
    /// Rule of training.
    #[command(flatten)]
    pub(crate) rule: RuleFlags,
    /// Attack that training uses and monitors.
    #[command(flatten)]
    pub(crate) attack: AttackFlags,
    /// Differential privacy.
    #[command(flatten)]
    pub(crate) private: PrivateFlags,
}

/// The flags that make a training differentially private.
#[derive(Flags)]
pub(crate) struct PrivateFlags {
    /// Noise multiplier: standard deviation of the noise over the clipping norm.
    #[arg(long, allow_negative_numbers = true, value_name = "SIGMA")]
    pub(crate) dp_sigma: Option<f64>,
    /// Epsilon that training may spend, in place of a noise multiplier.
    #[arg(long, allow_negative_numbers = true, conflicts_with = "dp_sigma")]
    pub(crate) dp_epsilon: Option<f64>,
    /// Probability with which epsilon may fail; 1e-5 unless the file says otherwise.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) dp_delta: Option<f64>,
    /// Clipping norm of a sample's gradient; 1 unless the file says otherwise.
    #[arg(long, allow_negative_numbers = true, value_name = "NORM")]
    pub(crate) dp_clip: Option<f64>,
    /// How gradients are clipped: flat, per-layer, automatic or quantile.
    #[arg(long)]
    pub(crate) dp_clipping: Option<String>,
    /// Samples of a batch that are worked on at a time; memory grows with it, the result does not
    /// depend on it.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) dp_micro_batch: Option<usize>,
    /// Draws noise and batches from the seed, so that the run repeats: it is not private then.
    #[arg(long)]
    pub(crate) dp_seeded: bool,
}

/// The flags that describe a rule of training.
#[derive(Flags)]
pub(crate) struct RuleFlags {
    /// Rule.
    #[arg(long, help = rules_help())]
    pub(crate) rule: Option<String>,
    /// Share of adversarial samples of the mixed rule.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) ratio: Option<f64>,
    /// Weight of the divergence of the trades and mart rules; 6 unless the file says otherwise.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) beta: Option<f64>,
    /// Weight of gradient alignment of the fast rule; 0 for none.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) grad_align: Option<f64>,
    /// Steps on each batch of the free rule; 4 unless the file says otherwise.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) replays: Option<usize>,
    /// Weight of the clean loss of the certified rule at the end of its ramp; 0 unless the file says
    /// otherwise.
    #[arg(long, allow_negative_numbers = true, value_name = "WEIGHT")]
    pub(crate) clean: Option<f64>,
    /// Whether the certified rule mixes in linear bounds (CROWN-IBP) while its ball grows.
    #[arg(long, action = ArgAction::Set, value_name = "BOOL")]
    pub(crate) crown: Option<bool>,
    /// Standard deviation of the noise of the noise rule, in units of the data's values.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) sigma: Option<f64>,
    /// Run folders of other models that the ensemble rule makes samples on, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub(crate) sources: Option<Vec<PathBuf>>,
    /// Takes the losses of the rule at weights moved by this share of their length (adversarial
    /// weight perturbation).
    #[arg(long, allow_negative_numbers = true, value_name = "GAMMA")]
    pub(crate) awp: Option<f64>,
}

/// Flags of `certify`.
#[derive(Flags)]
pub(crate) struct Certify {
    /// Folder of a run made by `inocula train`.
    pub(crate) run: PathBuf,
    /// How: interval, crown_ibp or crown, bounds in Linf from the cheapest to the tightest; or
    /// smoothing, in L2.
    #[arg(long, default_value = "crown")]
    pub(crate) method: String,
    /// Budget that is certified, in units of the data's values.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) eps: f64,
    /// Standard deviation of the noise of smoothing.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) sigma: Option<f64>,
    /// Draws of noise with which smoothing bounds the vote; 100,000 by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) draws: Option<usize>,
    /// Test samples certified, drawn at random; all by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) samples: Option<usize>,
    /// Folder for certificate.json; a folder within the run by default.
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Replaces an earlier result in the folder.
    #[arg(long)]
    pub(crate) force: bool,
    /// Seed of the choice of samples and of the noise; the run's by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Device; the run's by default.
    #[arg(long)]
    pub(crate) backend: Option<String>,
}

/// Flags of `import`.
#[derive(Flags)]
pub(crate) struct Import {
    /// Weights as safetensors, with PyTorch's layouts: conv1.weight, conv1.bias, ..., fc1.weight.
    pub(crate) weights: PathBuf,
    /// The run.
    #[command(flatten)]
    pub(crate) run: RunFlags,
}

/// The flags that describe an attack.
#[derive(Flags, Clone)]
pub(crate) struct AttackFlags {
    /// Attack.
    #[arg(long, help = attacks_help())]
    pub(crate) attack: Option<String>,
    /// Norm of the budget: linf, l2, l1 or l0; the attack's usual one by default.
    #[arg(long)]
    pub(crate) norm: Option<Norm>,
    /// Budget, in units of the data's values. Attacks for the smallest change that fools, such as
    /// cw, do without.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) eps: Option<f64>,
    /// Steps of an iterated attack.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) steps: Option<usize>,
    /// The most queries per sample of an attack without gradients.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) queries: Option<usize>,
    /// Version of AutoAttack: standard, plus or rand.
    #[arg(long)]
    pub(crate) attack_version: Option<String>,
    /// Length of a step.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) step: Option<f64>,
    /// Random restarts.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) restarts: Option<usize>,
    /// Whether to start from a random point of the ball.
    #[arg(long, action = ArgAction::Set, value_name = "BOOL")]
    pub(crate) random_start: Option<bool>,
}

/// Flags of `attack`.
#[derive(Flags)]
pub(crate) struct Attack {
    /// Folder of a run made by `inocula train`.
    pub(crate) run: PathBuf,
    /// TOML file with an attack; flags override it.
    #[arg(long, short)]
    pub(crate) config: Option<PathBuf>,
    /// The attack.
    #[command(flatten)]
    pub(crate) attack: AttackFlags,
    /// Whether the attack is checked.
    #[command(flatten)]
    pub(crate) check: CheckFlags,
    /// Class to aim at: a number, `next` (the one after the label) or `none`.
    #[arg(long, default_value = "none")]
    pub(crate) target: Aim,
    /// Places of the test samples attacked, as in 0..1000; all by default. So a long attack can be run in
    /// parts: but for attacks that learn from all samples, their results are those of one run.
    #[arg(long)]
    pub(crate) rows: Option<Rows>,
    /// Test samples attacked, drawn at random (from --rows); all by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) samples: Option<usize>,
    /// Samples attacked at once, 256 by default: memory grows with it, results differ by rounding.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) batch_size: Option<usize>,
    /// Folder for attack.json and adversarial.npz; a folder within the run by default.
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Replaces an earlier result in the folder.
    #[arg(long)]
    pub(crate) force: bool,
    /// Seed of random starts; the run's by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Device spec; the run's by default.
    #[arg(long)]
    pub(crate) backend: Option<String>,
}

/// Flags of `dp`.
#[derive(Flags)]
pub(crate) struct Dp {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: DpCommand,
}

/// The commands of `dp`.
#[derive(Subcommand)]
pub(crate) enum DpCommand {
    /// Prints the epsilon that noisy steps spend.
    Epsilon(DpEpsilon),
    /// Prints the smallest noise multiplier that keeps noisy steps within an epsilon.
    Calibrate(DpCalibrate),
    /// Prints the epsilon that the steps of a ledger have spent.
    Ledger(DpLedger),
}

/// Flags of `dp epsilon`.
#[derive(Flags)]
pub(crate) struct DpEpsilon {
    /// Standard deviation of the noise over the clipping norm; `inf` spends nothing.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) noise_multiplier: f64,
    /// Steps with other values that follow, as SAMPLING_RATE,NOISE_MULTIPLIER,STEPS; repeatable.
    #[arg(long, value_name = "Q,S,T", allow_hyphen_values = true)]
    pub(crate) then: Vec<String>,
    /// What is accounted, and how.
    #[command(flatten)]
    pub(crate) account: AccountFlags,
}

/// Flags of `dp calibrate`.
#[derive(Flags)]
pub(crate) struct DpCalibrate {
    /// Epsilon that may be spent.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) epsilon: f64,
    /// What is accounted, and how.
    #[command(flatten)]
    pub(crate) account: AccountFlags,
}

/// What the commands of `dp` share.
#[derive(Flags)]
pub(crate) struct AccountFlags {
    /// Probability with which a sample joins a batch: the batch size over the samples.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) sampling_rate: f64,
    /// Noisy steps.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) steps: u64,
    /// Probability with which the bound may fail; well below one over the samples.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) delta: f64,
    /// Accountant.
    #[arg(long, default_value = "pld", help = accountants_help())]
    pub(crate) accountant: String,
    /// How batches are drawn: poisson, shuffled or fixed. The accountants assume poisson.
    #[arg(long, default_value = "poisson")]
    pub(crate) sampling: Sampling,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `data`.
#[derive(Flags)]
pub(crate) struct Data {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: DataCommand,
}

/// The commands of `data`.
#[derive(Subcommand)]
pub(crate) enum DataCommand {
    /// Downloads a data set and checks it against its known checksum.
    Get {
        /// Name of the data set: mnist.
        name: String,
        /// Folder to put it in; where `--data mnist` looks for it by default.
        #[arg(long)]
        to: Option<PathBuf>,
        /// Base address to download from, instead of the known mirrors.
        #[arg(long)]
        mirror: Option<String>,
    },
}

fn attacks_help() -> String {
    listed("Attacks", ATTACKS.iter().map(|a| (a.name, a.summary)))
}

fn rules_help() -> String {
    // Perturbed weights go around another rule, and have a flag of their own.
    let rules = RULES.iter().filter(|r| r.name != "awp");
    listed("Rule of training", rules.map(|r| (r.name, r.summary)))
}

fn accountants_help() -> String {
    listed("Accountant", ACCOUNTANTS.iter().map(|a| (a.name, a.summary)))
}

fn models_help() -> String {
    listed("Network", PRESETS.iter().map(|p| (p.name, p.summary)))
}

fn listed<'a>(what: &str, entries: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let entries: Vec<String> = entries.map(|(name, text)| format!("{name} ({text})")).collect();
    format!("{what}: {}", entries.join("; "))
}
