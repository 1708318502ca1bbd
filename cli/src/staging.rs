//! Results of several files, together or not at all.
//!
//! Each file alone is written whole, but a disk that fills up between two of them would leave the
//! weights of one run beside the configuration of another. So the files are written to a hidden
//! folder within the target first and moved out of it once all are there.

use std::path::{Path, PathBuf};

use inocula_core::{Error, Result, fs};

/// The hidden folder; removed with what is left in it, whether the writing succeeded or not.
struct Staging(PathBuf);

impl Drop for Staging {
    fn drop(&mut self) {
        // What went wrong before is the error to tell; a remnant that stays adds nothing to it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Lets `write` fill an empty folder, then moves `names` from there to `folder`, the last of which
/// marks the result as complete: an older one goes first and the new one comes last.
///
/// # Errors
/// `write` failed, and `folder` is as before; or a file could not be moved.
pub(crate) fn publish(
    folder: &Path,
    names: &[&str],
    write: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let staging = Staging(folder.join(format!(".inocula-{}.tmp", std::process::id())));
    fs::create_dir(&staging.0)?;
    // The user knows the folder, not the place within it.
    let place = staging.0.display().to_string();
    let shown = |e: Error| {
        Error::new(e.kind(), e.to_string().replace(&place, &folder.display().to_string()))
    };
    write(&staging.0).map_err(shown)?;
    if let Some(marker) = names.last().map(|name| folder.join(name)).filter(|path| path.exists()) {
        std::fs::remove_file(&marker).map_err(|e| Error::io(&marker, "replace", &e))?;
    }
    for name in names {
        let path = folder.join(name);
        std::fs::rename(staging.0.join(name), &path).map_err(|e| Error::io(&path, "write", &e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use inocula_core::bail;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_appear_together_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let both = |text: &'static str| {
            move |to: &Path| {
                fs::write_bytes(to.join("a"), text.as_bytes())?;
                fs::write_bytes(to.join("b"), text.as_bytes())
            }
        };
        publish(folder, &["a", "b"], both("old")).unwrap();
        let failed = publish(folder, &["a", "b"], |to| {
            fs::write_bytes(to.join("a"), b"new")?;
            bail!(Io, "no space left")
        });
        assert_eq!(failed.unwrap_err().to_string(), "no space left");
        assert_eq!(names(folder), ["a", "b"]);
        assert_eq!(std::fs::read(folder.join("a")).unwrap(), b"old");
        publish(folder, &["a", "b"], both("new")).unwrap();
        assert_eq!(names(folder), ["a", "b"]);
        assert_eq!(std::fs::read(folder.join("a")).unwrap(), b"new");
    }
}
