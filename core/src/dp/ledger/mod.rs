//! The privacy ledger: every noisy step is on disk before anybody sees what it released.
//!
//! A run that is killed and resumed has released more than its last checkpoint knows. If epsilon
//! came from a counter in the checkpoint, the steps since then would be forgotten, and the figure
//! too small. So each step is appended here and synchronised *before* its noisy update is used:
//!
//! 1. [`Ledger::append`] writes the record and waits for the disk.
//! 2. Only then may the update touch the weights, a log, or anything else.
//!
//! Killed between the two, the step is counted and was not used: over by one. A resumed run does
//! again the steps behind its checkpoint, with new noise; they were released twice, and are counted
//! twice. Nothing that was used is ever missing, which is the only direction that matters. Records
//! of several steps ([`Entry`]) save synchronisations and over-count by as many.
//!
//! A record that the disk took in part is at the end of the file, since nothing is appended behind
//! one that failed. It still counts, as one step, and [`Ledger::open`] puts a record of that in its
//! place, where an interrupted repair leaves a torn record again. Damage anywhere else is an error.
//! What no file can show is that whole records were cut off its end. The state of a run can, up to the
//! step that it knows of: it keeps a [`Mark`], and [`Ledger::resume`] refuses what does not come up to it.
//!
//! The alternative, a log that is rewritten whole and renamed at each step as the other files of a
//! run are, would cost time in proportion to the steps so far.

mod contents;
mod format;
mod known;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

pub(crate) use self::contents::SEEDED;
pub use self::contents::{Contents, read};
use self::contents::{End, after, parse};
use self::format::{Record, SIZE};
pub use self::known::{Known, Mark};
use super::accounting::{Mechanism, Sampling};
use crate::{Error, ErrorKind, Result, bail};

/// A ledger of a step a record reaches this size after sixteen million steps.
const MAX_BYTES: u64 = 1 << 30;

/// What a ledger is about; fixed when it is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// Samples of the private data set.
    pub samples: u64,
    /// The delta of the run, in (0, 1).
    pub delta: f64,
}

impl Terms {
    /// The header of a ledger of these terms whose steps come of `origin`.
    #[must_use]
    pub fn drawn(self, origin: Origin) -> Header {
        Header { terms: self, origin: Some(origin) }
    }

    fn check(&self) -> Result<()> {
        if !(self.delta > 0.0 && self.delta < 1.0) {
            bail!(Config, "ledger: delta {} must be in (0, 1), say 1e-5", self.delta);
        }
        if self.samples == 0 {
            bail!(Config, "ledger: a data set of 0 samples has nothing to protect; check the data");
        }
        Ok(())
    }
}

/// How the batches of a run are drawn, and its noise. Epsilon is no guarantee unless by Poisson sampling
/// and from a secret, so both stand beside the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// How batches are drawn.
    pub sampling: Sampling,
    /// Whether batches and noise follow from a seed that others may know.
    pub seeded: bool,
}

/// What a ledger says before its steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Header {
    /// What it is about.
    pub terms: Terms,
    /// How batches and noise are drawn; a ledger without it is read with a warning.
    pub origin: Option<Origin>,
}

impl From<Terms> for Header {
    /// Nothing is said of batches and noise.
    fn from(terms: Terms) -> Self {
        Header { terms, origin: None }
    }
}

/// Steps of one mechanism that follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// Number of the first, counted by the run.
    pub step: u64,
    /// How many there are, on batches of which rate, with what noise.
    pub mechanism: Mechanism,
}

/// A ledger that is open for appending, and locked against other processes.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    contents: Contents,
    end: End,
    /// After a failure the file may end in anything, so nothing more may be appended.
    failed: bool,
}

impl Ledger {
    /// A new ledger.
    ///
    /// # Errors
    /// There is a file at `path` already, it cannot be written, or the terms are out of range.
    pub fn create(path: impl AsRef<Path>, header: impl Into<Header>) -> Result<Self> {
        let (path, header) = (path.as_ref(), header.into());
        header.terms.check()?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|err| match err.kind() {
                io::ErrorKind::AlreadyExists => {
                    let what = format!("cannot create {}: there is a file already, whose steps count; open it, or choose another path", path.display());
                    Error::new(ErrorKind::Io, what)
                }
                _ => Error::io(path, "create", &err),
            })?;
        lock(&file, path)?;
        write_header(&mut file, path, &header)?;
        Ledger::of(file, path)
    }

    /// An existing ledger. A torn last record is replaced by one that counts it as a step.
    ///
    /// # Errors
    /// The file cannot be read or written, another process has it open, it is no ledger of this
    /// version, or it is damaged anywhere but in its last record.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let options = OpenOptions::new().read(true).write(true).open(path);
        let file = options.map_err(|err| Error::io(path, "open", &err))?;
        lock(&file, path)?;
        Ledger::of(file, path)
    }

    /// The ledger at `path`, made if there is none: how a run begins.
    ///
    /// # Errors
    /// As [`Ledger::create`] and [`Ledger::open`], or the ledger has another header.
    pub fn open_or_create(path: impl AsRef<Path>, header: impl Into<Header>) -> Result<Self> {
        let (path, header) = (path.as_ref(), header.into());
        header.terms.check()?;
        if !path.exists() {
            return Ledger::create(path, header);
        }
        let options = OpenOptions::new().read(true).write(true).open(path);
        let mut file = options.map_err(|err| Error::io(path, "open", &err))?;
        lock(&file, path)?;
        // Killed while it was made: before the header is on the disk nothing is appended.
        let found = beginning(&mut file, path)?;
        if found.len() < SIZE && format::header(&header).starts_with(&found) {
            write_header(&mut file, path, &header)?;
        }
        let bytes = whole(&mut file, path)?;
        let (contents, _) = parse(&bytes).map_err(|err| err.context(path.display()))?;
        same_header(path, &contents, &header)?;
        Ledger::of(file, path)
    }

    /// The ledger at `path` of a run that goes on from a state which knows of `known`. A ledger that lacks
    /// some of it is refused, and left as it is: what is missing was released all the same.
    ///
    /// # Errors
    /// As [`Ledger::open_or_create`], or it does not come up to what is known.
    pub fn resume(
        path: impl AsRef<Path>,
        header: impl Into<Header>,
        known: &Known,
    ) -> Result<Self> {
        let (path, header) = (path.as_ref(), header.into());
        if known.is_nothing() {
            return Ledger::open_or_create(path, header);
        }
        if !path.exists() {
            return Err(known.refusal(path, "is missing"));
        }
        let options = OpenOptions::new().read(true).write(true).open(path);
        let mut file = options.map_err(|err| Error::io(path, "open", &err))?;
        lock(&file, path)?;
        let bytes = whole(&mut file, path)?;
        let contents = known.check(path, &bytes)?;
        same_header(path, &contents, &header)?;
        Ledger::of(file, path)
    }

    /// Where the ledger is now, for a state to keep.
    pub fn mark(&self) -> Mark {
        Mark { records: self.end.number, seal: self.end.seal }
    }

    /// Brings `entry` to the disk. What it stands for may be used only after this has returned.
    ///
    /// # Errors
    /// The file could not be written. Nothing can be appended to this value then: open the ledger
    /// again.
    pub fn append(&mut self, entry: Entry) -> Result<()> {
        if self.failed {
            bail!(
                Io,
                "{}: an earlier record could not be written; free some space and resume the run",
                self.path.display()
            );
        }
        self.write(&Record::Steps(entry))?;
        self.contents.entries.push(entry);
        Ok(())
    }

    /// What has been recorded so far.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    fn of(mut file: File, path: &Path) -> Result<Self> {
        let bytes = whole(&mut file, path)?;
        let (contents, end) = parse(&bytes).map_err(|err| err.context(path.display()))?;
        let mut ledger = Ledger { path: path.to_path_buf(), file, contents, end, failed: false };
        if end.torn {
            ledger.write(&Record::Torn)?;
        }
        Ok(ledger)
    }

    /// Puts `record` at the end, over a torn one if there is one. Every state in between is that of
    /// a file whose last record is torn.
    fn write(&mut self, record: &Record) -> Result<()> {
        let block = format::record(record, self.end.number, &self.end.seal);
        let offset = self.end.offset();
        let written = self
            .file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.write_all(&block))
            // The size of the file is among what this brings to the disk.
            .and_then(|()| self.file.sync_data());
        if let Err(err) = written {
            self.failed = true;
            return Err(Error::io(&self.path, "write", &err));
        }
        self.end = after(self.end, &block);
        Ok(())
    }
}

/// Refuses a ledger of another run, as far as headers tell.
fn same_header(path: &Path, found: &Contents, wanted: &Header) -> Result<()> {
    let Header { terms, origin } = wanted;
    if found.terms != *terms {
        bail!(
            Config,
            "{}: made for {} samples and delta {}, not {} and {}; go on with those, or choose \
             another ledger",
            path.display(),
            found.terms.samples,
            found.terms.delta,
            terms.samples,
            terms.delta
        );
    }
    if found.origin != *origin {
        bail!(
            Config,
            "{}: made for batches and noise that are drawn in another way; go on with the configuration \
             it was started with, or choose another ledger",
            path.display()
        );
    }
    Ok(())
}

/// Refuses a file that another process appends to: their records would overwrite each other.
fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => bail!(
            Io,
            "cannot open {}: another process has it open; wait for its end, or choose another path",
            path.display()
        ),
        // File systems without locks exist; that two runs share a ledger there is up to the user.
        Err(TryLockError::Error(err)) if err.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(err)) => Err(Error::io(path, "lock", &err)),
    }
}

/// Writes the header, and brings the file and its name to the disk.
fn write_header(file: &mut File, path: &Path, header: &Header) -> Result<()> {
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.write_all(&format::header(header)))
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_name(path))
        .map_err(|err| Error::io(path, "write", &err))
}

/// Brings the entry of `path` in its folder to the disk, where folders can be synchronised.
fn sync_name(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match File::open(folder)?.sync_all() {
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        outcome => outcome,
    }
}

/// The first bytes, as many as a header has if there are so many.
fn beginning(file: &mut File, path: &Path) -> Result<Vec<u8>> {
    first_bytes(file, SIZE as u64).map_err(|err| Error::io(path, "read", &err))
}

fn whole(file: &mut File, path: &Path) -> Result<Vec<u8>> {
    let bytes = first_bytes(file, MAX_BYTES + 1).map_err(|err| Error::io(path, "read", &err))?;
    if bytes.len() as u64 > MAX_BYTES {
        bail!(Data, "{}: larger than a ledger can be; name the right file", path.display());
    }
    Ok(bytes)
}

fn first_bytes(file: &mut File, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(count).read_to_end(&mut bytes)?;
    Ok(bytes)
}
