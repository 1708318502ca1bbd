//! Rules about Rust files: where unsafe code may be, heads, length, and libraries that do not print.

use super::Violation;
use super::code::{code, finds_word};
use super::tree::{File, Tree};

/// Files besides SIMD kernels and the C ABI that may hold unsafe code, with the reason.
const UNSAFE_ALLOWED: &[(&str, &str)] = &[
    ("backend-tch/src/dispatch.rs", "calls libtorch's C interface where the crate tch has none"),
    ("backend-tch/src/host.rs", "reads and writes memory of libtorch, on its threads"),
];

/// The longest file. Past about 400 lines a file is usually two ideas.
const MAX_LINES: usize = 500;

/// Files that may be longer, up to a limit of their own, with the reason.
const LONGER: &[(&str, usize, &str)] =
    &[("core/src/op.rs", 560, "the normative list of operations is read as one page")];

/// What a library may not call: it returns values and errors, and the program decides what to show.
const LOUD: &[&str] =
    &["print!", "println!", "eprint!", "eprintln!", "dbg!", "todo!", "unimplemented!"];

/// Unsafe code is in SIMD kernels and the C ABI only.
pub(super) fn unsafe_code(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.with_extension("rs").filter(|f| !may_be_unsafe(f)) {
        for (i, line) in code(&file.text).lines().enumerate() {
            if finds_word(line, "unsafe") {
                let what = "unsafe code outside of SIMD kernels and the C ABI, move it there or \
                            write it safely";
                found.push(Violation::new(&file.path, i + 1, what));
            }
        }
    }
    found
}

fn may_be_unsafe(file: &File) -> bool {
    let kernel = file.path.starts_with("backend-")
        && file.path.contains("/src/")
        && file.stem().starts_with("simd");
    kernel
        || file.path.starts_with("core/src/abi/")
        || UNSAFE_ALLOWED.iter().any(|(path, _)| *path == file.path)
}

/// Every file begins by saying what it decides.
pub(super) fn module_heads(tree: &Tree) -> Vec<Violation> {
    let headless = tree.with_extension("rs").filter(|f| !f.text.starts_with("//!"));
    let what = "no module head, begin with `//!` and what the file decides and why";
    headless.map(|f| Violation::new(&f.path, 1, what)).collect()
}

/// No file is longer than [`MAX_LINES`].
pub(super) fn file_length(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.with_extension("rs") {
        let limit = LONGER.iter().find(|l| l.0 == file.path).map_or(MAX_LINES, |l| l.1);
        let lines = file.text.lines().count();
        if lines > limit {
            let what = format!("{lines} lines where {limit} are allowed, split it by idea");
            found.push(Violation::new(&file.path, limit + 1, what));
        }
    }
    found
}

/// Core, backends and the node of a federation neither print nor leave gaps, tests aside.
pub(super) fn quiet_libraries(tree: &Tree) -> Vec<Violation> {
    let library = |f: &&File| {
        let inside = f.path.starts_with("core/src/")
            || f.path.starts_with("flower/src/")
            || (f.path.starts_with("backend-") && f.path.contains("/src/"));
        inside && !f.path.contains("/tests/") && f.stem() != "tests"
    };
    let mut found = Vec::new();
    for file in tree.with_extension("rs").filter(library) {
        let code = code(&file.text);
        for (i, line) in without_unit_tests(&code).lines().enumerate() {
            for loud in LOUD.iter().filter(|loud| calls(line, loud)) {
                let what = format!("`{loud}` in a library, return a value or an error instead");
                found.push(Violation::new(&file.path, i + 1, what));
            }
        }
    }
    found
}

/// Whether `line` calls the macro `name`, and not one whose name ends in the same letters.
fn calls(line: &str, name: &str) -> bool {
    line.match_indices(name)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The part before the module of unit tests, which is the last of a file.
fn without_unit_tests(code: &str) -> &str {
    code.find("#[cfg(test)]\nmod ").map_or(code, |at| &code[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(found: Vec<Violation>) -> Vec<(String, usize)> {
        found.into_iter().map(|v| (v.path, v.line)).collect()
    }

    #[test]
    fn unsafe_code_is_found_where_it_may_not_be() {
        let text = "//! unsafe in words\nlet s = \"unsafe\";\nunsafe { f() }\n";
        let tree = Tree::of(&[
            ("core/src/tensor/mod.rs", text),
            ("core/src/abi/export.rs", text),
            ("backend-ndarray/src/simd.rs", text),
            ("backend-ndarray/src/matmul/simd_avx.rs", text),
            ("cli/src/simd.rs", text),
        ]);
        let want = [("core/src/tensor/mod.rs".to_owned(), 3), ("cli/src/simd.rs".to_owned(), 3)];
        assert_eq!(lines(unsafe_code(&tree)), want);
    }

    #[test]
    fn heads_and_lengths() {
        let long = format!("//! Long.\n{}", "\n".repeat(MAX_LINES));
        let tree = Tree::of(&[("a.rs", "use b;\n"), ("b.rs", &long), ("c.md", &long)]);
        assert_eq!(lines(module_heads(&tree)), [("a.rs".to_owned(), 1)]);
        assert_eq!(lines(file_length(&tree)), [("b.rs".to_owned(), MAX_LINES + 1)]);
    }

    #[test]
    fn libraries_are_quiet_outside_of_tests() {
        let text = "//! A `println!` in words.\nfn f() { dbg!(1); }\nmy_println!();\n\
                    #[cfg(test)]\nmod tests { fn g() { println!(); } }\n";
        let tree = Tree::of(&[
            ("core/src/a.rs", text),
            ("backend-x/src/tests/a.rs", text),
            ("cli/src/a.rs", text),
            ("core/src/b.rs", "//! B.\nfn f() { eprintln!(); todo!() }\n"),
        ]);
        let want = [("core/src/a.rs", 2), ("core/src/b.rs", 2), ("core/src/b.rs", 2)];
        assert_eq!(lines(quiet_libraries(&tree)), want.map(|(path, line)| (path.to_owned(), line)));
    }
}
