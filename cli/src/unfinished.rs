//! What a training leaves while it runs, so that a killed one can go on: a folder `unfinished` within the
//! run folder, removed once the run is whole.
//!
//! `config.toml` says what is run, `state.safetensors` where it is. A private run has `ledger` there
//! as well, and its state is written after every step: so it is never behind the ledger by more than the
//! step that was under way. Other runs write their state once in a while, the first time
//! after that while, so short runs leave nothing here.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inocula_core::dp::accounting::Mechanism;
use inocula_core::dp::ledger::{Entry, Header, Ledger, Origin, Terms};
use inocula_core::report::EpochRecord;
use inocula_core::train::{Observer, State};
use inocula_core::{Device, Error, Result, bail, fs};

use crate::config::{self, RunConfig};
use crate::interrupt;
use crate::progress::Training;

/// Name of the ledger, here and in the run folder.
pub(crate) const LEDGER: &str = "ledger";
/// How often the state of a run that is not private is written.
const EVERY: Duration = Duration::from_secs(60);

/// The folder of the unfinished part of the run `out`.
pub(crate) fn folder(out: &Path) -> PathBuf {
    out.join("unfinished")
}

/// Whether the run `out` was started and not finished.
pub(crate) fn is_there(out: &Path) -> bool {
    folder(out).join("config.toml").is_file()
}

/// The configuration of the unfinished run `out`.
///
/// # Errors
/// There is none, or its file is damaged.
pub(crate) fn config(out: &Path) -> Result<RunConfig> {
    if !is_there(out) {
        let why =
            if out.join("metrics.json").is_file() { "it is finished" } else { "there is none" };
        bail!(
            NotFound,
            "{}: no unfinished run to resume, {why}; start one without --resume",
            out.display()
        );
    }
    config::read(&folder(out).join("config.toml"))
}

/// Removes the unfinished part of the run `out`, if there is one.
pub(crate) fn remove(out: &Path) -> Result<()> {
    let folder = folder(out);
    match std::fs::remove_dir_all(&folder) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(&folder, "remove", &err))
        }
        _ => Ok(()),
    }
}

/// Keeps a training resumable while it shows how it goes.
pub(crate) struct Keeper<'a> {
    shown: Training<'a>,
    out: &'a Path,
    config: &'a RunConfig,
    /// Between two writings of the state.
    every: Duration,
    last: Instant,
    /// Whether there is something on the disk to go on with.
    kept: bool,
    /// Of a private run.
    ledger: Option<Ledger>,
    header: Option<Header>,
}

impl<'a> Keeper<'a> {
    /// For the run `config` on `samples` training samples, with its state written every `every`.
    pub(crate) fn new(
        shown: Training<'a>,
        out: &'a Path,
        config: &'a RunConfig,
        samples: usize,
        every: Option<Duration>,
    ) -> Self {
        let private = config.train.private.as_ref();
        let header = private.map(|p| {
            let terms = Terms { samples: samples as u64, delta: p.delta };
            terms.drawn(Origin { sampling: p.sampling, seeded: p.seeded })
        });
        let usual = if header.is_some() { Duration::ZERO } else { EVERY };
        Keeper {
            shown,
            out,
            config,
            every: every.unwrap_or(usual),
            last: Instant::now(),
            kept: false,
            ledger: None,
            header,
        }
    }

    /// The state to go on with, in which all steps of the ledger count; none if the run had not begun.
    ///
    /// # Errors
    /// It is damaged, its ledger lacks steps that it knows of, or another process runs it.
    pub(crate) fn take_up(&mut self, device: &Device) -> Result<Option<State>> {
        let path = folder(self.out).join("state.safetensors");
        if !path.is_file() {
            self.begins_with_no_steps(&path)?;
            return Ok(None);
        }
        let mut state = State::load(&path, device)?;
        if let Some(header) = self.header {
            let ledger = Ledger::resume(folder(self.out).join(LEDGER), header, &state.known()?)?;
            state.count(&ledger.contents().composition());
            self.ledger = Some(ledger);
        }
        self.kept = true;
        Ok(Some(state))
    }

    /// Opens the ledger of a run that has no state, and so may have no steps either.
    fn begins_with_no_steps(&mut self, state: &Path) -> Result<()> {
        self.open_ledger()?;
        if self.ledger.as_ref().is_some_and(|ledger| ledger.contents().steps() > 0) {
            bail!(
                Data,
                "{} is missing, and the ledger beside it has steps; restore it from a copy, or pass \
                 --force in place of --resume to start anew",
                state.display()
            );
        }
        Ok(())
    }

    /// The path of the ledger of a private run.
    pub(crate) fn ledger(&self) -> Option<PathBuf> {
        self.header.map(|_| folder(self.out).join(LEDGER))
    }

    fn open_ledger(&mut self) -> Result<()> {
        if let (Some(header), None) = (self.header, &self.ledger) {
            let path = folder(self.out).join(LEDGER);
            self.ledger = Some(Ledger::open_or_create(path, header)?);
        }
        Ok(())
    }

    fn keep(&mut self, mut state: State) -> Result<()> {
        let folder = folder(self.out);
        if !self.kept {
            fs::create_dir(&folder)?;
            fs::write_bytes(folder.join("config.toml"), config::to_toml(self.config)?.as_bytes())?;
        }
        if let Some(ledger) = &self.ledger {
            state.set_ledger(ledger.mark());
        }
        state.save(&folder.join("state.safetensors"))?;
        (self.kept, self.last) = (true, Instant::now());
        Ok(())
    }
}

impl Observer for Keeper<'_> {
    /// Does not stop: the next checkpoint does, and writes the state.
    fn step(&mut self, step: usize, steps: usize, _: f64) -> Result<()> {
        self.shown.draw(step, steps);
        Ok(())
    }

    fn mechanism(&mut self, step: usize, mechanism: &Mechanism) -> Result<()> {
        // After the first state: a ledger whose steps no state knows of could not be resumed.
        self.open_ledger()?;
        let entry = Entry { step: step as u64, mechanism: *mechanism };
        self.ledger.as_mut().map_or(Ok(()), |ledger| ledger.append(entry))
    }

    fn checkpoint(&mut self, state: &dyn Fn() -> Result<State>) -> Result<()> {
        let asked = interrupt::check();
        // A private run has a state before its first step, however seldom it is written.
        let first = self.header.is_some() && !self.kept;
        if first || self.last.elapsed() >= self.every || (asked.is_err() && self.kept) {
            self.keep(state()?)?;
        }
        match asked {
            Err(_) if self.kept => bail!(
                Cancelled,
                "stopped as asked; go on with `inocula train --resume --out {}`",
                self.out.display()
            ),
            asked => asked,
        }
    }

    fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        self.shown.epoch(record)
    }
}
