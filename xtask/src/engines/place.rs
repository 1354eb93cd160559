//! The folder that the servers of one task live in, and the socket by which its keeper is found.
//!
//! `<tmp>/switchback-engines-<up|test>-<process>-<n>/`: data and logs of the servers, and `keeper.sock`. Who
//! writes `stop` to the socket asks the keeper to stop. A folder whose socket nobody listens on is left over.

use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, fs};

use crate::engines::{docker, poll};
use crate::failure::{Doing, Failure};

const PREFIX: &str = "switchback-engines-";
const SOCKET: &str = "keeper.sock";
const STOP: &[u8; 4] = b"stop";
/// A keeper makes its socket first of all; before that its folder looks like one that was left.
const GRACE: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Who wanted the servers. `engines down` only stops those of `engines up`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Up,
    Test,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Purpose::Up => "up",
            Purpose::Test => "test",
        }
    }
}

/// Makes a folder that nobody has. Others may pass through it, since PostgreSQL runs as another user.
pub(super) fn make(purpose: Purpose) -> Result<PathBuf, Failure> {
    sweep()?;
    let process = std::process::id();
    for n in 0..u32::MAX {
        let path = env::temp_dir().join(format!("{PREFIX}{}-{process}-{n}", purpose.name()));
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {
                let modes = fs::Permissions::from_mode(0o711); // Whatever the umask is.
                fs::set_permissions(&path, modes).doing(|| format!("open {} for others", path.display()))?;
                return Ok(path);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).doing(|| format!("make {}", path.display())),
        }
    }
    Err(Failure::new("no free name for a temporary folder"))
}

/// The keeper's end of the socket.
pub(super) fn listen(place: &Path) -> Result<UnixListener, Failure> {
    let socket = place.join(SOCKET);
    UnixListener::bind(&socket).doing(|| format!("listen on {}", socket.display()))
}

/// Removes the folder, if it is there still, and what a Docker Engine that lived in it has left elsewhere.
pub(super) fn remove(place: &Path) -> Result<(), Failure> {
    docker::clear_away(place)?;
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).doing(|| format!("remove {}", place.display()))
        }
        _ => Ok(()),
    }
}

/// Asks every keeper of an `engines up` of this user to stop, and waits until they have.
pub(super) fn stop_all() -> Result<(), Failure> {
    sweep()?;
    let places = places(&format!("{PREFIX}{}-", Purpose::Up.name()))?;
    for place in &places {
        println!("engines: stopping those in {}", place.display());
        let asked = UnixStream::connect(place.join(SOCKET)).and_then(|mut keeper| keeper.write_all(STOP));
        asked.doing(|| format!("ask the keeper of {} to stop", place.display()))?;
    }
    for place in &places {
        poll::until(STOP_LIMIT, || Ok::<_, Infallible>((!place.exists()).then_some(())))
            .doing(|| format!("see the keeper of {} stop", place.display()))?;
    }
    println!("engines: {} stopped", places.len());
    Ok(())
}

/// Whether somebody who has just connected asks the keeper to stop. A sweep only looks whether it is there.
pub(super) fn asks_to_stop(mut stream: UnixStream) -> bool {
    let mut words = [0; STOP.len()];
    stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && stream.read_exact(&mut words).is_ok()
        && words == *STOP
}

/// Removes what keepers left that were killed. The kernel has ended their servers.
fn sweep() -> Result<(), Failure> {
    for place in places(PREFIX)? {
        if is_left_over(&place) {
            eprintln!("engines: removing {}, which was left over", place.display());
            remove(&place)?;
        }
    }
    Ok(())
}

fn is_left_over(place: &Path) -> bool {
    let age =
        fs::metadata(place).and_then(|meta| meta.modified()).map(|at| SystemTime::now().duration_since(at));
    match UnixStream::connect(place.join(SOCKET)) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => true,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            age.is_ok_and(|age| age.unwrap_or_default() > GRACE)
        }
        _ => false,
    }
}

/// The folders of this user whose names begin so.
fn places(prefix: &str) -> Result<Vec<PathBuf>, Failure> {
    let tmp = env::temp_dir();
    let user = fs::metadata("/proc/self").doing(|| "read /proc/self".to_owned())?.uid();
    let entries = fs::read_dir(&tmp).doing(|| format!("list {}", tmp.display()))?;
    // One that goes while we look is no longer of interest.
    let ours = entries.flatten().filter(|entry| {
        entry.file_name().to_string_lossy().starts_with(prefix)
            && entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == user)
    });
    Ok(ours.map(|entry| entry.path()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_keeper_is_left_over_and_one_with_a_keeper_is_not() {
        let place = make(Purpose::Test).unwrap();
        assert!(!is_left_over(&place), "it is young");
        let keeper = listen(&place).unwrap();
        assert!(!is_left_over(&place));
        assert!(!asks_to_stop(keeper.accept().unwrap().0), "a look is not a wish");
        drop(keeper);
        assert!(is_left_over(&place));
        remove(&place).unwrap();
        remove(&place).unwrap(); // A second time is fine.
    }

    #[test]
    fn a_keeper_stops_when_it_is_asked_to() {
        let place = make(Purpose::Test).unwrap();
        let keeper = listen(&place).unwrap();
        UnixStream::connect(place.join(SOCKET)).unwrap().write_all(STOP).unwrap();
        assert!(asks_to_stop(keeper.accept().unwrap().0));
        remove(&place).unwrap();
    }
}
