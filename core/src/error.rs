//! One error type for the whole workspace.
//!
//! An [`Error`] is a kind (for code that decides) and one line of text (for people). The line is
//! lower case, names what failed, and ends with what to do about it. A single boxed pointer keeps
//! `Result<Tensor>` small; cloning is cheap enough that a tensor can carry the first error of a
//! formula to the place where the value is asked for.

use std::fmt;
use std::panic::Location;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for code that has to decide what to do.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Shapes, ranks or dtypes that do not fit an operation.
    Shape,
    /// The backend does not implement an operation.
    Unsupported,
    /// The backend failed while it ran an operation.
    Backend,
    /// No backend, model, attack or data set has this name.
    NotFound,
    /// A configuration value is unknown, missing or out of range.
    Config,
    /// A data file is malformed, or its contents are out of range.
    Data,
    /// The operating system refused to read or write.
    Io,
    /// A value became NaN or infinite.
    Numeric,
    /// The user asked to stop.
    Cancelled,
    /// The API was used in a way that its documentation rules out.
    Usage,
}

/// An error: its kind and one line that says what failed and what to do.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    call_site: Option<&'static Location<'static>>,
}

impl Error {
    /// An error of `kind` with a one-line message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), call_site: None }))
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The line, as `Display` writes it.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Puts `prefix: ` before the message: the file, layer or attack in which it happened.
    #[must_use]
    pub fn context(mut self, prefix: impl fmt::Display) -> Self {
        self.0.message = format!("{prefix}: {}", self.0.message);
        self
    }

    /// Notes the line of source that asked for the operation, unless one is noted already.
    #[must_use]
    pub fn at(mut self, call_site: &'static Location<'static>) -> Self {
        self.0.call_site.get_or_insert(call_site);
        self
    }

    /// The line of source that asked for the failed operation, where it is known. Shown by `{:?}`
    /// only: it helps the author of a formula, not the user of a command.
    pub fn call_site(&self) -> Option<&'static Location<'static>> {
        self.0.call_site
    }

    /// An I/O failure on `path`.
    pub fn io(path: impl AsRef<std::path::Path>, action: &str, err: &std::io::Error) -> Self {
        Error::new(
            ErrorKind::Io,
            format!("cannot {action} {}: {}", path.as_ref().display(), describe_io(err)),
        )
    }
}

/// The cause of an I/O error together with the remedy that a user has.
fn describe_io(err: &std::io::Error) -> String {
    use std::io::ErrorKind as K;
    match err.kind() {
        K::NotFound => "no such file or folder; check the path".into(),
        K::PermissionDenied => "permission denied; choose a place you may write to".into(),
        K::StorageFull => "no space left on the device; free some space and run again".into(),
        K::ReadOnlyFilesystem => "the file system is read-only; choose another place".into(),
        _ => err.to_string(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)?;
        self.0.call_site.map_or(Ok(()), |site| write!(f, " (at {site})"))
    }
}

impl std::error::Error for Error {}

/// Returns early with an [`Error`] of the named kind: `bail!(Shape, "matmul: {a} x {b}")`.
#[macro_export]
macro_rules! bail {
    ($kind:ident, $($arg:tt)+) => {
        return Err($crate::Error::new($crate::ErrorKind::$kind, format!($($arg)+)))
    };
}

/// The candidate closest to `name` by edit distance, if it is close enough to be a typing mistake.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (edit_distance(name, c), c))
        .min_by_key(|(d, _)| *d)
        .filter(|(d, c)| *d <= 1 + c.len() / 3)
        .map(|(_, c)| c)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_a_typing_mistake_and_nothing_else() {
        let keys = ["epochs", "epsilon", "batch_size"];
        assert_eq!(nearest("epoch", keys), Some("epochs"));
        assert_eq!(nearest("epsilom", keys), Some("epsilon"));
        assert_eq!(nearest("optimiser", keys), None);
    }

    #[test]
    fn an_error_is_one_pointer() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
