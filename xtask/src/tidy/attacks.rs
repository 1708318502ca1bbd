//! The rule that every attack is in the table of attacks.
//!
//! The compiler would not miss it: a public type may be left for others to use.

use super::Violation;
use super::code::code;
use super::tree::Tree;

const FOLDER: &str = "core/src/attack/";
const TABLE: &str = "core/src/attack/mod.rs";
const SPEC: &str = "impl AttackSpec for ";

/// Every file in the attacks' folder that has an attack is listed in the table.
pub(super) fn attack_table(tree: &Tree) -> Vec<Violation> {
    let Some(table) = tree.files.iter().find(|f| f.path == TABLE).and_then(|f| list(&f.text))
    else {
        return vec![Violation::new(TABLE, 1, "no `attacks!` table, restore it")];
    };
    let mut found = Vec::new();
    for file in tree.with_extension("rs") {
        let direct = file.path.strip_prefix(FOLDER).is_some_and(|rest| !rest.contains('/'));
        let code = code(&file.text);
        let specs = code.lines().enumerate().filter_map(|(n, line)| {
            Some((n, line.strip_prefix(SPEC)?.trim_end_matches([' ', '{'])))
        });
        for (line, name) in specs.filter(|_| direct) {
            let wanted = format!("{}::{name}", file.stem());
            if !table.split(',').any(|item| item.trim() == wanted) {
                let what = format!("not in the table, add `{wanted},` to `attacks!` in {TABLE}");
                found.push(Violation::new(&file.path, line + 1, what));
            }
        }
    }
    found
}

/// The text between the braces of `attacks!`.
fn list(text: &str) -> Option<String> {
    let code = code(text);
    let (_, rest) = code.split_once("attacks! {")?;
    rest.split_once('}').map(|(items, _)| items.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_that_is_not_listed_is_found() {
        let table = "//! T.\nattacks! {\n    fgsm::Fgsm,\n}\n";
        let entry = "//! E.\n\nimpl AttackSpec for Fgsm {\n}\n";
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
