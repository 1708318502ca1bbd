//! The rule that relative links of Markdown files lead somewhere.

use super::Violation;
use super::tree::{File, Tree};

/// Every relative link of every Markdown file names a file or folder that is there.
pub(super) fn links(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.with_extension("md") {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (line, target) in relative_links(file) {
            if !tree.root.join(folder).join(&target).exists() {
                let what = format!("the link to {target} leads nowhere, correct or remove it");
                found.push(Violation::new(&file.path, line, what));
            }
        }
    }
    found
}

/// Line and target of each link that is neither an address nor an anchor in the same file.
fn relative_links(file: &File) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (i, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for (_, rest) in line.match_indices("](").map(|(at, m)| (at, &line[at + m.len()..])) {
            let target = rest.split([')', ' ', '#']).next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !outside {
                found.push((i + 1, target.to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_relative_links_outside_of_code_are_looked_up() {
        let text = "[a](https://x.org/y) [b](#here) and [c](docs/c.md#part)\n```\n[d](d)\n```\n\
                    [e](e.md \"title\")";
        let file = File::new("README.md", text);
        let want = [(1, "docs/c.md".to_owned()), (5, "e.md".to_owned())];
        assert_eq!(relative_links(&file), want);
        assert_eq!(links(&Tree::of(&[("README.md", text)])).len(), 2);
    }
}
