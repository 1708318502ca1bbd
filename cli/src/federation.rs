//! Keeps a federation resumable while it shows how it goes.
//!
//! It leaves what a training leaves, a folder `unfinished` within the run folder: the configuration, the
//! state between two rounds, and the ledger of a federation whose clients are private. The state is
//! written after every round: a round takes longer than that.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inocula_core::fl::{RoundRecord, State, Watcher};
use inocula_core::{Result, bail, fs};

use crate::config::{self, RunConfig};
use crate::progress::Bar;
use crate::{interrupt, unfinished};

pub(crate) struct Keeper<'a> {
    bar: &'a mut Bar,
    out: &'a Path,
    rounds: usize,
    /// Between two writings of the state.
    every: Duration,
    last: Option<Instant>,
    /// Whether a round has come to its end.
    has_rounds: bool,
}

impl<'a> Keeper<'a> {
    /// For the run `config`; makes the folder, and writes the configuration to it.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(crate) fn new(
        bar: &'a mut Bar,
        out: &'a Path,
        config: &RunConfig,
        every: Duration,
    ) -> Result<Self> {
        let folder = unfinished::folder(out);
        fs::create_dir(&folder)?;
        fs::write_bytes(folder.join("config.toml"), config::to_toml(config)?.as_bytes())?;
        let rounds = config.federation.as_ref().map_or(0, |f| f.rounds);
        Ok(Keeper { bar, out, rounds, every, last: None, has_rounds: false })
    }

    /// Whether a round has come to its end.
    pub(crate) fn has_rounds(&self) -> bool {
        self.has_rounds
    }

    fn path(&self) -> PathBuf {
        unfinished::folder(self.out).join("federation.safetensors")
    }

    /// The state to go on with; none if the first round had not begun.
    ///
    /// # Errors
    /// It is damaged.
    pub(crate) fn take_up(&self) -> Result<Option<State>> {
        let path = self.path();
        if path.is_file() { State::load(&path).map(Some) } else { Ok(None) }
    }

    /// Fails once the user asked to stop, and says how to go on.
    fn check(&self) -> Result<()> {
        match interrupt::check() {
            Err(_) if self.last.is_some() => bail!(
                Cancelled,
                "stopped as asked; go on with `inocula federate simulate --resume --out {}`",
                self.out.display()
            ),
            asked => asked,
        }
    }
}

impl Watcher for Keeper<'_> {
    fn client(&mut self, round: usize, done: usize, of: usize) -> Result<()> {
        self.bar.draw(&format!("round {round} of {}", self.rounds), done, of);
        self.check()
    }

    fn tick(&mut self) -> Result<()> {
        self.check()
    }

    fn round(&mut self, record: &RoundRecord) -> Result<()> {
        self.has_rounds = true;
        let percent = |a: Option<f64>| a.map_or("-".into(), |a| format!("{:.1} %", 100.0 * a));
        let mut text = format!(
            "round {}: clean {}, robust {}",
            record.round,
            percent(record.clean_accuracy),
            percent(record.robust_accuracy)
        );
        if let Some(epsilon) = record.epsilon {
            text.push_str(&format!(", epsilon {epsilon:.3}"));
        }
        self.bar.say(text);
        Ok(())
    }

    fn checkpoint(&mut self, state: &dyn Fn() -> State) -> Result<()> {
        let asked = interrupt::check();
        let due = self.last.is_none_or(|last| last.elapsed() >= self.every);
        if due || asked.is_err() {
            state().save(&self.path())?;
            self.last = Some(Instant::now());
        }
        self.check()
    }
}
