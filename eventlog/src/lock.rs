//! One process at a time: a lock file that is locked as long as its holder lives, and says who that is.
//!
//! The kernel drops the lock when the process ends, however it ends. The file itself stays; what is in it
//! means nothing while nobody holds the lock.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::OpenError;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock `path`, on behalf of whoever wants to use `of`.
    pub(crate) fn take(path: &Path, of: &Path) -> Result<Self, OpenError> {
        let unusable =
            |source: std::io::Error| OpenError::Unusable { path: path.into(), source: source.into() };
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(path).map_err(unusable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // Whoever holds it may not have written its number yet; the error is worth telling without.
                let _ = file.read_to_string(&mut text);
                return Err(OpenError::InUse { path: of.into(), pid: text.trim().parse().ok() });
            }
            Err(errno) => return Err(unusable(errno.into())),
        }
        // Only for the words of the error above: a full disk does not keep a process from reading what it
        // has.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_held_is_refused_and_names_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::take(&path, dir.path()).unwrap();
        let error = FileLock::take(&path, dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::InUse { pid: Some(pid), .. } if pid == std::process::id()));
        drop(held);
        FileLock::take(&path, dir.path()).unwrap();
    }
}
