//! The rule about dependencies between the crates.
//!
//! Core knows no backend and no tensor library, or results would come to depend on one; this crate
//! knows none of the others, or it could not run when they do not build. Manifests are read line by
//! line, which is all that the forms of a dependency's name need.

use super::Violation;
use super::tree::Tree;

/// A manifest, and the dependencies that it may not have: a name ending in `*` is a prefix.
struct Ban {
    manifest: &'static str,
    names: &'static [&'static str],
    what: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        manifest: "core/Cargo.toml",
        names: &["inocula-backend-*", "tch", "burn", "burn-*"],
        what: "core must not depend on a backend, put the dependency into a backend crate",
    },
    Ban {
        manifest: "xtask/Cargo.toml",
        names: &["inocula*"],
        what: "xtask must run when the project does not build, call cargo instead",
    },
];

/// No manifest has a dependency that it may not have. Development dependencies are free.
pub(super) fn dependencies(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for ban in BANS {
        let Some(file) = tree.files.iter().find(|f| f.path == ban.manifest) else {
            found.push(Violation::new(ban.manifest, 1, "missing, restore it or change this rule"));
            continue;
        };
        for (line, name) in dependencies_of(&file.text) {
            if ban.names.iter().any(|banned| matches(banned, &name)) {
                found.push(Violation::new(&file.path, line, format!("`{name}`: {}", ban.what)));
            }
        }
    }
    found
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

/// Line and name of each dependency, build dependencies and those of one target included.
fn dependencies_of(manifest: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (i, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            let is_list = |h: &str| {
                let last = h.rsplit('.').next().unwrap_or(h);
                matches!(last, "dependencies" | "build-dependencies")
            };
            inside = is_list(header);
            if let Some((list, name)) = header.rsplit_once('.')
                && is_list(list)
            {
                found.push((i + 1, name.trim_matches('"').to_owned()));
            }
        } else if inside && !line.starts_with('#') && line.contains('=') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or(line);
            found.push((i + 1, name.trim_matches('"').to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_dependency() {
        let text = "[package]\nname = \"x\"\n[dependencies]\n# tch = \"1\"\ntch.workspace = true\n\
                    [dependencies.burn]\nversion = \"1\"\n[dev-dependencies]\ninocula-tests = \"1\"\n\
                    [target.'cfg(unix)'.dependencies]\nlibc = { version = \"1\" }\n\
                    [build-dependencies]\ncc = \"1\"\n";
        let names: Vec<String> = dependencies_of(text).into_iter().map(|d| d.1).collect();
        assert_eq!(names, ["tch", "burn", "libc", "cc"]);
    }

    #[test]
    fn a_backend_below_core_is_found() {
        let tree = Tree::of(&[
            ("core/Cargo.toml", "[dependencies]\nburn-flex = \"1\"\nburnish = \"1\"\n"),
            ("xtask/Cargo.toml", "[dependencies]\ninocula-core.workspace = true\n"),
        ]);
        let found = dependencies(&tree);
        let places: Vec<_> = found.iter().map(|v| (v.path.as_str(), v.line)).collect();
        assert_eq!(places, [("core/Cargo.toml", 2), ("xtask/Cargo.toml", 2)]);
    }
}
