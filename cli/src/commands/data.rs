//! `inocula data get`: downloads with a checksum.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use inocula_core::data::known::{self, KnownFile};
use inocula_core::{Error, ErrorKind, Result, bail, fs};
use sha2::{Digest as _, Sha256};

use crate::args::DataCommand;
use crate::progress::Bar;
use crate::{interrupt, output};

pub(super) fn run(command: DataCommand, quiet: bool) -> Result<()> {
    let DataCommand::Get { name, to, mirror } = command;
    let set = known::find(&name)?;
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
        output::line(format!("{}: downloaded, checksum matches", path.display()));
    }
    Ok(())
}

fn is_there(path: &Path, file: &KnownFile) -> bool {
    fs::read(path, file.content_bytes).is_ok_and(|bytes| verify(&bytes, file).is_ok())
}

/// Checks what a compressed file holds. Copies that were compressed anew are as good as the first.
fn verify(bytes: &[u8], file: &KnownFile) -> Result<()> {
    let mut content = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(file.content_bytes + 1).read_to_end(&mut content);
    if let Err(err) = read {
        bail!(Data, "not a complete gzip file ({err})");
    }
    if content.len() as u64 != file.content_bytes {
        let got = content.len();
        bail!(Data, "holds {got} bytes or more instead of {}", file.content_bytes);
    }
    let digest = Sha256::digest(&content);
    let sum: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    if sum != file.content_sha256 {
        bail!(Data, "the content's SHA-256 is {sum} instead of {}", file.content_sha256);
    }
    Ok(())
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

/// The bytes at `address`, which hold what `file` should.
fn download(address: &str, file: &KnownFile, quiet: bool) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Display| Error::new(ErrorKind::Io, e.to_string());
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .build()
        .into();
    let response = agent.get(address).call().map_err(|e| failed(&e))?;
    let mut body = response.into_body().into_reader().take(file.content_bytes);
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
    verify(&bytes, file)?;
    Ok(bytes)
}
