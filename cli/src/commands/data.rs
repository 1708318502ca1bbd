//! `inocula data get`: downloads with a checksum.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use inocula_core::data::known::{self, KnownFile, KnownSet};
use inocula_core::error::nearest;
use inocula_core::{Error, ErrorKind, Result, bail, fs};
use sha2::{Digest as _, Sha256};

use crate::args::DataCommand;
use crate::progress::Bar;
use crate::{interrupt, output};

pub(super) fn run(command: DataCommand, quiet: bool) -> Result<()> {
    let DataCommand::Get { name, to, mirror } = command;
    let set = find(&name)?;
    let folder = to.unwrap_or_else(|| inocula_core::data::data_home().join(set.name));
    fs::create_dir(&folder)?;
    let mirrors: Vec<String> = match mirror {
        Some(mirror) => vec![mirror],
        None => set.mirrors.iter().map(|&m| m.to_owned()).collect(),
    };
    for file in set.files {
        let path = folder.join(file.name);
        if is_there(&path, file) {
            output::line(format!("{}: already there, checksum matches", path.display()));
            continue;
        }
        get(&path, file, &mirrors, quiet)?;
        output::line(format!("{}: {} bytes, checksum matches", path.display(), file.bytes));
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static KnownSet> {
    if let Some(set) = known::SETS.iter().find(|s| s.name == name) {
        return Ok(set);
    }
    let names: Vec<&str> = known::SETS.iter().map(|s| s.name).collect();
    let hint = nearest(name, names.iter().copied());
    let hint = hint.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
    bail!(NotFound, "data: {name:?} is not one of {}{hint}", names.join(", "))
}

fn is_there(path: &Path, file: &KnownFile) -> bool {
    fs::read(path, file.bytes).is_ok_and(|bytes| sha256(&bytes) == file.sha256)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Tries one mirror after the other; the error tells what was wrong with each.
fn get(path: &Path, file: &KnownFile, mirrors: &[String], quiet: bool) -> Result<()> {
    let mut tried = Vec::new();
    for mirror in mirrors {
        let address = format!("{}/{}", mirror.trim_end_matches('/'), file.name);
        match download(&address, file, quiet) {
            Ok(bytes) => return fs::write_bytes(path, &bytes),
            Err(err) if err.kind() == ErrorKind::Cancelled => return Err(err),
            Err(err) => tried.push(format!("{address}: {err}")),
        }
    }
    bail!(
        Io,
        "data: {} could not be downloaded ({}); pass --mirror ADDRESS, or put the file into {} \
         yourself",
        file.name,
        tried.join("; "),
        path.parent().unwrap_or(path).display()
    )
}

/// The bytes at `address`, which have the size and checksum of `file`.
fn download(address: &str, file: &KnownFile, quiet: bool) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Display| Error::new(ErrorKind::Io, e.to_string());
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .build()
        .into();
    let response = agent.get(address).call().map_err(|e| failed(&e))?;
    let mut body = response.into_body().into_reader().take(file.bytes + 1);
    let mut bar = Bar::new(quiet);
    let mut bytes = Vec::new();
    let mut part = vec![0; 1 << 16];
    loop {
        interrupt::check()?;
        let n = body.read(&mut part).map_err(|e| failed(&e))?;
        if n == 0 {
            break;
        }
        bytes.extend_from_slice(&part[..n]);
        bar.show(file.name, bytes.len(), file.bytes as usize)?;
    }
    bar.clear();
    if bytes.len() as u64 != file.bytes {
        let more = if bytes.len() as u64 > file.bytes { "more than " } else { "" };
        let got = (bytes.len() as u64).min(file.bytes);
        bail!(Data, "{more}{got} bytes instead of {}", file.bytes);
    }
    let sum = sha256(&bytes);
    if sum != file.sha256 {
        bail!(Data, "SHA-256 {sum} instead of {}", file.sha256);
    }
    Ok(bytes)
}
