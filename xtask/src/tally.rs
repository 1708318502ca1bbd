//! Adds up the results that test programs print.
//!
//! libtest and libtest-mimic end every program's output with one `test result:` line. Their JSON
//! output would be easier to read, but libtest's is not stable.

use std::fmt;

/// How many tests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// Adds what `line` reports; whether it was a result line.
    pub(crate) fn add_line(&mut self, line: &str) -> bool {
        let Some(one) = parse(line) else { return false };
        self.passed += one.passed;
        self.failed += one.failed;
        self.skipped += one.skipped;
        true
    }

    /// Number of tests.
    pub(crate) fn total(&self) -> u64 {
        self.passed + self.failed + self.skipped
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The name of the test that `line` reports as failed: `test [burn:flex] nan::in_sums ... FAILED`.
pub(crate) fn failed_test(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix("test ")?.strip_suffix(" FAILED")?;
    Some(name.strip_suffix("...")?.trim_end())
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; ...`. What a
/// filter left out was not asked for and counts nowhere.
fn parse(line: &str) -> Option<Tally> {
    let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| {
        let mut parts = counts.split(';');
        parts.find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
    };
    Some(Tally {
        passed: count(" passed")?,
        failed: count(" failed")?,
        skipped: count(" ignored")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_named() {
        let name = "[burn:flex] nan::in_sums";
        assert_eq!(failed_test(&format!("test {name}     ... FAILED\n")), Some(name));
        let others = ["test a ... ok", "test result: FAILED. 1 passed; 1 failed", "... FAILED"];
        assert_eq!(others.map(failed_test), [None; 3]);
    }

    #[test]
    fn result_lines_add_up_and_others_count_nothing() {
        let output = "\
running 3 tests
test attack::tests::a ... ok
test prints test result: ok. ... ok

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 5 filtered out; finished in 0.01s

test result: FAILED. 40 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1m 3.1s
test result: nonsense
";
        let mut tally = Tally::default();
        let results = output.lines().filter(|line| tally.add_line(line)).count();
        assert_eq!(results, 2);
        assert_eq!(tally, Tally { passed: 42, failed: 2, skipped: 1 });
        assert_eq!(tally.to_string(), "42 passed, 2 failed, 1 skipped");
        assert_eq!(tally.total(), 45);
    }
}
