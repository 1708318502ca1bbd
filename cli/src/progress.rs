//! Progress bars on standard error; none where that is not a terminal, or with `--quiet`.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use inocula_core::Result;
use inocula_core::report::EpochRecord;
use inocula_core::train::Observer;

use crate::interrupt;

/// A bar that shows one phase after another.
pub(crate) struct Bar {
    bar: ProgressBar,
    phase: String,
}

impl Bar {
    /// A bar, hidden if `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = ProgressBar::new(0);
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        bar.set_draw_target(target);
        let style =
            ProgressStyle::with_template("{prefix:36} {bar:28} {percent:>3} % {eta:>4} {msg}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Bar { bar, phase: String::new() }
    }

    /// Shows `done` of `total` in `phase`; fails once the user asked to stop.
    pub(crate) fn show(&mut self, phase: &str, done: usize, total: usize) -> Result<()> {
        interrupt::check()?;
        self.draw(phase, done, total);
        Ok(())
    }

    /// Shows `done` of `total` in `phase`, whether the user asked to stop or not.
    pub(crate) fn draw(&mut self, phase: &str, done: usize, total: usize) {
        if self.phase != phase {
            self.phase = phase.to_owned();
            self.bar.reset();
            self.bar.set_message("");
            self.bar.set_prefix(self.phase.clone());
        }
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }

    /// Shows a message behind the bar.
    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Shows the training of one model.
pub(crate) struct Training<'a> {
    /// The bar.
    pub(crate) bar: &'a mut Bar,
    /// Name of the model.
    pub(crate) name: &'a str,
}

impl Training<'_> {
    /// Shows `step` of `steps`, whether the user asked to stop or not.
    pub(crate) fn draw(&mut self, step: usize, steps: usize) {
        self.bar.draw(&format!("training {}", self.name), step, steps);
    }
}

impl Observer for Training<'_> {
    fn step(&mut self, step: usize, steps: usize, _: f64) -> Result<()> {
        interrupt::check()?;
        self.draw(step, steps);
        Ok(())
    }

    fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        let percent = |a: Option<f64>| a.map_or("-".into(), |a| format!("{:.1} %", 100.0 * a));
        let loss = record.loss.map_or(String::new(), |loss| format!("loss {loss:.4}, "));
        let spent = record.epsilon.map_or(String::new(), |e| format!(", epsilon {e:.3}"));
        self.bar.say(format!(
            "epoch {}: {loss}clean {}, robust {}{spent}",
            record.epoch,
            percent(record.clean_accuracy),
            percent(record.robust_accuracy)
        ));
        Ok(())
    }
}
