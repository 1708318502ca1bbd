//! `inocula federate join` and `init`: a node of a real federation, and what its server starts from.
//!
//! A node trains as a client of `federate simulate` does, on the part of the data that a client of the
//! same number has there, from the same streams of randomness: what differs is who averages.

mod folder;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use inocula_core::data::Dataset;
use inocula_core::fl::{Federation, Partition};
use inocula_core::model::Network;
use inocula_core::nn::init_params;
use inocula_core::rng::Rng;
use inocula_core::{DType, ErrorKind, Result, bail};
use inocula_flower::{Key, Node, Options, Security, Transport};

use self::folder::Folder;
use self::worker::Shard;
use super::federate;
use crate::args::{Init, Join};
use crate::config::RunConfig;
use crate::{backends, output};

pub(super) use self::folder::{Entry, Moved, Settings, Update, entries};

/// Writes the first weights.
pub(super) fn init(flags: &Init) -> Result<()> {
    let config = RunConfig::of(&flags.run)?;
    let out = &flags.run.out;
    if out.exists() && !flags.run.force {
        bail!(Io, "{} exists; choose another --out or pass --force", out.display());
    }
    let (train, _) = config.datasets()?;
    let network = first(&config, &train)?;
    let params = network.params();
    folder::write_npz(out, params.iter())?;
    let values: usize = params.values().iter().map(|p| p.shape().numel()).sum();
    output::line(format!("Written: {} ({} arrays, {values} values)", out.display(), params.len()));
    Ok(())
}

/// The network as it is before any training.
fn first(config: &RunConfig, train: &Dataset) -> Result<Network> {
    let device = backends::open(&config.backend)?;
    let spec = config.model.spec(train)?;
    let params = init_params(&spec, &device, DType::F32, &Rng::new(config.seed).child("init"))?;
    Network::new(spec, params, &device)
}

pub(super) fn run(flags: &Join, quiet: bool) -> Result<()> {
    let out = &flags.train.run.out;
    if flags.train.resume || flags.train.run.force || flags.train.checkpoint_every.is_some() {
        bail!(
            Config,
            "federate join: a folder is always gone on with; leave out --resume, --force and \
             --checkpoint-every, and choose another --out to start anew"
        );
    }
    let settings = settings(flags)?;
    let config = &settings.run;
    let federation = config.federation.clone().unwrap_or_default();
    check(&federation, config)?;
    let security = match (&flags.root_certificates, flags.insecure) {
        (Some(path), _) => Security::Roots(path.clone()),
        (None, true) => Security::Insecure,
        (None, false) => Security::Usual,
    };
    let (train, test) = config.datasets()?;
    federation.check_for(&train)?;
    let network = first(config, &train)?;
    let (rows, test) = parts(&settings, &federation, &train, &test)?;
    let data = train.select(&rows);
    config.train.check_for(data.len())?;

    let folder = Folder::open(out, &settings, flags.keep_updates)?;
    let key = Arc::new(Key::load_or_create(&out.join("node.pem"))?);
    let transport = Transport::new(&flags.superlink, &security, key)?;
    let patience = Duration::from_secs(flags.patience);
    let options = Options { patience, ..Options::new(out) };
    let mut shard =
        Shard::new(&settings, network, data, test, folder)?.telling(!flags.no_loss, quiet);
    match Node::new(transport, options, &mut shard).run() {
        Err(err) if err.kind() == ErrorKind::Cancelled => {
            let out = out.display();
            bail!(
                Cancelled,
                "left the federation as asked; the same command with --out {out} rejoins"
            )
        }
        ended => ended,
    }
}

/// What the folder says if it is one of a node and the flags say nothing else, and the flags otherwise.
fn settings(flags: &Join) -> Result<Settings> {
    let out = &flags.train.run.out;
    let mut config = federate::client(&flags.train)?;
    let mut federation = config.federation.take().unwrap_or_default();
    federate::partition(flags.partition.as_deref(), flags.alpha, &mut federation)?;
    federation.rounds = flags.rounds.unwrap_or(federation.rounds);
    let shard = flags.shard.as_deref().map(shard).transpose()?;
    let [number, of] = shard.unwrap_or([1, 1]);
    federation.clients = of;
    config.federation = Some(federation);
    let asked = Settings { shard: number, run: config };
    let Some(kept) = Settings::read(out)? else { return Ok(asked) };
    let mut silent = federate::usual();
    silent.federation = Some(Federation { clients: 1, ..Federation::default() });
    // Where it computes may change: that is not what is learnt.
    let same = |a: &RunConfig, b: &RunConfig| {
        RunConfig { backend: String::new(), ..a.clone() }
            == RunConfig { backend: String::new(), ..b.clone() }
    };
    let says_nothing = same(&asked.run, &silent) && shard.is_none();
    let says_the_same = same(&asked.run, &kept.run) && asked.shard == kept.shard;
    if !(says_nothing || says_the_same) {
        bail!(
            Config,
            "federate join: {} is the folder of a node with another configuration; pass the same flags, none \
             of them but --superlink and --out, or choose another --out",
            out.display()
        );
    }
    let backend = match &flags.train.run.backend {
        Some(backend) => backend.clone(),
        None => kept.run.backend.clone(),
    };
    Ok(Settings { run: RunConfig { backend, ..kept.run }, ..kept })
}

/// `2/3` as its two numbers.
fn shard(text: &str) -> Result<[usize; 2]> {
    let parts = text.split_once('/').map(|(i, n)| (i.parse(), n.parse()));
    match parts {
        Some((Ok(i), Ok(n))) if i >= 1 && i <= n => Ok([i, n]),
        _ => bail!(Config, "--shard {text:?}: write I/N with I from 1 to N, say 1/3"),
    }
}

/// What a node cannot do, because only a simulated server does it.
fn check(federation: &Federation, config: &RunConfig) -> Result<()> {
    if federation.attackers.is_some() || federation.privacy.is_some() || federation.secure.is_some()
    {
        bail!(
            Config,
            "federate join: attackers, privacy of clients and secure aggregation are parts of a simulated \
             federation; remove them from the federation section"
        );
    }
    // Rules of the server are the server's, and there may be fewer nodes here than it counts on.
    Federation { aggregate: Default::default(), per_round: None, ..federation.clone() }
        .check(&config.train)
}

/// The rows of the node's training data, and its part of the test data.
fn parts(
    settings: &Settings,
    federation: &Federation,
    train: &Dataset,
    test: &Dataset,
) -> Result<(Vec<usize>, Dataset)> {
    let n = federation.clients;
    if test.len() < n {
        bail!(
            Data,
            "federate join: {} test samples for {n} nodes; every node needs one",
            test.len()
        );
    }
    // Judged apart, so that the server's mean by samples is the accuracy on all.
    let rng = Rng::new(settings.run.seed).child("federation").child("test");
    let judged = Partition::Iid {}.split(&test.labels, test.classes, n, &rng)?;
    Ok((rows(settings, train)?, test.select(&judged[settings.shard - 1])))
}

/// The rows of the training data that are the node's.
pub(super) fn rows(settings: &Settings, train: &Dataset) -> Result<Vec<usize>> {
    let federation = settings.run.federation.clone().unwrap_or_default();
    let rng = Rng::new(settings.run.seed).child("federation");
    let clients = federation.clients;
    let mut parts = federation.partition.split(&train.labels, train.classes, clients, &rng)?;
    Ok(parts.swap_remove(settings.shard - 1))
}

/// The configuration of the node `folder`, for audits of what it sent.
pub(super) fn configuration(folder: &Path) -> Result<Settings> {
    match Settings::read(folder)? {
        Some(settings) => Ok(settings),
        None => bail!(
            NotFound,
            "{} is not the folder of a node; make one with `inocula federate join --out {}`",
            folder.display(),
            folder.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_count_from_one() {
        assert_eq!(shard("1/3").unwrap(), [1, 3]);
        assert_eq!(shard("3/3").unwrap(), [3, 3]);
        for wrong in ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", ""] {
            assert!(shard(wrong).unwrap_err().to_string().contains("--shard"), "{wrong}");
        }
    }

    #[test]
    fn what_only_a_simulated_server_does_is_refused() {
        let config = federate::usual();
        let secure = Federation { secure: Some(Default::default()), ..Federation::default() };
        let text = check(&secure, &config).unwrap_err().to_string();
        assert!(text.contains("simulated"), "{text}");
        check(&Federation { clients: 1, ..Federation::default() }, &config).unwrap();
    }

    #[test]
    fn nodes_share_the_data_and_the_judgement_without_overlap() {
        let mut run = federate::usual();
        let federation = Federation { clients: 3, ..Federation::default() };
        run.federation = Some(federation.clone());
        let (train, test) = run.datasets().unwrap();
        let (mut rows, mut judged) = (Vec::new(), 0);
        for shard in 1..=3 {
            let settings = Settings { shard, run: run.clone() };
            let (own, part) = parts(&settings, &federation, &train, &test).unwrap();
            rows.extend(own);
            judged += part.len();
        }
        rows.sort_unstable();
        assert_eq!(rows, (0..train.len()).collect::<Vec<_>>());
        assert_eq!(judged, test.len());
    }
}
