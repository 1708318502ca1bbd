//! Standard output and standard error.
//!
//! Results go to standard output, everything else to standard error. A closed pipe (`| head`) is not
//! an error of ours, so what cannot be written to a stream is dropped.

use std::io::Write as _;

use inocula_core::Error;

/// A line of the result.
pub(crate) fn line(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
}

/// A line about what is going on.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}

/// The one line of a failure.
pub(crate) fn error(err: &Error) {
    // An error of one line, whatever the libraries below put into it.
    let text = err.to_string().replace('\n', " ");
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

/// Columns that text may take: `COLUMNS` if set, else those of the terminal, else 100.
pub(crate) fn width() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    told.unwrap_or_else(|| match console::Term::stdout().size_checked() {
        Some((_, columns)) => usize::from(columns),
        None => 100,
    })
}
