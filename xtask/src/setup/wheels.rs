//! Libtorch out of Python wheels: download, space, unpacking.
//!
//! Python does both halves: its pip downloads and compares digests, its zipfile unpacks. It is
//! needed for the first anyway, and so this crate needs neither an HTTP client nor an archive
//! reader. All is made in a folder beside the final one and moved there in the end, so an
//! interrupted run leaves nothing that could be taken for an installation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::failed;
use super::libtorch::VERSION;
use crate::Outcome;

/// The wheels: pip's name and version of each, and the digest of its file.
const WHEELS: &[(&str, &str)] = &[
    ("torch==2.13.0", "796633c4cdf0fe2cdced72d8f88f22e73dbcfce83132763162f6d4bff13b820b"),
    (
        "nvidia-cuda-runtime==13.0.96",
        "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    ),
    (
        "nvidia-cuda-cupti==13.0.85",
        "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
    ),
];

/// Which of the builds of these versions: any Python can download those of another.
const TAGS: &[&str] = &[
    "--only-binary=:all:",
    "--implementation=cp",
    "--python-version=3.12",
    "--abi=cp312",
    "--abi=none",
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux_2_27_x86_64",
    "--platform=manylinux_2_25_x86_64",
    "--platform=manylinux2014_x86_64",
    "--platform=manylinux_2_17_x86_64",
];

/// Room for the wheels and what comes out of them, in KiB.
const NEEDED: u64 = 1_100_000;

/// Unpacks the wheels `argv[2:]` into `argv[1]`: headers, and the libraries that a CPU needs.
/// libtorch_cpu links libcudart and libcupti even where there is no GPU.
const UNPACK: &str = r#"
import os, shutil, sys, zipfile
out, wheels = sys.argv[1], sys.argv[2:]
libraries = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"}
for wheel in wheels:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            parts = entry.filename.split("/")
            if entry.is_dir() or ".." in parts:
                continue
            if parts[:2] == ["torch", "include"]:
                path = os.path.join(out, *parts[1:])
            elif parts[-2:-1] == ["lib"] and parts[-1] in libraries:
                path = os.path.join(out, "lib", parts[-1])
            else:
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(entry) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
"#;

/// Makes the folder `to`, which must not hold an installation yet.
pub(super) fn install(to: &Path) -> Outcome {
    let (Some(parent), Some(name)) = (to.parent(), to.file_name()) else {
        return Err(format!("{} is no folder to put libtorch in; choose another", to.display()));
    };
    if to.exists() && !is_empty(to) {
        return Err(format!("{} holds something else; choose another --dir", to.display()));
    }
    fs::create_dir_all(parent).map_err(|err| failed("make", parent, &err))?;
    has_room(parent)?;
    let mut partial = name.to_owned();
    partial.push(".partial");
    let partial = parent.join(partial);
    let made = make(&partial).and_then(|folder| {
        // An empty folder in the way is replaced by the rename.
        fs::rename(&folder, to).map_err(|err| failed("write", to, &err))
    });
    let cleaned = remove(&partial);
    made.and(cleaned)
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn remove(folder: &Path) -> Outcome {
    match fs::remove_dir_all(folder) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("remove", folder, &err))
        }
        _ => Ok(()),
    }
}

/// Makes an installation somewhere in `partial`, and says where.
fn make(partial: &Path) -> Result<PathBuf, String> {
    remove(partial)?;
    let (wheels, folder) = (partial.join("wheels"), partial.join("libtorch"));
    fs::create_dir_all(&wheels).map_err(|err| failed("make", &wheels, &err))?;
    download(&wheels)?;
    unpack(&wheels, &folder)?;
    finish(&folder)?;
    Ok(folder)
}

/// The wheels, by the user's pip.
fn download(wheels: &Path) -> Outcome {
    let requirements = wheels.join("requirements.txt");
    fs::write(&requirements, requirements_text())
        .map_err(|err| failed("write", &requirements, &err))?;
    has_pip()?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--no-deps", "--require-hashes"]).args(TAGS);
    pip.arg("--dest").arg(wheels).arg("--requirement").arg(&requirements);
    eprintln!("setup: downloading libtorch {VERSION}, 540 MB");
    match pip.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!(
            "pip did not get the wheel of torch {VERSION}, see above; get libtorch {VERSION} by other \
             means and set LIBTORCH to its folder"
        )),
        Err(err) => Err(format!("python3 cannot be started: {err}")),
    }
}

fn requirements_text() -> String {
    WHEELS.iter().map(|(what, digest)| format!("{what} --hash=sha256:{digest}\n")).collect()
}

fn has_pip() -> Outcome {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    let otherwise =
        format!("or get libtorch {VERSION} by other means and set LIBTORCH to its folder");
    match pip.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("python3 has no pip to download with; install pip, {otherwise}")),
        Err(_) => Err(format!("no python3 to download with; install Python with pip, {otherwise}")),
    }
}

fn unpack(wheels: &Path, folder: &Path) -> Outcome {
    let mut python = Command::new("python3");
    python.args(["-c", UNPACK]).arg(folder);
    let entries = fs::read_dir(wheels).map_err(|err| failed("read", wheels, &err))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    python.args(files.filter(|file| file.extension().is_some_and(|e| e == "whl")));
    eprintln!("setup: unpacking");
    let output = python.output().map_err(|err| format!("python3 cannot be started: {err}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let why = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    Err(format!("cannot unpack the wheels into {}: {why}", folder.display()))
}

/// What the wheels do not have: names to link with, and the version that torch-sys looks for.
fn finish(folder: &Path) -> Outcome {
    // The wheel's libtorch.so links the libraries for GPUs; to the linker this text is as good.
    for (name, text) in [
        ("lib/libtorch.so", "INPUT(libtorch_cpu.so)"),
        ("lib/libgomp.so", "INPUT(libgomp.so.1)"),
        ("build-version", VERSION),
    ] {
        let path = folder.join(name);
        fs::write(&path, format!("{text}\n")).map_err(|err| failed("write", &path, &err))?;
    }
    Ok(())
}

/// Fails if the disk of `folder` is too full. A machine that cannot say is believed to have room.
fn has_room(folder: &Path) -> Outcome {
    let output = Command::new("df").arg("-Pk").arg(folder).output();
    let free = output.ok().and_then(|o| available(&String::from_utf8_lossy(&o.stdout)));
    match free {
        Some(free) if free < NEEDED => Err(format!(
            "{} MB are free in {} and {} MB are needed; free some space or choose another --dir",
            free / 1000,
            folder.display(),
            NEEDED / 1000
        )),
        _ => Ok(()),
    }
}

/// KiB available, from the second line of what `df -Pk` prints.
fn available(table: &str) -> Option<u64> {
    table.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wheel_is_pinned_by_its_digest() {
        let text = requirements_text();
        assert_eq!(text.lines().count(), WHEELS.len());
        for line in text.lines() {
            let digest = line.rsplit(':').next().unwrap();
            assert!(line.contains("==") && digest.len() == 64, "{line}");
        }
        assert!(text.starts_with(&format!("torch=={VERSION} ")));
    }

    #[test]
    fn free_space_is_read_from_the_table_of_df() {
        let table = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                     /dev/vda 263174212 37000000 58123456 40% /\n";
        assert_eq!(available(table), Some(58_123_456));
        assert_eq!(available("df: no such file\n"), None);
    }

    #[test]
    fn a_folder_in_use_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("inocula-wheels-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("mine"), "").unwrap();
        let why = install(&folder).unwrap_err();
        assert!(why.contains("holds something else"), "{why}");
        assert!(folder.join("mine").exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
