//! The pages that say how to add a backend or an attack, followed to the letter in a copy of the
//! project; and the one that compares models in three fields.
//!
//! The copy lies below the target folder and stays, with what was built in it, so that only the first
//! run compiles everything. It is built lightly: what is tested is that the instructions work.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use inocula_tests::files;
use inocula_tests::guide::follow;

/// One page at a time: they share the copy.
static COPY: Mutex<()> = Mutex::new(());

const CONFIG: &str = "\
[profile.dev]
opt-level = 1
debug = false
[profile.dev.package.\"*\"]
opt-level = 1
[net]
offline = true
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The folder that the test's own build is in: `target/debug`.
fn build_folder() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
}

/// The folder beside which everything lies, with a fresh copy of the project called `inocula`.
fn workplace() -> PathBuf {
    let place = build_folder().join("../guides");
    fs::create_dir_all(place.join(".cargo")).unwrap();
    let place = place.canonicalize().unwrap();
    fs::write(place.join(".cargo/config.toml"), CONFIG).unwrap();
    mirror(&root(), &place.join("inocula"));
    place
}

/// Makes `to` hold what `from` holds, without touching files that are the same: cargo goes by their
/// times. Folders of builds and of git are left alone.
fn mirror(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let names = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let kept = |name: Option<&OsStr>| name.is_some_and(|n| n != "target" && n != ".git");
        entries.filter(|path| kept(path.file_name())).collect()
    };
    for path in names(to) {
        let original = from.join(path.file_name().unwrap());
        if !original.exists() {
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.unwrap();
        }
    }
    for path in names(from) {
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            mirror(&path, &copy);
        } else if fs::read(&copy).ok() != Some(fs::read(&path).unwrap()) {
            fs::copy(&path, &copy).unwrap();
        }
    }
}

/// A terminal as the reader's: `inocula` is on the path, and nothing of this test's own build is in
/// the environment.
fn terminal(command: &mut Command) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(build_folder()).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(paths).unwrap());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO") && text != "CARGO_HOME" && text != "CARGO_BUILD_JOBS"
            || text.starts_with("INOCULA_")
            || text == "RUSTFLAGS"
        {
            command.env_remove(&name);
        }
    }
    command.env("CARGO_INCREMENTAL", "0");
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

#[test]
fn a_backend_is_added_as_the_page_says() {
    let _one = COPY.lock().unwrap_or_else(PoisonError::into_inner);
    let program = build_folder().join(format!("inocula{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "the page uses the program: build it, `cargo build -p inocula-cli`");
    let folder = workplace().join("inocula-backend-loops");
    fs::create_dir_all(&folder).unwrap();
    // The versions of dependencies that this project was tested with, so that nothing is fetched.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    follow(&page("adding-a-backend.md"), &folder, terminal).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn an_attack_is_added_as_the_page_says() {
    let _one = COPY.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = workplace().join("inocula");
    follow(&page("adding-an-attack.md"), &folder, terminal).unwrap_or_else(|why| panic!("{why}"));
}

/// Each configuration of the results on a few images and for one epoch, and the fastest robust training
/// on enough of them to learn: small versions of what the page tells.
#[test]
fn the_trainings_of_the_results_run_on_part_of_the_images() {
    let mnist = match files::mnist() {
        Ok(mnist) => mnist.canonicalize().unwrap(),
        Err(why) => return files::skip(&why).unwrap(),
    };
    let folder = tempfile::tempdir().unwrap();
    let inocula = |arguments: &[&str]| {
        let mut command = Command::new("inocula");
        terminal(&mut command);
        let command = command.env("INOCULA_MNIST", &mnist).current_dir(folder.path());
        let output = command.args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "inocula {}: {told}", arguments.join(" "));
    };
    for entry in fs::read_dir(root().join("docs/results")).unwrap() {
        let path = entry.unwrap().path();
        let (config, name) = (path.to_str().unwrap(), path.file_stem().unwrap().to_str().unwrap());
        // Batches of private trainings take more images than others have.
        let images = if name.contains("private") || name == "opacus" { "4096" } else { "256" };
        inocula(&[
            "train",
            "--config",
            config,
            "--train-samples",
            images,
            "--epochs",
            "1",
            "--out",
            name,
        ]);
    }
    let config = root().join("docs/results/fast-small.toml");
    let config = config.to_str().unwrap();
    inocula(&["train", "--config", config, "--train-samples", "6000", "--out", "small"]);
    inocula(&[
        "attack",
        "small",
        "--attack",
        "pgd",
        "--eps",
        "0.3",
        "--steps",
        "20",
        "--step",
        "0.03",
        "--samples",
        "500",
        "--out",
        "attacked",
    ]);
    let text = fs::read_to_string(folder.path().join("attacked/attack.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    let left = record["result"]["robust_accuracy"].as_f64().unwrap();
    // Without a defence none is left; with all images 86 % are, under a longer attack.
    assert!(left > 0.5, "{left} left after fast training on 6,000 images");
}

#[test]
fn models_of_three_fields_are_compared_as_the_page_says() {
    let (credit, places) = match (files::german_credit(), files::location30()) {
        (Ok(credit), Ok(places)) => (credit, places),
        (Err(why), _) | (_, Err(why)) => return files::skip(&why).unwrap(),
    };
    let folder = tempfile::tempdir().unwrap();
    let data = |command: &mut Command| {
        terminal(command);
        command.env("INOCULA_GERMAN_CREDIT", credit.canonicalize().unwrap());
        command.env("INOCULA_LOCATION30", places.canonicalize().unwrap());
    };
    follow(&page("fields.md"), folder.path(), data).unwrap_or_else(|why| panic!("{why}"));
    for report in ["health", "credit", "places"] {
        let text =
            fs::read_to_string(folder.path().join(report).join("report/report.json")).unwrap();
        let report = inocula_core::report::Report::from_json(&text).unwrap();
        let [baseline, robust, private, both] = &report.models[..] else { panic!("four models") };
        let under_attack = |m: &inocula_core::report::ModelReport| m.robust_accuracy().unwrap();
        assert!(under_attack(robust) > under_attack(baseline), "{}", report.title);
        assert!(private.privacy_budget.is_some() && both.privacy_budget.is_some());
    }
}
