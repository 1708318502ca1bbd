//! What kernels fail with: an error of libtorch, or one of ours that knows better.
//!
//! libtorch's text comes with a C++ stack of some thousand characters, and making it takes
//! milliseconds, so operations are not tried to see whether they work. Of the text, what stands
//! before the stack is kept, in one line.

use std::fmt;

use inocula_core::{Error, ErrorKind};
use tch::TchError;

/// Why a kernel failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// libtorch refused; what it said, not yet shortened.
    Library(String),
    /// Said as it should be said.
    Known(Error),
}

/// What kernels return.
pub(crate) type Made<T> = Result<T, Failure>;

/// A failure of libtorch that said `text`.
pub(crate) fn from_library(text: &str) -> Failure {
    Failure::Library(text.to_owned())
}

impl From<TchError> for Failure {
    fn from(err: TchError) -> Self {
        match err {
            TchError::Torch(text) => Failure::Library(text),
            other => Failure::Library(other.to_string()),
        }
    }
}

impl From<Error> for Failure {
    fn from(err: Error) -> Self {
        Failure::Known(err)
    }
}

impl Failure {
    /// The error for the user: what was being done, why it failed, and a remedy where one is known.
    pub(crate) fn during(self, what: impl fmt::Display) -> Error {
        match self {
            Failure::Known(err) => err,
            Failure::Library(text) => {
                let why = shorten(&text);
                let remedy = if is_memory(&why) { "; use smaller batches" } else { "" };
                Error::new(ErrorKind::Backend, format!("tch: {what}: {why}{remedy}"))
            }
        }
    }
}

/// What stands before the C++ stack, in one line, without the place in libtorch's sources.
fn shorten(text: &str) -> String {
    let stacks = ["Exception raised from", "frame #"];
    let end = stacks.iter().filter_map(|stack| text.find(stack)).min().unwrap_or(text.len());
    let said: Vec<&str> = text[..end].split_whitespace().collect();
    let said = said.join(" ");
    let enforced = said.strip_prefix("[enforce fail at ").and_then(|rest| rest.split_once("] "));
    match enforced.map_or(said.as_str(), |(_, why)| why) {
        "" => "libtorch gave no reason".into(),
        why => why.to_owned(),
    }
}

fn is_memory(why: &str) -> bool {
    let why = why.to_lowercase();
    ["not enough memory", "out of memory", "allocate memory"].iter().any(|text| why.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_left_out_and_memory_has_a_remedy() {
        let text = "The size of tensor a (2)\nmust match\n\nException raised from infer_size at x.cpp:35 \
                    (most recent call first):\nframe #0";
        let err = Failure::Library(text.into()).during("add");
        assert_eq!(err.to_string(), "tch: add: The size of tensor a (2) must match");
        assert_eq!(err.kind(), ErrorKind::Backend);
        let full = "[enforce fail at alloc_cpu.cpp:1] err == 0. DefaultCPUAllocator: can't allocate \
                    memory: you tried to allocate 8 bytes.\nframe #0: c10::ThrowEnforceNotMet";
        let err = Failure::Library(full.into()).during("full").to_string();
        let why =
            "err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.";
        assert_eq!(err, format!("tch: full: {why}; use smaller batches"));
        assert_eq!(
            Failure::Library(String::new()).during("x").to_string(),
            "tch: x: libtorch gave no reason"
        );
    }
}
