//! What a plugin logs, carried to the host's log.
//!
//! A plugin has its own copy of `tracing`, which nobody listens to. On its side the events become
//! lines for the host's callback, on our side the callback makes events of lines.

use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::OnceLock;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::types::{Host, Text, read_text};

/// The table that plugins get from us.
pub(super) static HOST: Host = Host { struct_size: size_of::<Host>(), log: Some(take_line) };

/// Longest line that is taken.
const LIMIT: usize = 4096;

/// Makes an event of a plugin's line.
unsafe extern "C" fn take_line(level: u32, message: Text) {
    // SAFETY: the specification asks the plugin for a valid text during the call.
    let line = unsafe { read_text(message, LIMIT) };
    match level {
        1 => tracing::error!(target: "inocula::plugin", "{line}"),
        2 => tracing::warn!(target: "inocula::plugin", "{line}"),
        3 => tracing::info!(target: "inocula::plugin", "{line}"),
        4 => tracing::debug!(target: "inocula::plugin", "{line}"),
        _ => tracing::trace!(target: "inocula::plugin", "{line}"),
    }
}

type Log = unsafe extern "C" fn(u32, Text);

/// Sends this copy's events to `log` from now on, unless somebody else listens to them already.
pub(super) fn forward_to(log: Log) {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let _ = tracing::subscriber::set_global_default(Forward(log));
    });
}

/// A subscriber that only knows events.
struct Forward(Log);

thread_local! {
    /// Whether this thread is handing a line over: were host and plugin one copy, the host's event
    /// would come back here without end.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if BUSY.replace(true) {
            return;
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        let level = match *event.metadata().level() {
            Level::ERROR => 1,
            Level::WARN => 2,
            Level::INFO => 3,
            Level::DEBUG => 4,
            Level::TRACE => 5,
        };
        // SAFETY: the host gave the callback for as long as the plugin is loaded, which is for ever;
        // the text lives until the call returns.
        unsafe { (self.0)(level, Text::new(&line.0)) };
        BUSY.set(false);
    }
}

/// Message first, then `field=value`.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
