//! The rule that every attack is in the table of attacks.
//!
//! The compiler would only warn of an unused constant, and not even that once something else reads
//! the entry's name.

use super::Violation;
use super::code::code;
use super::tree::Tree;

const FOLDER: &str = "core/src/attack/";
const TABLE: &str = "core/src/attack/mod.rs";
const ENTRY: &str = "pub(super) const ENTRY";

/// Every file in the attacks' folder that defines an entry is listed in `ATTACKS`.
pub(super) fn attack_table(tree: &Tree) -> Vec<Violation> {
    let Some(table) = tree.files.iter().find(|f| f.path == TABLE).and_then(|f| list(&f.text))
    else {
        return vec![Violation::new(TABLE, 1, "no `const ATTACKS` list, restore it")];
    };
    let mut found = Vec::new();
    for file in tree.with_extension("rs") {
        let direct = file.path.strip_prefix(FOLDER).is_some_and(|rest| !rest.contains('/'));
        let entry = code(&file.text).lines().position(|line| line.starts_with(ENTRY));
        if let (true, Some(line)) = (direct, entry) {
            let wanted = format!("{}::ENTRY", file.stem());
            if !table.split([',', '[', ']']).any(|item| item.trim() == wanted) {
                let what = format!("not in ATTACKS, add `{wanted}` to the list in {TABLE}");
                found.push(Violation::new(&file.path, line + 1, what));
            }
        }
    }
    found
}

/// The text between the brackets of `ATTACKS`.
fn list(text: &str) -> Option<String> {
    let code = code(text);
    let (_, rest) = code.split_once("const ATTACKS")?;
    let (_, rest) = rest.split_once("= &[")?;
    rest.split_once(']').map(|(items, _)| items.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_that_is_not_listed_is_found() {
        let table = "//! T.\npub const ATTACKS: &[AttackEntry] = &[\n    fgsm::ENTRY,\n];\n";
        let entry = "//! E.\n\npub(super) const ENTRY: AttackEntry = todo;\n";
        let tree = Tree::of(&[
            ("core/src/attack/mod.rs", table),
            ("core/src/attack/fgsm.rs", entry),
            ("core/src/attack/xfgsm.rs", entry),
            ("core/src/attack/ball.rs", "//! B.\n"),
        ]);
        let found = attack_table(&tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].path.as_str(), found[0].line), ("core/src/attack/xfgsm.rs", 3));
    }
}
