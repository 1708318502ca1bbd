//! `inocula audit updates`: what the server of a federation learns from the update of a node.
//!
//! The attacker is the server. It has the weights that it sent and those that came back, and knows how
//! the node trains; it takes the difference for a gradient (of the mean step) and searches for records
//! that give the same one, and it tells members by how far the update lowered their loss. The same two
//! attacks see the difference as secure aggregation would show it: in 32-bit words under masks, of which
//! only the sum over all nodes means something.
//!
//! The result is a run folder `NODE-update` beside what the node keeps, so `inocula evaluate` puts it beside others.

use std::path::{Path, PathBuf};
use std::time::Instant;

use inocula_core::data::Dataset;
use inocula_core::dp::noise::Secret;
use inocula_core::fl::Secure;
use inocula_core::fl::secure::fixed_point::FixedPoint;
use inocula_core::fl::secure::protocol;
use inocula_core::metrics::mse;
use inocula_core::model::Network;
use inocula_core::nn::init_params;
use inocula_core::optim::OptimizerConfig;
use inocula_core::place::Placement;
use inocula_core::privacy::membership::{Scored, losses};
use inocula_core::privacy::reconstruction::{Cosine, Leaked, Method, Seen, assign, judge};
use inocula_core::report::{
    BackendSection, HostSection, MembershipReport, ReconstructionAttack, ReconstructionReport,
    TrainingReport,
};
use inocula_core::rng::Rng;
use inocula_core::{DType, Result, Tensor, bail};

use super::{Record, json, rate, show, spread};
use crate::args::AuditUpdates;
use crate::audits::{self, MembershipAudit};
use crate::commands::join::{self, Entry, Moved, Settings, Update};
use crate::progress::Bar;
use crate::runs::{self, Metrics};
use crate::{backends, output, reporting};

/// Records of an update that the search makes one guess each of, at most: it would take hours for more,
/// and come to nothing.
const MOST_RECORDS: usize = 256;
/// Fewest nodes whose sum hides each of them from the others.
const FEWEST_NODES: usize = 3;

pub(in crate::commands) fn run(flags: &AuditUpdates, quiet: bool) -> Result<()> {
    for node in &flags.nodes {
        let mut bar = Bar::new(quiet);
        let audited = one(flags, node, &mut bar);
        bar.clear();
        audited.map_err(|err| err.context(node.display()))?;
    }
    Ok(())
}

/// The name of a node: the last part of its path.
fn name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().map_or("node".into(), |n| n.to_string_lossy().into_owned())
}

/// A node whose update is attacked.
struct Node {
    settings: Settings,
    entry: Entry,
    /// The network as the server sent it, and as it came back.
    sides: [Network; 2],
    train: Dataset,
    test: Dataset,
    /// The node's rows of the training data.
    rows: Vec<usize>,
    backend: String,
    rng: Rng,
}

fn one(flags: &AuditUpdates, folder: &Path, bar: &mut Bar) -> Result<()> {
    let node = Node::open(flags, folder)?;
    // The last part of a run's path is its name in reports.
    let out = folder.join(format!("{}-update", name(folder)));
    runs::prepare(&out, "metrics.json", flags.force)?;
    let nodes = node.settings.run.federation.as_ref().map_or(1, |f| f.clients);
    let masked = match nodes >= FEWEST_NODES {
        true => Some(node.masked(nodes)?),
        false => None,
    };
    let mut views = vec![(node.describe(), node.sides[1].clone())];
    views.extend(masked.map(|network| {
        let how = format!("{}, masked by secure aggregation of {nodes} nodes", node.describe());
        (how, network)
    }));
    let (mut attacks, mut members) = (Vec::new(), Vec::new());
    for (seen, after) in &views {
        let started = Instant::now();
        let mut found = node.reconstruct(flags, seen, after, bar)?;
        found.seconds = Some(started.elapsed().as_secs_f64());
        attacks.push(found);
        members.push(node.membership(flags, seen, after)?);
    }
    print(folder, &attacks, &members);
    node.publish(flags, folder, &out, ReconstructionReport { attacks, pictures: None }, members)?;
    output::line(format!("Written: {}, for `inocula evaluate`", out.display()));
    Ok(())
}

impl Node {
    fn open(flags: &AuditUpdates, folder: &Path) -> Result<Self> {
        let settings = join::configuration(folder)?;
        let entries = join::entries(folder)?;
        let wanted = |e: &Entry| flags.round.is_none_or(|round| e.round == round);
        let chosen = entries.into_iter().rfind(|e| e.update.is_some() && wanted(e));
        let Some(entry) = chosen else {
            bail!(NotFound, "the node has sent no update (of that round); let it train first");
        };
        let config = &settings.run;
        let backend = flags.backend.clone().unwrap_or(config.backend.clone());
        let device = backends::open(&backend)?;
        let (train, test) = config.datasets()?;
        let rows = join::rows(&settings, &train)?;
        let spec = config.model.spec(&train)?;
        let like = init_params(&spec, &device, DType::F32, &Rng::new(config.seed).child("init"))?;
        let names: Vec<&str> = like.iter().map(|(name, _)| name).collect();
        let file = folder.join("updates").join(entry.update.as_deref().unwrap_or_default());
        let update = Update::read(&file, &names)?;
        let side = |i: usize| {
            let tensor = |(like, moved): (&Tensor, &Moved)| {
                Tensor::from_slice(&device, &moved.sides[i], &like.shape())
            };
            let values = like.values().into_iter().zip(&update.arrays).map(tensor);
            let params = like.with_values(values.collect::<Result<_>>()?)?;
            Network::new(spec.clone(), params, &device)
        };
        let sides = [side(0)?, side(1)?];
        let rng = Rng::new(flags.seed.unwrap_or(config.seed)).child("audit updates");
        Ok(Node { settings, entry, sides, train, test, rows, backend, rng })
    }

    /// Local steps of an update.
    fn steps(&self) -> usize {
        let train = &self.settings.run.train;
        train.epochs * self.rows.len().div_ceil(train.batch_size)
    }

    /// `update of 1 step on 4 records`.
    fn describe(&self) -> String {
        let (steps, records) = (self.steps(), self.rows.len());
        let plural = if steps == 1 { "" } else { "s" };
        format!("update of {steps} step{plural} on {records} records")
    }

    /// The network that the masked words of this node would stand for, if they were an update.
    fn masked(&self, nodes: usize) -> Result<Network> {
        let secure = Secure::default();
        let secret = Secret::from_os()?;
        let participants = protocol::begin(nodes, secure.shares(nodes), &secret)?;
        let code = FixedPoint::new(secure.range, nodes)?;
        let [before, after] = &self.sides;
        let delta = after.params().axpy(-1.0, before.params())?;
        let mut words = Vec::new();
        for value in delta.values() {
            words.extend(value.to_f64_vec()?.into_iter().map(|v| code.encode(v).0));
        }
        participants[self.settings.shard - 1].mask(&mut words)?;
        let mut seen = words.into_iter().map(|word| code.decode(word));
        let device = before.device();
        let values = before.params().values().into_iter().map(|from| {
            let moved: Vec<f64> =
                from.to_f64_vec()?.into_iter().zip(&mut seen).map(|(w, d)| w + d).collect();
            Tensor::from_f64(device, from.dtype(), &moved, &from.shape())
        });
        let params = before.params().with_values(values.collect::<Result<_>>()?)?;
        Network::new(before.spec().clone(), params, device)
    }

    /// Records from the difference, taken for a gradient.
    fn reconstruct(
        &self,
        flags: &AuditUpdates,
        seen: &str,
        after: &Network,
        bar: &mut Bar,
    ) -> Result<ReconstructionAttack> {
        let (before, samples) = (&self.sides[0], self.rows.len());
        if samples > MOST_RECORDS {
            bail!(
                Config,
                "an update of {samples} records is more than the {MOST_RECORDS} that are searched for; give \
                 the node a smaller --shard"
            );
        }
        let lr = match &self.settings.run.train.optimizer {
            OptimizerConfig::Sgd(sgd) => sgd.lr,
            // The angle does not depend on it.
            _ => 1.0,
        };
        let scale = 1.0 / (lr * self.steps() as f64);
        let gradient = before.params().axpy(-1.0, after.params())?.map(|d| d * scale);
        let leaked = Leaked::Gradient(gradient.values().into_iter().cloned().collect());
        let search = Cosine { steps: flags.steps, restarts: flags.restarts, ..Cosine::default() };
        let method = Method::Cosine(search);
        let seen_by = Seen { network: before, samples, leaked };
        let truth: Vec<i64> = self.rows.iter().map(|&row| self.train.labels[row]).collect();
        let known = flags.labels_known.then_some(&truth[..]);
        let mut heard = |done, total| bar.show("reconstruction", done, total);
        let guess = method.run(&seen_by, known, &self.rng.child("reconstruction"), &mut heard)?;
        let guesses = guess.x.cast(DType::F32).to_vec::<f32>()?;
        let pairs = self.paired(&guesses)?;
        let name = "cosine on an update";
        let outcome = judge(name, seen, &self.train, pairs, &self.test, flags.recovered_from)?;
        Ok(ReconstructionAttack { batch: samples as u64, ..outcome.report })
    }

    /// The node's records, each with the guess that the best assignment gives it.
    fn paired(&self, guesses: &[f32]) -> Result<Vec<(usize, Vec<f32>)>> {
        let each: usize = self.train.shape.iter().product();
        let guesses: Vec<&[f32]> = guesses.chunks(each.max(1)).collect();
        let record = |row: usize| &self.train.features[row * each..(row + 1) * each];
        let costs = |row: &usize| guesses.iter().map(|g| mse(record(*row), g)).collect();
        let costs: Vec<Vec<f64>> = self.rows.iter().map(costs).collect::<Result<_>>()?;
        let columns = assign(&costs);
        Ok(self.rows.iter().zip(columns).map(|(row, at)| (*row, guesses[at].to_vec())).collect())
    }

    /// Members by how far the update lowered the loss of a sample, against test samples.
    fn membership(
        &self,
        flags: &AuditUpdates,
        seen: &str,
        after: &Network,
    ) -> Result<MembershipReport> {
        let members = self.train.select(&self.rows);
        let most = flags.non_members.min(self.test.len());
        let others = self.test.select(&self.rng.child("others").choose(self.test.len(), most));
        let fall = |data: &Dataset| -> Result<Vec<f64>> {
            let loss = |network: &Network| {
                let place =
                    Placement { dtype: network.dtype(), ..Placement::new(network.device()) };
                losses(network, data, &place)
            };
            let pairs = loss(&self.sides[0])?.into_iter().zip(loss(after)?);
            Ok(pairs.map(|(before, after)| before - after).collect())
        };
        Scored::new(format!("fall of the loss, {seen}"), fall(&members)?, fall(&others)?).report()
    }

    /// Writes a run of the weights that the node sent, with what was found about them.
    fn publish(
        &self,
        flags: &AuditUpdates,
        folder: &Path,
        out: &Path,
        reconstruction: ReconstructionReport,
        attacks: Vec<MembershipReport>,
    ) -> Result<()> {
        let (config, network) = (&self.settings.run, &self.sides[1]);
        let training = TrainingReport {
            description: format!(
                "{}, node {} after round {}",
                config.train.describe(),
                self.settings.shard,
                self.entry.round
            ),
            seconds: self.entry.seconds,
            history: Vec::new(),
            warnings: Vec::new(),
            privacy: None,
        };
        let metrics = Metrics::of(config, network, &self.train, &self.test, Some(training))?;
        let ledger: Option<PathBuf> = Some(folder.join("ledger")).filter(|path| path.is_file());
        runs::write(out, config, network, &metrics, ledger.as_deref())?;
        let weights = audits::weights(out)?;
        let seed = flags.seed.unwrap_or(config.seed);
        let model = name(folder);
        let record = Record {
            created: reporting::now(),
            program: reporting::program(),
            backend: BackendSection::new(&self.backend, network.device().info()),
            host: HostSection::current(),
            seed,
            dataset: reporting::dataset(&self.train, &self.test),
            model: model.clone(),
            weights: weights.clone(),
            config: json(&Cosine {
                steps: flags.steps,
                restarts: flags.restarts,
                ..Cosine::default()
            })?,
            result: reconstruction,
        };
        runs::write_json(&out.join("reconstruction.json"), &record)?;
        let audit = MembershipAudit {
            created: reporting::now(),
            program: reporting::program(),
            model,
            weights,
            seed,
            backend: self.backend.clone(),
            members: self.rows.len(),
            non_members: flags.non_members.min(self.test.len()),
            population: 0,
            shadows: None,
            attacks,
        };
        runs::write_json(&out.join(audits::FILE), &audit)
    }
}

fn print(folder: &Path, attacks: &[ReconstructionAttack], members: &[MembershipReport]) {
    let row = |(a, m): (&ReconstructionAttack, &MembershipReport)| {
        vec![
            a.leak.clone(),
            rate(&a.recovered),
            spread(&a.psnr, 1),
            spread(&a.baseline_psnr, 1),
            format!("{:.3}", m.auc),
            format!("{:.1} %", 100.0 * m.advantage),
            m.advantage_by_chance.map_or("-".into(), |a| format!("{:.1} %", 100.0 * a)),
        ]
    };
    let headings =
        ["Seen", "Recovered", "PSNR, dB", "Mean record", "AUC", "Advantage", "By chance, up to"];
    output::line(format!("{}:", folder.display()));
    show(&headings, 1, attacks.iter().zip(members).map(row).collect());
}
