//! One process at a time: a lock file that is locked as long as its holder lives, and says who that is.
//!
//! The kernel drops the lock when the process ends, however it ends. The file itself stays; what is in it
//! means nothing while nobody holds the lock.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, getpid, test_kill_process};

use crate::error::OpenError;

/// A child that was just forked has our locks until it begins to run its program. So the lock of a process
/// that is gone, or of our own from before, may be held a moment longer than its holder is there.
const LINGERS: Duration = Duration::from_millis(25);
const LINGERS_MAX: u32 = 20;

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
        let mut tries = 0;
        while let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if errno != rustix::io::Errno::WOULDBLOCK {
                return Err(unusable(errno.into()));
            }
            let holder = holder(&mut file);
            let is_other = holder.is_some_and(|pid| pid != getpid() && test_kill_process(pid).is_ok());
            if is_other || tries == LINGERS_MAX {
                let pid = holder.and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
                return Err(OpenError::InUse { path: of.into(), pid });
            }
            tries += 1;
            std::thread::sleep(LINGERS);
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

/// Who says in the file that he holds it. Whoever does may not have written its number yet.
fn holder(file: &mut File) -> Option<Pid> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
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
