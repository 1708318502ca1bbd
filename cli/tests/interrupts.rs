//! Ctrl-C and a full disk: nothing half-written, nothing of before lost.

#![cfg(unix)]
// The lints spare functions marked as tests, but not what these call.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{error_line, inocula, names, train};

#[test]
fn ctrl_c_ends_a_run_without_a_trace() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let args = ["train", "--model", "mlp", "--epochs", "1000000", "--out", "run"];
    let child = inocula(folder, &args).stderr(Stdio::piped()).spawn().unwrap();
    let out = folder.join("run");
    let started = Instant::now();
    while !out.is_dir() && started.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(500));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert_eq!(text, "error: stopped as asked; no unfinished file was left behind\n");
    assert_eq!(names(&out), [""; 0]);
}

/// Runs the program where no file may grow beyond 1 KiB, which fails a write half-way, as a full
/// disk does.
fn with_little_room(folder: &std::path::Path, args: &str) -> std::process::Output {
    let program = env!("CARGO_BIN_EXE_inocula");
    let script = format!("trap '' XFSZ; ulimit -f 1; exec {program} {args} --quiet");
    Command::new("bash").current_dir(folder).args(["-c", &script]).output().unwrap()
}

#[test]
fn a_full_disk_leaves_no_part_of_a_run() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let args = "train --model logistic --epochs 1 --out run";
    let text = error_line(&with_little_room(folder, args));
    assert!(text.contains("run/model.safetensors"), "{text}");
    assert_eq!(names(&folder.join("run")), [""; 0]);
}

#[test]
fn a_full_disk_harms_no_earlier_run() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "run", &[]);
    let all = || -> Vec<(String, Vec<u8>)> {
        let run = folder.join("run");
        names(&run).into_iter().map(|n| (n.clone(), fs::read(run.join(n)).unwrap())).collect()
    };
    let before = all();
    let args = "train --model logistic --epochs 2 --out run --force";
    error_line(&with_little_room(folder, args));
    assert!(all() == before, "the earlier run changed: {:?}", names(&folder.join("run")));
}
