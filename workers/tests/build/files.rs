//! Small trees of files, made from tables.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

/// Writes files. A path that ends in `/` is a directory, a text that begins with `-> ` a link, and one that
/// begins with `#!` is executable.
pub(crate) fn write(directory: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let at = directory.join(path);
        fs::create_dir_all(at.parent().expect("within the directory")).expect("made");
        if path.ends_with('/') {
            fs::create_dir_all(&at).expect("made");
        } else if let Some(target) = text.strip_prefix("-> ") {
            symlink(target, &at).expect("linked");
        } else {
            fs::write(&at, text).expect("written");
            if text.starts_with("#!") {
                fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).expect("set");
            }
        }
    }
}

/// A directory of its own with these files in it.
pub(crate) fn tree(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), files);
    directory
}

/// The files of a directory, as `path=text`, links as `path->target`.
pub(crate) fn listing(directory: &Path) -> Vec<String> {
    let mut found = vec![];
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            let name = path.strip_prefix(directory).expect("within").to_string_lossy().into_owned();
            let kind = entry.file_type().expect("readable");
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_symlink() {
                found.push(format!("{name}->{}", fs::read_link(&path).expect("a link").display()));
            } else {
                found.push(format!(
                    "{name}={}",
                    String::from_utf8_lossy(&fs::read(&path).expect("readable")).trim()
                ));
            }
        }
    }
    found.sort();
    found
}
