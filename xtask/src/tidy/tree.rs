//! The text files of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file.
pub(super) struct File {
    /// From the workspace's root, with `/` between its parts.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    #[cfg(test)]
    pub(super) fn new(path: &str, text: &str) -> Self {
        File { path: path.into(), text: text.into() }
    }

    pub(super) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|e| e == extension)
    }

    /// File name without its extension.
    pub(super) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.split('.').next().unwrap_or(name)
    }
}

/// All text files, and the folder that they are in.
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) files: Vec<File>,
}

/// What is read; scripts without an extension are in `.ci`.
const EXTENSIONS: &[&str] = &["rs", "md", "toml", "sh", "yml", "yaml"];

impl Tree {
    /// Reads the files below `root`, without what `.gitignore` names there.
    pub(super) fn read(root: &Path) -> Result<Self, String> {
        let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let mut skipped: Vec<PathBuf> = ignored
            .lines()
            .filter_map(|l| l.trim().strip_prefix('/'))
            .map(|l| root.join(l.trim_end_matches('/')))
            .collect();
        skipped.push(root.join(".git"));
        let mut tree = Tree { root: root.to_path_buf(), files: Vec::new() };
        tree.add(root, &skipped)?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// A tree that is nowhere on the disk.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File::new(path, text)).collect();
        Tree { root: PathBuf::from("nowhere"), files }
    }

    /// Files with this extension.
    pub(super) fn with_extension(&self, extension: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |f| f.has_extension(extension))
    }

    fn add(&mut self, folder: &Path, skipped: &[PathBuf]) -> Result<(), String> {
        let failed = |err: std::io::Error| format!("cannot read {}: {err}", folder.display());
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
            // Links are not followed: they may lead out of the workspace, or in a circle.
            if skipped.contains(&path) || kind.is_symlink() {
                continue;
            }
            if kind.is_dir() {
                self.add(&path, skipped)?;
            } else if is_text(&path) {
                let text = fs::read_to_string(&path)
                    .map_err(|err| format!("cannot read {}: {err}", path.display()))?;
                let path = path.strip_prefix(&self.root).unwrap_or(&path);
                let path = path.to_string_lossy().replace('\\', "/");
                self.files.push(File { path, text });
            }
        }
        Ok(())
    }
}

fn is_text(path: &Path) -> bool {
    let script = path.parent().and_then(Path::file_name).is_some_and(|folder| folder == ".ci");
    script || path.extension().is_some_and(|e| EXTENSIONS.iter().any(|known| e == *known))
}
