//! The caches of a service's builds: the second build downloads and compiles only what is new.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::disk::{self, Usage};

/// How long a measurement holds.
const MEASURED_FOR: Duration = Duration::from_hours(1);
/// The file whose age says when that was.
const MEASURED: &str = ".measured";

/// The variable by which commands of a plan find the cache.
pub(super) const CACHE: &str = "BUILD_CACHE";

/// Variables of tools that name a cache, and its directory. Each tool has a variable of its own; what knows
/// the convention of XDG finds a place as well.
pub(super) const VARIABLES: [(&str, &str); 17] = [
    ("npm_config_cache", "npm"),
    ("YARN_CACHE_FOLDER", "yarn"),
    ("YARN_GLOBAL_FOLDER", "yarn-berry"),
    ("PIP_CACHE_DIR", "pip"),
    ("UV_CACHE_DIR", "uv-cache"),
    ("POETRY_CACHE_DIR", "poetry-cache"),
    ("PIPENV_CACHE_DIR", "pipenv-cache"),
    ("GOCACHE", "go-build"),
    ("GOMODCACHE", "go-mod"),
    ("CARGO_HOME", "cargo"),
    ("CARGO_TARGET_DIR", "cargo-target"),
    ("MAVEN_USER_HOME", "m2"),
    ("GRADLE_USER_HOME", "gradle"),
    ("XDG_CACHE_HOME", "xdg"),
    ("COREPACK_HOME", "corepack"),
    ("CYPRESS_CACHE_FOLDER", "cypress"),
    ("PLAYWRIGHT_BROWSERS_PATH", "playwright"),
];

/// Where pnpm keeps what it downloads. Npm complains about settings that only pnpm knows.
pub(super) const PNPM: &str = "pnpm";
/// Where Maven keeps what it downloads.
pub(super) const MAVEN: &str = "m2/repository";
/// Where cargo builds.
pub(super) const CARGO_TARGET: &str = "cargo-target";

/// Empties a cache that has grown over the limit. It is measured once an hour, as that takes a moment.
pub(super) fn prune(cache: &Path, bytes_max: u64) -> io::Result<()> {
    let marker = cache.join(MEASURED);
    let is_recent = |at: SystemTime| at.elapsed().is_ok_and(|age| age < MEASURED_FOR);
    if !cache.is_dir() || fs::metadata(&marker).and_then(|file| file.modified()).is_ok_and(is_recent) {
        return Ok(());
    }
    if disk::usage(cache, Usage { bytes: bytes_max, entries: u64::MAX }).bytes > bytes_max {
        disk::remove(cache)?;
        fs::create_dir_all(cache)?;
    }
    File::create(marker).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_at_the_limit_stays_and_one_above_is_emptied() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = directory.path().join("cache");
        fs::create_dir_all(cache.join("npm")).expect("made");
        fs::write(cache.join("npm/x"), vec![1; 1 << 20]).expect("written");
        let used = disk::usage(&cache, Usage { bytes: u64::MAX, entries: u64::MAX }).bytes;
        prune(&cache, used).expect("pruned");
        assert!(cache.join("npm/x").exists());
        prune(&cache, used - 1).expect("measured an hour ago");
        assert!(cache.join("npm/x").exists());
        fs::remove_file(cache.join(MEASURED)).expect("removed");
        prune(&cache, used - 1).expect("pruned");
        assert!(!cache.join("npm/x").exists() && cache.join(MEASURED).exists());
        prune(&directory.path().join("absent"), 0).expect("nothing to prune");
    }
}
