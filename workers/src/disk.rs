//! Room on a disk: what is kept free, and how much a directory takes.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::time::Instant;

/// How often free room is looked at; a directory's size is looked at as often as that costs little.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A directory is measured again after this many times as long as measuring it took.
const REST_FACTOR: u32 = 20;

/// Room that builds leave on a disk: the log is on it too, and must be able to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// In bytes.
    pub bytes: u64,
    /// In hundredths of the disk. The greater of both counts.
    pub percent: u8,
}

impl Default for Reserve {
    fn default() -> Self {
        Self { bytes: 1 << 30, percent: 5 }
    }
}

/// A disk with too little room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the disk of this server has {} free, and {} are kept free; make room on it, or have an operator change \
     the reserve", Size(*.free), Size(*.kept)
)]
pub struct DiskFull {
    /// Bytes that are free.
    pub free: u64,
    /// Bytes that are kept free.
    pub kept: u64,
}

impl Reserve {
    /// Whether the disk that holds `path` has more free than is kept. What cannot be found out counts as
    /// enough.
    ///
    /// # Errors
    /// [`DiskFull`].
    pub fn check(&self, path: &Path) -> Result<(), DiskFull> {
        let Some(existing) = path.ancestors().find(|path| path.exists()) else { return Ok(()) };
        let Ok(disk) = rustix::fs::statvfs(existing) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let total = disk.f_blocks.saturating_mul(disk.f_frsize);
        let kept = self.bytes.max(total / 100 * u64::from(self.percent));
        if free < kept { Err(DiskFull { free, kept }) } else { Ok(()) }
    }
}

/// Bytes as people read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match UNITS.into_iter().find(|(size, _)| self.0 >= *size) {
            Some((size, unit)) => {
                let tenths = self.0.saturating_mul(10) / size;
                if tenths.is_multiple_of(10) {
                    write!(f, "{} {unit}", tenths / 10)
                } else {
                    write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
                }
            }
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Room on the disk, in bytes. A file with several names counts once for each.
    pub bytes: u64,
    /// Files, links and directories.
    pub entries: u64,
}

/// Measures a directory, up to a little over `limit`. What disappears meanwhile does not count. Links are not
/// followed.
#[must_use]
pub fn usage(directory: &Path, limit: Usage) -> Usage {
    let mut usage = Usage::default();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let Ok(metadata) = entry.metadata() else { continue };
            usage.entries += 1;
            usage.bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
        }
        if usage.bytes > limit.bytes || usage.entries > limit.entries {
            break;
        }
    }
    usage
}

/// Why something that writes is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// Its directories hold too much.
    Size(Usage),
    /// The disk has too little room left.
    Disk(DiskFull),
}

/// Watches directories while something writes into them; returns only when they hold more than `limit`
/// together, or the disk has no room any more.
pub async fn watch(directories: Vec<PathBuf>, limit: Usage, reserve: Reserve) -> Exceeded {
    let mut next = Instant::now() + LOOK_EVERY;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some(Err(full)) = directories.first().map(|directory| reserve.check(directory)) {
            return Exceeded::Disk(full);
        }
        if Instant::now() < next {
            continue;
        }
        let begin = Instant::now();
        let measured = directories.clone();
        let sum = move || {
            let each = measured.iter().map(|directory| usage(directory, limit));
            each.fold(Usage::default(), |sum, next| Usage {
                bytes: sum.bytes + next.bytes,
                entries: sum.entries + next.entries,
            })
        };
        let sum = tokio::task::spawn_blocking(sum).await.unwrap_or_default();
        if sum.bytes > limit.bytes || sum.entries > limit.entries {
            return Exceeded::Size(sum);
        }
        next = Instant::now() + begin.elapsed() * REST_FACTOR;
    }
}

/// Writes a file whole or not at all, and so that a power cut does not lose it: its bytes first, then its
/// name, then the directory that holds the name.
///
/// # Errors
/// When it could not be written; then what was there before still is.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory)?;
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    persist(file, path)
}

/// Gives a file its name, as [`write()`] does.
///
/// # Errors
/// When it could not.
pub fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(path.parent().unwrap_or(path))?.sync_all()
}

/// Removes a directory and all in it, also what its owner may not write into (as Go's module cache). One that
/// is not there is removed already.
///
/// # Errors
/// When something of it stays.
pub fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(directory)?;
            fs::remove_dir_all(directory)
        }
        Err(error) => Err(error),
    }
}

/// Removes a file or a link. One that is not there is removed already.
///
/// # Errors
/// When it stays.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn make_writable(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1 << 20, "1 MiB"),
            (3 << 29, "1.5 GiB"),
            (500 << 20, "500 MiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_reserve_is_refused_only_when_less_is_free() {
        let here = tempfile::tempdir().expect("a directory");
        assert!(Reserve { bytes: 0, percent: 0 }.check(here.path()).is_ok());
        let absent = here.path().join("not/there/yet");
        let full = Reserve { bytes: u64::MAX, percent: 0 }.check(&absent).expect_err("more than any disk");
        assert_eq!(full.kept, u64::MAX);
        assert!(Reserve { bytes: 0, percent: 100 }.check(here.path()).is_err());
    }

    #[test]
    fn what_a_directory_holds_is_measured_without_following_links() {
        let here = tempfile::tempdir().expect("a directory");
        fs::create_dir(here.path().join("a")).expect("made");
        fs::write(here.path().join("a/file"), vec![1; 100_000]).expect("written");
        symlink("/", here.path().join("link")).expect("linked");
        let all = Usage { bytes: u64::MAX, entries: u64::MAX };
        let found = usage(here.path(), all);
        assert_eq!(found.entries, 3);
        assert!((100_000..200_000).contains(&found.bytes), "{found:?}");
        assert_eq!(usage(&here.path().join("absent"), all), Usage::default());
    }

    #[test]
    fn a_directory_that_may_not_be_written_into_is_removed() {
        let here = tempfile::tempdir().expect("a directory");
        let fixed = here.path().join("x/fixed");
        fs::create_dir_all(&fixed).expect("made");
        fs::write(fixed.join("file"), "").expect("written");
        fs::set_permissions(&fixed, fs::Permissions::from_mode(0o555)).expect("set");
        remove(&here.path().join("x")).expect("removed");
        assert!(!here.path().join("x").exists());
        remove(&here.path().join("x")).expect("removed before");
    }
}
