//! Backends from the command line: what is listed, and plugins in place of what is linked in.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::{fails, succeeds};
use inocula_core::abi::types::{MAJOR, MINOR};

/// The CPU backend as a plugin, which the build leaves beside this test.
fn plugin() -> PathBuf {
    let name = inocula_core::plugin::file_name("ndarray");
    let path = std::env::current_exe().unwrap().with_file_name(name);
    assert!(path.is_file(), "{} was not built", path.display());
    path
}

/// What `inocula backends` prints with `path` as the place of plugins.
fn listed(path: &std::path::Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inocula"));
    command.arg("backends").args(args).env("INOCULA_BACKEND_PATH", path);
    let output = command.output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn line<'a>(text: &'a str, word: &str) -> &'a str {
    text.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("no {word} in {text}"))
}

#[test]
fn what_is_there_is_listed_and_what_is_not_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name| folder.path().join(inocula_core::plugin::file_name(name));
    fs::write(file("text"), "hello").unwrap();
    fs::write(file("empty"), "").unwrap();
    fs::copy(plugin(), file("copy")).unwrap();
    let text = listed(folder.path(), &[]);
    assert!(line(&text, "built in").starts_with("ndarray"), "{text}");
    let copy = line(&text, file("copy").to_str().unwrap());
    let version = format!("plugin, ABI {MAJOR}.{MINOR}");
    assert!(copy.starts_with("ndarray") && copy.contains(&version), "{copy}");
    assert!(line(&text, file("text").to_str().unwrap()).contains("not a shared library"));
    assert!(line(&text, file("empty").to_str().unwrap()).contains("is empty"));

    let text = listed(folder.path(), &["-v"]);
    let opened = text.lines().filter(|l| l.contains("device cpu: version")).count();
    assert!(opened >= 2, "{text}");
}

#[test]
fn a_plugin_gives_the_bits_of_the_same_backend_linked_in() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let path = plugin().display().to_string();
    for (out, backend) in [("a", "ndarray?threads=2"), ("b", &format!("{path}?threads=2"))] {
        let flags = ["train", "--model", "small-cnn", "--epochs", "1", "--rule", "madry"];
        let rest = ["--eps", "0.1", "--steps", "2", "--out", out, "--backend", backend];
        succeeds(folder, &[&flags[..], &rest[..]].concat());
    }
    let weights = |run: &str| fs::read(folder.join(run).join("model.safetensors")).unwrap();
    assert!(weights("a") == weights("b"), "the plugin computed something else");
    succeeds(folder, &["attack", "b", "--attack", "fgsm", "--eps", "0.1"]);
}

#[test]
fn backends_that_cannot_be_opened_say_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    fs::write(folder.join("notes.so"), "not code").unwrap();
    let demo = |spec: &str, words: &[&str]| fails(folder, &["demo", "--backend", spec], words);
    demo("nosuch", &["\"nosuch\"", "libinocula_backend_nosuch", "tried "]);
    demo("ndaray", &["did you mean ndarray?"]);
    demo("./notes.so", &["notes.so", "not a shared library"]);
    demo("./absent.so", &["absent.so", "no such file"]);
    demo("ndarray:gpu", &["ndarray", "\"gpu\"", "cpu only"]);
    demo("ndarray?cores=2", &["\"cores\"", "it knows threads"]);
    demo(&format!("{}?threads=0", plugin().display()), &["threads=0", "at least 1"]);
    assert!(!folder.join("inocula-demo").exists(), "something was written");
}
