//! A stock SuperLink with the stock strategy, and real processes as nodes.

use std::fs;
use std::path::Path;

use inocula_tests::files;
use inocula_tests::rows::ROWS;
use libtest_mimic::Failed;
use ndarray::ArrayD;
use ndarray_npy::NpzReader;

use super::place::{SuperLink, program};
use super::program::{Running, entries, fails, state, succeeds, wait};

/// Rounds of the run; each is a training and an evaluation.
const ROUNDS: usize = 3;

/// What every node does: adversarial training on a shard of MNIST of its own size and classes.
const CONFIG: &str = r#"
seed = 5
train_samples = 1500

[data]
kind = "mnist"

[model]
preset = "mlp"

[train]
epochs = 2
batch_size = 16
monitor_samples = 60
optimizer = { type = "adam", lr = 0.002 }

[train.rule]
type = "madry"
attack = { type = "pgd", eps = 0.1, steps = 5 }
"#;

fn node(folder: &Path, i: usize, address: &str, backend: &str) -> Running {
    let (name, shard) = (format!("node-{i}"), format!("{i}/3"));
    let flags = ["--insecure", "--config", "node.toml", "--shard", &shard, "--backend", backend];
    let flags = [&flags[..], &["--partition", "dirichlet_by_class", "--alpha", "1"]].concat();
    Running::join(folder, &name, address, &flags)
}

/// Backends of three nodes: different ones, as far as they are there.
fn backends() -> [&'static str; 3] {
    let there = |name: &str| ROWS.iter().any(|row| row.name == name && row.device.is_ok());
    let or = |spec, name| if there(name) { spec } else { "ndarray?threads=2" };
    ["ndarray?threads=1", or("tch?threads=1", "tch:cpu"), or("burn?threads=1", "burn:flex")]
}

pub(super) fn rounds() -> Result<(), Failed> {
    if let Err(why) = files::mnist() {
        return files::skip(&why);
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("node.toml"), CONFIG).unwrap();
    succeeds(folder, &["federate", "init", "--config", "node.toml", "--out", "initial.npz"]);
    let link = SuperLink::start(folder, &["--insecure"]);
    let backends = backends();
    let join = |i: usize| node(folder, i, &link.address(), backends[i - 1]);
    let mut nodes = [join(1), join(2), join(3)];
    nodes.iter().for_each(|node| node.hears("joined as node", 1));
    let whole = |name: &str| folder.join(name).display().to_string();
    link.run(&format!(
        "initial='{}' final='{}' rounds={ROUNDS}",
        whole("initial.npz"),
        whole("final.npz")
    ));

    // The second node is killed while it works on a message of the second round.
    let second = folder.join("node-2");
    let busy = || (entries(&second).len() >= 2 && second.join("pending").exists()).then_some(());
    wait("the second round of a node", busy);
    nodes[1].kill();
    nodes[1] = join(2);
    wait("the last weights", || folder.join("final.npz").exists().then_some(()));
    let joined = |text: &str| -> Vec<String> {
        text.lines().filter(|l| l.starts_with("joined")).map(str::to_owned).collect()
    };
    let said = joined(&nodes[1].said());
    assert!(said.len() == 2 && said[0] == said[1], "another node rejoined: {said:?}");

    aggregates(folder);
    let accuracy = |round: usize| judged(folder, round);
    let (first, last) = (accuracy(1), accuracy(ROUNDS));
    assert!(last[0] > first[0] + 0.02 && last[0] > 0.6, "clean accuracy {first:?}, then {last:?}");
    assert!(last[1] > first[1] && last[1] > 0.3, "adversarial accuracy {first:?}, then {last:?}");
    #[cfg(unix)]
    leaves(nodes, &link);
    Ok(())
}

/// Nodes that are asked to leave tell the SuperLink.
#[cfg(unix)]
fn leaves(nodes: [Running; 3], link: &SuperLink) {
    for node in nodes {
        node.interrupt();
        let (code, line) = node.ends();
        assert_eq!(code, Some(130), "{line}");
        assert!(line.contains("rejoins"), "{line}");
    }
    wait("three nodes that left", || {
        (link.log().matches("Deactivated node_id").count() == 3).then_some(())
    });
}

/// Accuracies of a round, clean and adversarial, over the test samples of all nodes.
fn judged(folder: &Path, round: usize) -> [f64; 2] {
    let mut sums = [0.0; 3];
    for i in 1..=3 {
        let all = entries(&folder.join(format!("node-{i}")));
        let of = |e: &&serde_json::Value| e["kind"] == "evaluate" && e["round"] == round;
        let entry = all.iter().find(of).unwrap();
        let samples = entry["samples"].as_f64().unwrap();
        sums[0] += samples * entry["clean_accuracy"].as_f64().unwrap();
        sums[1] += samples * entry["adversarial_accuracy"].as_f64().unwrap();
        sums[2] += samples;
    }
    [sums[0] / sums[2], sums[1] / sums[2]]
}

/// What all nodes got in each round is the mean, by samples, of what all sent in the one before; and the
/// server's last weights are that of the last.
fn aggregates(folder: &Path) {
    let arrays = |path: &Path, side: &str| -> Vec<(String, ArrayD<f32>)> {
        let mut npz = NpzReader::new(fs::File::open(path).unwrap()).unwrap();
        let names = npz.names().unwrap();
        let names = names.iter().filter_map(|n| n.strip_suffix(".npy").or(Some(n)));
        let of: Vec<String> = names.filter(|n| n.starts_with(side)).map(str::to_owned).collect();
        let bare = |name: &str| name[side.len()..].to_owned();
        of.iter().map(|name| (bare(name), npz.by_name(name).unwrap())).collect()
    };
    for round in 1..=ROUNDS {
        let file = |i: usize| folder.join(format!("node-{i}/updates/update-{round:05}.npz"));
        let next = |i: usize| folder.join(format!("node-{i}/updates/update-{:05}.npz", round + 1));
        let mut mean: Vec<(String, ArrayD<f64>)> = Vec::new();
        let mut total = 0.0;
        for i in 1..=3 {
            let all = entries(&folder.join(format!("node-{i}")));
            let trained: Vec<_> = all.iter().filter(|e| e["kind"] == "train").collect();
            assert_eq!(trained.len(), ROUNDS, "node {i}");
            let samples = trained[round - 1]["samples"].as_f64().unwrap();
            total += samples;
            for (at, (name, values)) in arrays(&file(i), "after.").into_iter().enumerate() {
                let part = values.mapv(|v| f64::from(v) * samples);
                match mean.get_mut(at) {
                    Some(sum) => sum.1 += &part,
                    None => mean.push((name, part)),
                }
            }
        }
        mean.iter_mut().for_each(|(_, sum)| *sum /= total);
        let seen: Vec<Vec<(String, ArrayD<f32>)>> = match round < ROUNDS {
            true => (1..=3).map(|i| arrays(&next(i), "before.")).collect(),
            false => vec![arrays(&folder.join("final.npz"), "")],
        };
        for got in seen {
            assert_eq!(got.len(), mean.len());
            for ((name, want), (other, values)) in mean.iter().zip(&got) {
                assert_eq!(name, other);
                // The server adds up three products in f32.
                let near =
                    |(a, b): (&f64, &f32)| (a - f64::from(*b)).abs() <= 1e-6 * a.abs().max(1.0);
                assert!(want.iter().zip(values).all(near), "round {round}: {name}");
            }
        }
    }
}

/// A node on digits.
const DIGITS: &[&str] =
    &["--insecure", "--model", "logistic", "--shard", "1/8", "--patience", "20"];

pub(super) fn restart() -> Result<(), Failed> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut link = SuperLink::start(folder, &["--insecure"]);
    let node = Running::join(folder, "node", &link.address(), DIGITS);
    node.hears("joined as node", 1);
    let before = state(&folder.join("node"));
    link.restart(&["--insecure"]);
    node.hears("joining anew", 1);
    node.hears("joined as node", 2);
    assert_eq!(before, state(&folder.join("node")));
    drop(node);
    link.kill();
    let patient = [&DIGITS[..DIGITS.len() - 1], &["2"]].concat();
    let node = Running::join(folder, "node", &link.address(), &patient);
    fails(node, &["does not answer", "for 2 s", "kept"]);
    assert_eq!(before, state(&folder.join("node")));
    Ok(())
}

pub(super) fn certificates() -> Result<(), Failed> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("flower/certificates.py");
    let made = program("python", folder).arg(script).status().unwrap();
    assert!(made.success());
    let tls = ["--ssl-ca-certfile", "ca.pem", "--ssl-certfile", "server.pem"];
    let link = SuperLink::start(folder, &[&tls[..], &["--ssl-keyfile", "server.key"]].concat());
    let join = |out: &str, security: &[&str]| {
        let flags = [&DIGITS[1..], security].concat();
        Running::join(folder, out, &link.address(), &flags)
    };
    let trusted = join("node", &["--root-certificates", "ca.pem"]);
    trusted.hears("joined as node", 1);
    drop(trusted);
    let before = state(&folder.join("node"));
    let stranger = join("node", &["--root-certificates", "stranger.pem"]);
    fails(stranger, &["certificate", "not trusted", "--root-certificates"]);
    let usual = join("node", &[]);
    fails(usual, &["certificate", "not trusted"]);
    let none = join("node", &["--root-certificates", "node.toml"]);
    fails(none, &["node.toml"]);
    assert_eq!(before, state(&folder.join("node")));
    Ok(())
}
