//! Flags of `federate`: those of `train`, which say what a client does, and those of the federation.

use std::path::PathBuf;

use clap::{Args as Flags, Subcommand};
use inocula_core::fl::{AGGREGATORS, ATTACKERS};

use super::{RunFlags, Train, listed};

/// Flags of `federate`.
#[derive(Flags)]
pub(crate) struct Federate {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: FederateCommand,
}

/// The commands of `federate`.
#[derive(Subcommand)]
pub(crate) enum FederateCommand {
    /// Trains a model in a federation of simulated clients and writes it to a run folder.
    Simulate(Box<Simulate>),
    /// Writes the weights that a federation starts from to a .npz file, for its server.
    Init(Init),
    /// Joins a Flower federation as a node: trains on its own data when the server asks for it.
    Join(Box<Join>),
}

/// Flags of `federate init`.
#[derive(Flags)]
#[command(mut_arg("out", |a| a.help("File to write, say initial.npz")))]
#[command(mut_arg("force", |a| a.help("Replaces the file")))]
pub(crate) struct Init {
    /// The network.
    #[command(flatten)]
    pub(crate) run: RunFlags,
}

/// Flags of `federate join`.
#[derive(Flags)]
#[command(mut_arg("epochs", |a| a.help("Passes over the data in a round; 1 without a file")))]
#[command(mut_arg("batch_size", |a| a.help("Samples a step; 32 without a file")))]
#[command(mut_arg("optimizer", |a| a.help("sgd, momentum, adam or rmsprop; sgd without a file")))]
#[command(mut_arg("out", |a| {
    a.help("Folder of the node: its key, its rounds, its updates; the same one rejoins as the same node")
}))]
#[command(mut_arg("resume", |a| a.hide(true)))]
#[command(mut_arg("force", |a| a.hide(true)))]
#[command(mut_arg("checkpoint_every", |a| a.hide(true)))]
pub(crate) struct Join {
    /// What the node does.
    #[command(flatten)]
    pub(crate) train: Train,
    /// The server, as HOST:PORT: a SuperLink of Flower 1.40 to 1.42.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) superlink: String,
    /// PEM file of the authority that the server's certificate is of; those of browsers by default.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) root_certificates: Option<PathBuf>,
    /// Speaks without TLS: for servers on this machine, and for tests.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// The part of the data that is this node's, as I/N: the first of three is 1/3. All by default.
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<String>,
    /// How samples are divided among the N nodes: iid, dirichlet (equal sizes) or dirichlet_by_class.
    #[arg(long)]
    pub(crate) partition: Option<String>,
    /// Concentration of the Dirichlet distribution; 0.5 unless the file says otherwise.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) alpha: Option<f64>,
    /// Rounds that the server is expected to have, over which a schedule runs; 10 unless the file says
    /// otherwise.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) rounds: Option<usize>,
    /// Leaves train_loss out of the metrics: for a federation of which other nodes train privately and tell
    /// none, because Flower's strategies want the same metrics of all.
    #[arg(long)]
    pub(crate) no_loss: bool,
    /// Seconds that the server may be away before the node gives up.
    #[arg(long, allow_negative_numbers = true, default_value_t = 300, value_name = "SECONDS")]
    pub(crate) patience: u64,
    /// Updates that are kept in the folder, the last ones.
    #[arg(long, allow_negative_numbers = true, default_value_t = 10, value_name = "COUNT")]
    pub(crate) keep_updates: usize,
}

/// Flags of `federate simulate`.
#[derive(Flags)]
#[command(mut_arg("epochs", |a| a.help("Passes of a client over its data in a round; 1 without a file")))]
#[command(mut_arg("batch_size", |a| a.help("Samples a step of a client; 32 without a file")))]
#[command(mut_arg("optimizer", |a| a.help("Of clients: sgd, momentum, adam or rmsprop; sgd without a file")))]
#[command(mut_arg("checkpoint_every", |a| {
    a.help("Seconds between two writings of the state that --resume goes on with; after every round by default")
}))]
pub(crate) struct Simulate {
    /// What clients do.
    #[command(flatten)]
    pub(crate) train: Train,
    /// Clients.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) clients: Option<usize>,
    /// Rounds.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) rounds: Option<usize>,
    /// Clients of a round; all unless the file says otherwise.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) per_round: Option<usize>,
    /// How samples are divided among clients: iid, dirichlet (equal sizes) or dirichlet_by_class.
    #[arg(long)]
    pub(crate) partition: Option<String>,
    /// Concentration of the Dirichlet distribution; 0.5 unless the file says otherwise.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) alpha: Option<f64>,
    /// Rules of the server, separated by commas where they combine.
    #[arg(long, value_delimiter = ',', help = servers_help())]
    pub(crate) server: Option<Vec<String>>,
    /// Byzantine clients that trimmed_mean, krum, multi_krum and bulyan count on; those that attack, or
    /// one, by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) byzantine: Option<usize>,
    /// mu of fedprox.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) mu: Option<f64>,
    /// Learning rate of the server.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) server_lr: Option<f64>,
    /// Clients that attack.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) attackers: Option<usize>,
    /// What they do.
    #[arg(long, help = attackers_help())]
    pub(crate) attacker: Option<String>,
    /// Scale of sign_flip, boost of replacement, standard deviation of gaussian.
    #[arg(long, allow_negative_numbers = true, value_name = "X")]
    pub(crate) attacker_strength: Option<f64>,
    /// Probability with which a client drops out of a round.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) dropout: Option<f64>,
    /// Probability with which a client is slow in a round.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) stragglers: Option<f64>,
    /// What becomes of slow clients: dropped, or partial, which trains fewer epochs.
    #[arg(long, value_parser = ["dropped", "partial"])]
    pub(crate) late: Option<String>,
    /// Rounds between two evaluations.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) evaluate_every: Option<usize>,
    /// Clients that are trained at once, each on a device of one thread; all cores by default.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) jobs: Option<usize>,
    /// Privacy of whole clients.
    #[command(flatten)]
    pub(crate) privacy: ClientPrivacyFlags,
    /// Sums up updates under masks, so that the server sees nothing but the sum.
    #[arg(long)]
    pub(crate) secure: bool,
    /// Size at which values are cut off for secure aggregation; 1 unless the file says otherwise.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) secure_range: Option<f64>,
}

/// The flags that make a federation private for whole clients.
#[derive(Flags)]
pub(crate) struct ClientPrivacyFlags {
    /// Noise multiplier on the sum of clipped updates.
    #[arg(long, allow_negative_numbers = true, value_name = "SIGMA")]
    pub(crate) client_dp_sigma: Option<f64>,
    /// Epsilon that may be spent, in place of a noise multiplier.
    #[arg(long, allow_negative_numbers = true, conflicts_with = "client_dp_sigma")]
    pub(crate) client_dp_epsilon: Option<f64>,
    /// Probability with which epsilon may fail; 1e-5 unless the file says otherwise.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) client_dp_delta: Option<f64>,
    /// L2 norm that an update is clipped to; 1 unless the file says otherwise.
    #[arg(long, allow_negative_numbers = true, value_name = "NORM")]
    pub(crate) client_dp_clip: Option<f64>,
    /// Samples at which a client weighs 1, fewer in proportion; equal weights by default.
    #[arg(long, allow_negative_numbers = true, value_name = "SAMPLES")]
    pub(crate) client_dp_cap: Option<usize>,
    /// Draws noise and clients from the seed, so that the run repeats: it is not private then.
    #[arg(long)]
    pub(crate) client_dp_seeded: bool,
}

fn servers_help() -> String {
    let rules = AGGREGATORS.iter().map(|a| (a.name, a.summary));
    listed("Rules of the server, separated by commas where they combine", rules)
}

fn attackers_help() -> String {
    listed("What attackers do", ATTACKERS.iter().map(|a| (a.name, a.summary)))
}
