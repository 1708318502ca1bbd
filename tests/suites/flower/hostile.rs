//! Servers that do what a stock SuperLink never would. A node ends with one line that says what is
//! wrong, and its folder is as it was before.

use std::path::Path;

use inocula_core::nn::{ModelSpec, Preset};
use inocula_flower::objects::{Array, ArraySpec, Deflated};
use libtest_mimic::Failed;

use super::program::{Running, entries, fails, state, wait};
use super::server::{Script, Server, says, train};

/// A node on digits, quickly trained.
const NODE: &[&str] = &["--insecure", "--model", "logistic", "--shard", "1/8", "--patience", "2"];

fn join(folder: &Path, address: &str) -> Running {
    Running::join(folder, "node", address, NODE)
}

/// Weights for the node's network, all of one value.
fn weights(value: f32) -> Vec<(ArraySpec, Array)> {
    let digits = inocula_core::data::digits().unwrap();
    let spec: ModelSpec =
        Preset::find("logistic").unwrap().spec(&digits.shape, digits.classes, [0.0, 1.0]).unwrap();
    let [inputs, classes] = [spec.input.iter().product(), spec.classes];
    let arrays = [("fc1.weight", vec![classes, inputs]), ("fc1.bias", vec![classes])];
    let array = |(name, shape): (&str, Vec<usize>)| {
        let spec = ArraySpec { name: name.into(), shape };
        let values = Array::F32(vec![value; spec.len()]);
        (spec, values)
    };
    arrays.into_iter().map(array).collect()
}

/// A node that has done a round, so that there is something to lose.
fn with_a_round() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Script::of(vec![train(&weights(0.0))]));
    let node = join(folder.path(), &server.address);
    let answer = server.pushed(0);
    assert!(answer.error.is_none() && answer.content.is_some(), "{answer:?}");
    let written = || (entries(&folder.path().join("node")).len() == 1).then_some(());
    wait("the round", written);
    let gone = || (!folder.path().join("node/pending").exists()).then_some(());
    wait("the end of the message", gone);
    drop(node);
    folder
}

/// A node with a round meets a server; what it ends in has all of `parts`, and nothing is lost.
fn meets(address: &str, parts: &[&str]) -> Result<(), Failed> {
    let folder = with_a_round();
    let before = state(&folder.path().join("node"));
    fails(join(folder.path(), address), parts);
    assert_eq!(before, state(&folder.path().join("node")));
    assert!(!folder.path().join("node/pending").exists());
    Ok(())
}

/// The same, where the server also has to be told.
fn meets_script(script: Script, parts: &[&str]) -> Result<(), Failed> {
    let server = Server::start(script);
    meets(&server.address, parts)?;
    let told = server.pushed(0);
    let reason = told.error.map(|e| e.reason).unwrap_or_default();
    assert!(parts.iter().all(|part| reason.contains(part)), "{reason:?}");
    let metadata = told.metadata.unwrap();
    assert_eq!((metadata.src_node_id, metadata.dst_node_id), (42, 1));
    Ok(())
}

pub(super) fn wrong_server() -> Result<(), Failed> {
    let html = b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 6\r\n\r\n<html>";
    meets(&says(html), &["not as a SuperLink of Flower 1.40 to 1.42", "404", "--superlink"])?;
    let page = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\n<html>";
    meets(&says(page), &["not as a SuperLink"])
}

pub(super) fn grpc() -> Result<(), Failed> {
    // The settings that a server of HTTP/2 begins with.
    meets(&says(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"), &["not as a SuperLink", "gRPC"])
}

pub(super) fn version() -> Result<(), Failed> {
    for version in ["1.39.1", "1.43.0", "2.40.0", "unknown"] {
        let server = Server::start(Script { version, ..Script::of(Vec::new()) });
        meets(&server.address, &["Flower", version, "1.40 to 1.42"])?;
    }
    Ok(())
}

pub(super) fn damaged() -> Result<(), Failed> {
    let object = |mut bytes: Vec<u8>| {
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        bytes
    };
    let script = Script { object, ..Script::of(vec![train(&weights(0.0))]) };
    meets_script(script, &["not those of its name"])
}

pub(super) fn too_large() -> Result<(), Failed> {
    let script = Script { object: |_| vec![0; 12 << 20], ..Script::of(vec![train(&weights(0.0))]) };
    meets_script(script, &["more than", "bytes"])
}

pub(super) fn other_network() -> Result<(), Failed> {
    let one = |mut arrays: Vec<(ArraySpec, Array)>, change: fn(&mut ArraySpec)| -> Deflated {
        change(&mut arrays[1].0);
        arrays[1].1 = Array::F32(vec![0.0; arrays[1].0.len()]);
        train(&arrays)
    };
    let renamed = one(weights(0.0), |spec| spec.name = "fc9.bias".into());
    meets_script(Script::of(vec![renamed]), &["fc1.bias"])?;
    let reshaped = one(weights(0.0), |spec| spec.shape = vec![11]);
    meets_script(Script::of(vec![reshaped]), &["fc1.bias", "[11]", "[10]"])
}

pub(super) fn no_numbers() -> Result<(), Failed> {
    meets_script(Script::of(vec![train(&weights(f32::NAN))]), &["fc1.weight", "no number"])
}

pub(super) fn unending() -> Result<(), Failed> {
    let script = Script { more_children: 1000, ..Script::of(vec![train(&weights(0.0))]) };
    meets_script(script, &["more than"])
}

pub(super) fn killed() -> Result<(), Failed> {
    let folder = tempfile::tempdir().unwrap();
    let node = folder.path().join("node");
    let server = Server::start(Script::of(vec![train(&weights(0.0))]));
    // Long enough to be met in the middle.
    let slow = [NODE, &["--epochs", "100000", "--batch-size", "1"]].concat();
    let mut first = Running::join(folder.path(), "node", &server.address, &slow);
    wait("a message on the disk", || node.join("pending").exists().then_some(()));
    first.kill();
    assert!(node.join("pending").exists() && entries(&node).is_empty());
    let key = std::fs::read(node.join("node.pem")).unwrap();
    // What it does from here on is quick; the message is the same, which the server sends once.
    let config = node.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("epochs = 100000", "epochs = 1")).unwrap();
    let again = Running::join(folder.path(), "node", &server.address, &["--insecure"]);
    let answer = server.pushed(0);
    assert!(answer.error.is_none(), "{answer:?}");
    again.hears("taking up", 1);
    assert_eq!(entries(&node).len(), 1);
    assert_eq!(std::fs::read(node.join("node.pem")).unwrap(), key);
    Ok(())
}

pub(super) fn other_folder() -> Result<(), Failed> {
    let folder = with_a_round();
    let before = state(&folder.path().join("node"));
    let other = [NODE, &["--lr", "0.5"]].concat();
    let node = Running::join(folder.path(), "node", "127.0.0.1:9", &other);
    fails(node, &["another configuration", "--out"]);
    assert_eq!(before, state(&folder.path().join("node")));
    let away =
        Running::join(folder.path(), "node", "127.0.0.1:9", &["--insecure", "--patience", "1"]);
    fails(away, &["does not answer", "what was learnt is kept"]);
    assert_eq!(before, state(&folder.path().join("node")));
    Ok(())
}
