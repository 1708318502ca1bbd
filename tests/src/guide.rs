//! Follows a page of instructions to the letter.
//!
//! What a reader does with a fenced block is in its first line: `file=PATH` is written, `diff` is
//! applied, `sh run` is run and must succeed, `sh run fails` must fail. Other blocks are read.

use std::path::Path;
use std::process::Command;

/// Something that a page says to do.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Write { file: String, content: String },
    Apply { diff: String },
    Run { script: String, fails: bool },
}

/// Follows the page `text` with `folder` as the working directory.
///
/// # Errors
/// The first step that did not go as the page says, with what was printed.
pub fn follow(text: &str, folder: &Path, set_up: impl Fn(&mut Command)) -> Result<(), String> {
    // Scripts of one page share variables that they export, as in one terminal.
    let mut before = String::new();
    for step in steps(text) {
        match step {
            Step::Write { file, content } => write(&folder.join(file), &content)?,
            Step::Apply { diff } => apply(folder, &diff)?,
            Step::Run { script, fails } => {
                let mut shell = Command::new("sh");
                shell.args(["-e", "-c", &format!("{before}{script}")]).current_dir(folder);
                set_up(&mut shell);
                run(shell, &script, fails)?;
                let exports = script.lines().filter(|line| line.starts_with("export "));
                exports.for_each(|line| before.push_str(&format!("{line}\n")));
            }
        }
    }
    Ok(())
}

fn steps(text: &str) -> Vec<Step> {
    let (mut steps, mut lines) = (Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let content = block.iter().map(|line| format!("{line}\n")).collect::<String>();
        let words: Vec<&str> = info.split_whitespace().collect();
        if let Some(file) = words.iter().find_map(|word| word.strip_prefix("file=")) {
            steps.push(Step::Write { file: file.to_owned(), content });
        } else if words.first() == Some(&"diff") {
            steps.push(Step::Apply { diff: content });
        } else if words.contains(&"run") {
            steps.push(Step::Run { script: content, fails: words.contains(&"fails") });
        }
    }
    steps
}

fn write(path: &Path, content: &str) -> Result<(), String> {
    let failed = |err: std::io::Error| format!("{}: {err}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    std::fs::write(path, content).map_err(failed)
}

/// Applies a diff whose hunks name no lines: where a hunk goes is where its old lines are, which
/// must be one place.
fn apply(folder: &Path, diff: &str) -> Result<(), String> {
    let file = diff.lines().find_map(|line| line.strip_prefix("+++ b/"));
    let file = file.ok_or("a diff without a `+++ b/FILE` line")?;
    let path = folder.join(file);
    let mut text = std::fs::read_to_string(&path).map_err(|err| format!("{file}: {err}"))?;
    for hunk in diff.split("@@\n").skip(1) {
        let side = |other: char| -> String {
            let lines = hunk.lines().filter(|line| !line.starts_with(other));
            lines.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
        };
        let (old, new) = (side('+'), side('-'));
        match text.matches(&old).count() {
            1 => text = text.replacen(&old, &new, 1),
            n => return Err(format!("{file}: {n} places have these lines:\n{old}")),
        }
    }
    write(&path, &text)
}

fn run(mut command: Command, script: &str, fails: bool) -> Result<(), String> {
    let output = command.output().map_err(|err| format!("sh: {err}"))?;
    if output.status.success() != fails {
        return Ok(());
    }
    let (out, err) = (&output.stdout, &output.stderr);
    let said = format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    let wanted = if fails { "should have failed" } else { "failed" };
    Err(format!("{wanted}:\n{script}\n{said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_followed_step_by_step() {
        let folder = tempfile::tempdir().unwrap();
        let page = "\
            Write:\n```toml file=a/b.txt\none\ntwo\n```\nread:\n```sh\nfalse\n```\n\
            change:\n```diff\n--- a/a/b.txt\n+++ b/a/b.txt\n@@\n one\n-two\n+2\n@@\n+3\n 2\n```\n\
            run:\n```sh run\nexport X=7\ncat a/b.txt > c\n```\n```sh run\ntest $X = 7\n```\n\
            ```sh run fails\nfalse\n```\n";
        follow(page, folder.path(), |_| {}).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("c")).unwrap(), "one\n3\n2\n");
        for wrong in [
            "```sh run\nfalse\n```\n",
            "```sh run fails\ntrue\n```\n",
            "```diff\n+++ b/c\n@@\n-four\n+4\n```\n",
        ] {
            assert!(follow(wrong, folder.path(), |_| {}).is_err(), "{wrong}");
        }
    }
}
