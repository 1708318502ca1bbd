//! Reading and writing files so that none is ever half-written.
//!
//! A run takes hours and may be killed, or fill the disk, at any byte. A file of results that
//! stops in the middle is worse than none: it looks like a result. So everything is written to a
//! temporary name in the same folder (a rename within a file system is atomic), brought to the
//! disk, and renamed over the old file as the last step. A reader sees the old contents or the
//! new ones. What fails before the rename removes the temporary file; only a killed process can
//! leave one behind, and its name (`.inocula-*.tmp`) says whose it was.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result, bail};

/// Writes `path` by way of a temporary file; see the [module](self).
///
/// `contents` gets a buffered writer. If the writer fails, that failure is reported, whatever
/// `contents` makes of it. An existing file keeps its permissions, and a symbolic link stays one:
/// the file it points to is replaced.
///
/// # Errors
/// The folder is missing or cannot be written, the disk is full, `path` is not a regular file, or
/// `contents` failed. The old file, if any, is then untouched.
pub fn write_atomic(
    path: impl AsRef<Path>,
    contents: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let target = follow_link(path)?;
    let permissions = existing_permissions(path)?;
    let mut temporary = Temporary::beside(&target)?;
    fill(&mut temporary.file, path, contents)?;
    let failed = |action, e: &io::Error| Error::io(path, action, e);
    if let Some(permissions) = permissions {
        temporary.file.set_permissions(permissions).map_err(|e| failed("keep the mode of", &e))?;
    }
    temporary.file.sync_all().map_err(|e| failed("write", &e))?;
    temporary.rename_to(&target).map_err(|e| failed("replace", &e))?;
    sync_folder(folder_of(&target)).map_err(|e| failed("write", &e))
}

/// Writes `bytes` to `path`, whole or not at all.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    write_atomic(path, |w| w.write_all(bytes).map_err(|e| Error::io(path, "write", &e)))
}

/// Makes the folder `path` and those above it; a folder that exists already is fine.
///
/// # Errors
/// The path, or one above it, is a file, or the place cannot be written to.
pub fn create_dir(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if let Some(file) = path.ancestors().find(|p| p.exists()).filter(|p| !p.is_dir()) {
        bail!(
            Io,
            "cannot create the folder {}: {} is a file; choose another path",
            path.display(),
            file.display()
        );
    }
    fs::create_dir_all(path).map_err(|e| Error::io(path, "create the folder", &e))
}

/// The contents of `path`, if they are at most `max_bytes`.
///
/// # Errors
/// The file is missing, unreadable, a folder, or larger than `max_bytes`.
pub fn read(path: impl AsRef<Path>, max_bytes: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let file = open(path)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that grew, or a pipe, from one that fits.
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io(path, "read", &e))?;
    if bytes.len() as u64 > max_bytes {
        bail!(
            Io,
            "cannot read {}: it is larger than {max_bytes} bytes; check that it is the right file",
            path.display()
        );
    }
    Ok(bytes)
}

/// Opens `path` for reading.
///
/// # Errors
/// The file is missing, unreadable, or a folder.
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    if path.is_dir() {
        bail!(Io, "cannot read {}: it is a folder; name a file in it", path.display());
    }
    File::open(path).map_err(|e| Error::io(path, "read", &e))
}

/// The file that a symbolic link points to, or `path` itself.
fn follow_link(path: &Path) -> Result<PathBuf> {
    if !path.is_symlink() {
        return Ok(path.to_path_buf());
    }
    fs::canonicalize(path).map_err(|e| Error::io(path, "follow the link", &e))
}

/// The permissions of the file to be replaced, if there is one. Refuses what a rename would
/// destroy: a folder, or a device such as `/dev/null`.
fn existing_permissions(path: &Path) -> Result<Option<fs::Permissions>> {
    match fs::metadata(path) {
        Err(_) => Ok(None),
        Ok(found) if found.is_file() => Ok(Some(found.permissions())),
        Ok(found) => {
            let what = if found.is_dir() { "a folder" } else { "not a regular file" };
            bail!(Io, "cannot write {}: it is {what}; choose another path", path.display())
        }
    }
}

/// Runs `contents` on a buffer over `sink` and reports the first failure of the sink.
fn fill(
    sink: impl Write,
    path: &Path,
    contents: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let mut writer = BufWriter::with_capacity(1 << 16, Remembering { sink, failure: None });
    let outcome = contents(&mut writer);
    let flushed = writer.flush();
    let failure = writer.get_mut().failure.take();
    // What a failed sink did not take must not be written again when the buffer is dropped.
    let _ = writer.into_parts();
    if let Some(failure) = failure {
        return Err(Error::io(path, "write", &failure));
    }
    outcome?;
    flushed.map_err(|e| Error::io(path, "write", &e))
}

/// A writer that keeps its first failure, which serialisers tend to wrap beyond recognition.
struct Remembering<W> {
    sink: W,
    failure: Option<io::Error>,
}

impl<W: Write> Remembering<W> {
    fn note<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|e| {
            let copy = io::Error::new(e.kind(), e.to_string());
            if e.kind() != io::ErrorKind::Interrupted {
                self.failure.get_or_insert(e);
            }
            copy
        })
    }
}

impl<W: Write> Write for Remembering<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = self.sink.write(bytes);
        self.note(outcome)
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = self.sink.flush();
        self.note(outcome)
    }
}

/// A file that is removed when dropped, unless it was renamed into place.
struct Temporary {
    file: File,
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    fn beside(target: &Path) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = folder_of(target);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            // The name does not contain the target's, which may be as long as a name can be.
            let path = folder.join(format!(".inocula-{}-{number}.tmp", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Temporary { file, path, renamed: false }),
                // Left by a killed process that had the same number.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(explain_folder(target, folder, &e)),
            }
        }
    }

    fn rename_to(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // Nothing more can be done about a failure: the error that led here is on its way.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Says what is wrong with the folder in which a file was to be written.
fn explain_folder(target: &Path, folder: &Path, err: &io::Error) -> Error {
    let wrong = if !folder.exists() {
        "does not exist; create it first"
    } else if !folder.is_dir() {
        "is a file; choose another path"
    } else {
        return Error::io(target, "write", err);
    };
    let message = format!("cannot write {}: {} {wrong}", target.display(), folder.display());
    Error::new(crate::ErrorKind::Io, message)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Brings the rename itself to the disk, where folders can be synchronised at all.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn put(w: &mut dyn Write, bytes: &[u8]) -> Result<()> {
        w.write_all(bytes).map_err(|e| Error::io("x", "write", &e))
    }

    /// A disk with room for so many bytes.
    struct Disk(usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let n = bytes.len().min(self.0);
            self.0 -= n;
            Ok(n)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_file_is_written_and_replaced_and_nothing_else_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        for text in ["first", "second, longer"] {
            write_atomic(&path, |w| put(w, text.as_bytes())).unwrap();
            assert_eq!(read(&path, 100).unwrap(), text.as_bytes());
        }
        assert_eq!(names(folder.path()), ["report.json"]);
    }

    #[test]
    fn a_failure_keeps_the_old_file_and_removes_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        fs::write(&path, "old").unwrap();
        let err = write_atomic(&path, |w| {
            put(w, &vec![1; 1 << 20])?;
            bail!(Numeric, "a weight is NaN")
        })
        .unwrap_err();
        assert_eq!((err.kind(), err.to_string().as_str()), (ErrorKind::Numeric, "a weight is NaN"));
        let panicked = std::panic::catch_unwind(|| {
            write_atomic(&path, |w| {
                put(w, b"new").unwrap();
                panic!("in the middle")
            })
        });
        assert!(panicked.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["weights"]);
    }

    #[test]
    fn a_full_disk_is_reported_at_whatever_byte() {
        for room in [0, 1, 99_999] {
            let err = fill(Disk(room), Path::new("a.bin"), |w| put(w, &[7; 100_000])).unwrap_err();
            assert_eq!(
                err.to_string(),
                "cannot write a.bin: no space left on the device; free some space and run again"
            );
        }
        fill(Disk(100_000), Path::new("a.bin"), |w| put(w, &[7; 100_000])).unwrap();
    }

    #[test]
    fn a_failure_of_the_disk_is_reported_even_if_the_contents_ignore_or_rename_it() {
        let ignored = fill(Disk(0), Path::new("a"), |w| {
            let _ = w.write_all(&[0; 1 << 17]);
            Ok(())
        });
        let renamed = fill(Disk(0), Path::new("a"), |w| {
            w.write_all(&[0; 1 << 17]).map_err(|_| Error::new(ErrorKind::Usage, "odd"))
        });
        for outcome in [ignored, renamed] {
            assert!(outcome.unwrap_err().to_string().contains("no space left"));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_full_device_of_linux_is_reported() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let err = fill(full, Path::new("/dev/full"), |w| put(w, b"x")).unwrap_err();
        assert!(err.to_string().contains("no space left"), "{err}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_not_a_regular_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let sub = folder.path().join("sub");
        create_dir(&sub).unwrap();
        for (path, why) in [(Path::new("/dev/full"), "not a regular file"), (&sub, "a folder")] {
            let err = write_atomic(path, |w| put(w, b"x")).unwrap_err();
            assert!(err.to_string().contains(why), "{err}");
        }
        assert_eq!(names(folder.path()), ["sub"]);
    }

    #[test]
    fn a_wrong_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let cases = [
            (folder.path().join("none").join("a"), "none does not exist; create it first"),
            (file.join("a"), "file is a file; choose another path"),
        ];
        for (path, why) in cases {
            let err = write_atomic(&path, |w| put(w, b"x")).unwrap_err();
            assert_eq!(err.kind(), ErrorKind::Io);
            assert!(err.to_string().ends_with(why), "{err}");
        }
        let err = create_dir(file.join("a").join("b")).unwrap_err();
        assert!(err.to_string().ends_with("file is a file; choose another path"), "{err}");
        create_dir(folder.path().join("a").join("b")).unwrap();
        create_dir(folder.path().join("a").join("b")).unwrap();
        assert!(folder.path().join("a").join("b").is_dir());
    }

    #[test]
    #[cfg(unix)]
    fn links_and_permissions_survive() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("file", &link).unwrap();
        write_atomic(&link, |w| put(w, b"new")).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn the_longest_name_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n".repeat(255));
        write_atomic(&path, |w| put(w, b"x")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[test]
    fn reading_is_bounded_and_says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, [0; 10]).unwrap();
        assert_eq!(read(&path, 10).unwrap().len(), 10);
        let cases = [
            (read(&path, 9), "larger than 9 bytes"),
            (read(folder.path(), 9), "it is a folder"),
            (read(folder.path().join("b"), 9), "no such file"),
        ];
        for (outcome, why) in cases {
            let err = outcome.unwrap_err();
            assert!(err.to_string().contains(why), "{err}");
        }
    }
}
