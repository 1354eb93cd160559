//! Where things lie: the checkout, and the folder of the user's that outlives it.

use std::path::PathBuf;
use std::{env, fs};

use crate::failure::{Doing, Failure};

/// The top of the checkout. Cargo says where it runs us from; the path of the build is for a binary run by
/// hand.
pub(crate) fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let mut root = PathBuf::from(package);
    root.pop();
    root
}

/// What was downloaded or built once for this user: tools of `check`, engines of `test`. Safe to delete.
pub(crate) fn cache(folder: &str) -> Result<PathBuf, Failure> {
    let home =
        env::var_os("HOME").ok_or_else(|| Failure::new("HOME is not set, so there is no cache folder"))?;
    let path = PathBuf::from(home).join(".cache/switchback").join(folder);
    fs::create_dir_all(&path).doing(|| format!("make {}", path.display()))?;
    Ok(path)
}

/// Holds off every other task of this user that wants to change the cache or install packages.
pub(crate) fn lock_cache() -> Result<fs::File, Failure> {
    let path = cache("")?.join("lock");
    let file = fs::File::create(&path).doing(|| format!("open {}", path.display()))?;
    file.lock().doing(|| format!("lock {}", path.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_run_at_the_top_runs_switchback_as_the_readme_says() {
        let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("default-members = [\"cli\"]"));
        let readme = fs::read_to_string(root().join("README.md")).unwrap();
        assert!(readme.contains("cargo run --release -- up --demo"));
    }
}
