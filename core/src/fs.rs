//! Files that are whole or not there.
//!
//! Output goes to a temporary name in the same folder, is flushed to the disk, and is then renamed:
//! a full disk, a signal or a crash leaves the old file or none, never half of the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result, bail};

/// Removes the temporary file unless the write got through.
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // The write has failed already; that a remnant could not be removed adds nothing.
            let _ = fs::remove_file(path);
        }
    }
}

/// Writes `path` by what `write` sends to its writer; `path` changes only if all of it succeeded.
///
/// # Errors
/// The folder is missing or not writable, the disk is full, or `write` failed.
pub fn write_atomic(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let Some(name) = path.file_name() else {
        bail!(Io, "cannot write {}: it is not a file name", path.display());
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let hidden = format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id());
    let temporary = folder.join(hidden);
    let io = |e: std::io::Error| Error::io(path, "write", &e);
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary);
    let file = file.map_err(io)?;
    let mut guard = Temporary(Some(temporary.clone()));
    let mut writer = BufWriter::new(file);
    write(&mut writer)?;
    let file = writer.into_inner().map_err(|e| io(e.into_error()))?;
    file.sync_all().map_err(io)?;
    fs::rename(&temporary, path).map_err(io)?;
    guard.0 = None;
    // The rename itself reaches the disk with the folder.
    File::open(folder).and_then(|f| f.sync_all()).map_err(io)
}

/// Writes `bytes` to `path`, whole or not at all.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    write_atomic(path, |w| w.write_all(bytes).map_err(|e| Error::io(path, "write", &e)))
}

/// Makes a folder and those above it.
///
/// # Errors
/// Something else has the name, or the place is not writable.
pub fn create_dir(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if path.exists() && !path.is_dir() {
        bail!(Io, "cannot make the folder {}: a file has that name", path.display());
    }
    fs::create_dir_all(path).map_err(|e| Error::io(path, "make the folder", &e))
}

/// Reads a whole file of at most `max_bytes`.
///
/// # Errors
/// It is missing, not readable, or larger.
pub fn read(path: impl AsRef<Path>, max_bytes: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let io = |e: std::io::Error| Error::io(path, "read", &e);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io)?;
    // One byte more than allowed tells a larger file from one that just fits.
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > max_bytes {
        bail!(Data, "{}: larger than the {max_bytes} bytes allowed here", path.display());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_remnant() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        write_bytes(&path, b"old").unwrap();
        let failed = write_atomic(&path, |w| {
            w.write_all(b"half of the n").unwrap();
            bail!(Io, "no space left")
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn errors_name_the_path_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no/such/file");
        let text = write_bytes(&missing, b"").unwrap_err().to_string();
        assert!(text.contains("no/such/file") && text.contains("check the path"), "{text}");
        let file = folder.path().join("file");
        write_bytes(&file, b"12345").unwrap();
        assert!(create_dir(&file).unwrap_err().to_string().contains("a file has that name"));
        assert!(read(&file, 4).unwrap_err().to_string().contains("larger than the 4 bytes"));
        assert_eq!(read(&file, 5).unwrap(), b"12345");
    }

    #[test]
    fn a_full_disk_is_reported() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let err = File::create(full).unwrap().write_all(&[0; 10]).unwrap_err();
        assert!(Error::io(full, "write", &err).to_string().contains("free some space"));
    }
}
