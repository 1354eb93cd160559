//! The files of the checkout, read once for all checks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Doing, Failure};
use crate::tidy::source::Source;
use crate::workspace;

/// What cargo, git and editors write; nobody reviews it.
const NOT_OURS: [&str; 2] = ["target", "node_modules"];

/// The checkout.
pub(super) struct Tree {
    /// Its top.
    pub(super) root: PathBuf,
    /// Every Rust file, sorted by path.
    pub(super) sources: Vec<Source>,
}

impl Tree {
    /// Reads the checkout as it is now, committed or not.
    pub(super) fn read() -> Result<Self, Failure> {
        let root = workspace::root();
        let mut paths = Vec::new();
        collect(&root, &mut |path| {
            if path.extension().is_some_and(|extension| extension == "rs") {
                paths.push(path.to_owned());
            }
        })?;
        paths.sort();
        let mut sources = Vec::new();
        for path in paths {
            let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
            sources.push(Source::new(relative(&root, &path), text));
        }
        Ok(Tree { root, sources })
    }

    /// The files below a folder with this ending, by path relative to it, sorted. A folder that is not there
    /// has none.
    pub(super) fn list(&self, folder: &str, ending: &str) -> Result<Vec<String>, Failure> {
        list(&self.root.join(folder), ending)
    }
}

/// The files below a folder with this ending, by path relative to it, sorted. A folder that is not there has
/// none.
pub(super) fn list(folder: &Path, ending: &str) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    if folder.is_dir() {
        collect(folder, &mut |path| names.push(relative(folder, path)))?;
    }
    names.retain(|name| name.ends_with(ending));
    names.sort();
    Ok(names)
}

fn collect(folder: &Path, found: &mut dyn FnMut(&Path)) -> Result<(), Failure> {
    let entries = fs::read_dir(folder).doing(|| format!("list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.doing(|| format!("list {}", folder.display()))?;
        let kind = entry.file_type().doing(|| format!("look at {}", entry.path().display()))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if kind.is_file() {
            found(&entry.path());
        } else if kind.is_dir() && !name.starts_with('.') && !NOT_OURS.contains(&name.as_ref()) {
            collect(&entry.path(), found)?;
        }
    }
    Ok(())
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}
