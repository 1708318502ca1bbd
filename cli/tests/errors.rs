//! Bad input: one line that says what to do, status 1, and nothing left behind.

mod common;

use std::fs;
use std::path::Path;

use common::{fails, mnist, names, train};

#[test]
fn mistakes_in_names_and_numbers() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let cases: [(&[&str], &[&str]); 19] = [
        (&["--model", "small-cn"], &["did you mean small-cnn?"]),
        (&["--optimizer", "adamm"], &["sgd, momentum, adam, rmsprop"]),
        (&["--rule", "madri", "--eps", "0.1"], &["did you mean madry?"]),
        (&["--rule", "madry"], &["pass --eps"]),
        (&["--rule", "madry", "--attack", "pdg", "--eps", "0.1"], &["did you mean pgd?"]),
        (&["--rule", "madry", "--eps", "8"], &["exceeds the box", "0..255"]),
        (&["--rule", "madry", "--eps", "-0.1"], &["eps = -0.1", "at least 0"]),
        (&["--rule", "mixed", "--eps", "0.1", "--ratio", "2"], &["ratio = 2", "[0, 1]"]),
        (&["--ratio", "0.5"], &["--rule mixed"]),
        (&["--lr", "0"], &["lr = 0", "positive"]),
        (&["--lr", "1e30", "--optimizer", "sgd"], &["loss became", "lower the learning rate"]),
        (&["--epochs", "0"], &["epochs = 0", "at least 1"]),
        (&["--batch-size", "0"], &["batch_size = 0", "at least 1"]),
        (&["--backend", "ndaray"], &["did you mean ndarray?"]),
        (&["--backend", "ndarray?threads=0"], &["threads=0"]),
        (&["--backend", "ndarray?thread=2"], &["no option", "threads"]),
        (&["--data", "no/such.csv"], &["no/such.csv", "check the path"]),
        (&["--data", "nowhere"], &["nowhere"]),
        (&["--config", "missing.toml"], &["missing.toml", "check the path"]),
    ];
    for (i, (flags, parts)) in cases.into_iter().enumerate() {
        let out = format!("run{i}");
        let args = [&["train", "--out", &out, "--epochs", "1"], flags].concat();
        // A repeated flag is refused by the parser; what a case sets replaces the usual.
        let args = without_repeats(&args);
        fails(folder, &args, parts);
        assert_eq!(names(&folder.join(&out)), [""; 0], "{flags:?} left files");
    }
}

/// Leaves out the usual value of a flag that is given twice.
fn without_repeats<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let repeated = args.iter().filter(|a| **a == "--epochs").count() > 1;
    match args.iter().position(|a| *a == "--epochs") {
        Some(at) if repeated => [&args[..at], &args[at + 2..]].concat(),
        _ => args.to_vec(),
    }
}

#[test]
fn mistakes_in_configuration_files() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let cases = [
        ("sed = 1", "did you mean seed?"),
        ("[train]\nepoch = 3", "did you mean epochs?"),
        ("[data]\nkind = \"digit\"", "did you mean digits?"),
        ("[train]\nepochs = \"three\"", "run.toml:2"),
        ("seed = ", "run.toml:1"),
        ("[model]\npreset = \"mlp\"\nlayers = []", "remove one"),
        ("[[model.layers]]\ntype = \"flatten\"", "10 classes"),
        ("test_fraction = 1.5", "test_fraction = 1.5"),
    ];
    for (text, part) in cases {
        fs::write(folder.join("run.toml"), text).unwrap();
        fails(folder, &["train", "--config", "run.toml", "--out", "run"], &[part]);
        assert_eq!(names(&folder.join("run")), [""; 0], "{text} left files");
    }
}

#[test]
fn malformed_data_files() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let file = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    file("nan.csv", b"a,b,y\n1,2,0\nnan,2,1\n");
    file("short.csv", b"a,b,y\n1,2,0\n3,1\n");
    file("not.npz", b"PK no zip");
    file("pixels.csv", b"a,b,y\n0,255,0\n3,1,1\n0,4,0\n3,2,1\n");
    let raw = "[data]\nkind = \"csv\"\npath = \"pixels.csv\"\nscale = \"none\"\n";
    file("pixels.toml", raw.as_bytes());
    let args = ["train", "-c", "pixels.toml", "-o", "run"];
    fails(folder, &args, &["has 255", "outside [0, 1]", "scale the values or widen the bounds"]);
    fs::create_dir(folder.join("idx")).unwrap();
    for part in ["train", "t10k"] {
        file(&format!("idx/{part}-images-idx3-ubyte"), &[0, 0, 8, 3, 0, 0, 0, 9, 0, 0]);
        file(&format!("idx/{part}-labels-idx1-ubyte"), &[0, 0, 8, 1, 0, 0, 0, 0]);
    }
    for (data, parts) in [
        ("nan.csv", &["nan.csv", "line 3"][..]),
        ("short.csv", &["line 3 has 2 columns", "mend"]),
        ("not.npz", &["not.npz"]),
        ("idx", &["train-images-idx3-ubyte"]),
    ] {
        fails(folder, &["train", "--data", data, "--out", "run"], parts);
        assert_eq!(names(&folder.join("run")), [""; 0], "{data} left files");
    }
}

#[test]
fn damaged_runs() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let attack = ["attack", "run", "--attack", "fgsm", "--eps", "0.1"];
    fails(folder, &attack, &["not the folder of a finished run", "inocula train"]);
    train(folder, "run", &[]);
    let path = folder.join("run/model.safetensors");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    fails(folder, &attack, &["model.safetensors", "not a safetensors file"]);
    let mut poisoned = whole.clone();
    let end = poisoned.len();
    poisoned[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, &poisoned).unwrap();
    fails(folder, &attack, &["NaN"]);
    fs::write(&path, &whole).unwrap();
    let spec = folder.join("run/model.toml");
    let text = fs::read_to_string(&spec).unwrap();
    fs::write(&spec, text.replace("features = 10", "features = 11")).unwrap();
    fails(folder, &attack, &["model", "10 classes"]);
    assert!(!folder.join("run/attack-fgsm-linf-0.1").exists());
}

#[test]
fn runs_that_do_not_compare() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    train(folder, "a", &[]);
    train(folder, "b", &["--seed", "2"]);
    let args = ["evaluate", "a", "b", "--eps", "0.1", "--attacks", "fgsm"];
    fails(folder, &args, &["the same data and seed"]);
    fails(folder, &["evaluate", "a"], &["--eps"]);
    fails(folder, &["evaluate", "a", "--eps", "0.1", "--samples", "0"], &["nothing to attack"]);
    fails(folder, &["attack", "a"], &["--attack NAME --eps SIZE"]);
    let steps = ["attack", "a", "--attack", "fgsm", "--eps", "0.1", "--steps", "3"];
    fails(folder, &steps, &["fgsm", "`steps`", "leave that flag out"]);
    let target = ["attack", "a", "--attack", "fgsm", "--eps", "0.1", "--target", "10"];
    fails(folder, &target, &["classes 0 to 9"]);
}

#[test]
fn output_that_cannot_be_written() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    fs::write(folder.join("file"), b"mine").unwrap();
    for out in ["file", "file/below"] {
        fails(folder, &["train", "--epochs", "1", "--out", out], &["is a file"]);
    }
    assert_eq!(fs::read(folder.join("file")).unwrap(), b"mine");
    // A place where not even root makes folders.
    if Path::new("/proc/self").exists() {
        fails(folder, &["train", "--epochs", "1", "--out", "/proc/inocula"], &["/proc/inocula"]);
    }
}

#[test]
fn swapped_idx_files_are_noticed() {
    let Some(mnist) = mnist() else { return };
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let text = format!(
        "[data]\nkind = \"idx\"\nimages = {:?}\nlabels = {:?}\n",
        mnist.join("t10k-labels-idx1-ubyte.gz"),
        mnist.join("t10k-images-idx3-ubyte.gz")
    );
    fs::write(folder.join("run.toml"), text).unwrap();
    fails(folder, &["train", "-c", "run.toml", "-o", "run"], &["swap"]);
}
