//! The rule about what texts may not say: paths of one machine, and how a text came about.

use super::Violation;
use super::code::{finds_word, prose};
use super::tree::{File, Tree};

/// Folders of one machine: such a path works for nobody else.
const PATHS: &[&str] = &["/work/", "/root/", "/tmp/"];

/// Words that stand for how the text was written or where packages came from, not for what the
/// program does. In comments, literals and prose; an identifier may contain them.
const WORDS: &[&str] = &["artifactory", "helper", "session", "subagent"];

/// This file has to spell them.
const EXEMPT: &[&str] = &["xtask/src/tidy/words.rs"];

/// No text has one of the [`PATHS`] or [`WORDS`].
pub(super) fn words(tree: &Tree) -> Vec<Violation> {
    tree.files.iter().filter(|f| !EXEMPT.contains(&f.path.as_str())).flat_map(of).collect()
}

fn of(file: &File) -> Vec<Violation> {
    let rust = file.has_extension("rs");
    let prose = if rust { prose(&file.text) } else { file.text.clone() }.to_lowercase();
    let mut found = Vec::new();
    for (i, line) in prose.lines().enumerate() {
        for path in PATHS.iter().filter(|path| has_absolute(line, path)) {
            let what = format!("a path in {path} of one machine, make it relative");
            found.push(Violation::new(&file.path, i + 1, what));
        }
        for word in WORDS.iter().filter(|word| finds_word(line, word)) {
            let what = format!("the word \"{word}\", name the thing itself");
            found.push(Violation::new(&file.path, i + 1, what));
        }
    }
    found
}

/// Whether an absolute path begins with `folder`: within a longer path or an address it may appear.
fn has_absolute(line: &str, folder: &str) -> bool {
    let part =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '/' | '}' | ')');
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        words(&Tree::of(&[(path, text)])).into_iter().map(|v| v.line).collect()
    }

    #[test]
    fn words_are_found_in_prose_and_not_in_identifiers() {
        assert_eq!(found("a.md", "one\nA Helper does it.\nhelpers, helper_of\n"), [2]);
        let rust = "//! A head.\nlet session = helper(1); // a session\nlet s = \"helper\";\n";
        assert_eq!(found("a.rs", rust), [2, 3]);
    }

    #[test]
    fn paths_are_found_unless_they_are_part_of_another() {
        assert_eq!(found("a.toml", "p = \"/tmp/x\"\n"), [1]);
        assert_eq!(found("a.sh", "cd $HERE/work/x\ncurl https://x.org/tmp/y ./work/z\n"), [0; 0]);
        assert_eq!(found("a.md", "see /root/x\n"), [1]);
    }
}
