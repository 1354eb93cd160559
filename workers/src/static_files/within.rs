//! Files of one directory, opened so that nothing outside of it can be reached, whatever path is asked for
//! and wherever links point: the kernel walks the path below the directory's descriptor (openat2(2) with
//! `RESOLVE_BENEATH`).

use std::fs::File;
use std::io::{self, Read, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::fs::{Backend, File as ServedFile, Metadata};

/// The one hidden directory that is meant to be public (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

type Answer<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// A directory.
#[derive(Clone, Debug)]
pub(super) struct Within {
    root: Arc<OwnedFd>,
}

impl Within {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let root = File::open(directory)?;
        if !root.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let within = Self { root: Arc::new(root.into()) };
        within.find(Path::new("."))?; // The kernel may be too old (before 5.6).
        Ok(within)
    }

    /// All of a small file.
    pub(super) async fn read(&self, path: &'static str, limit: u64) -> io::Result<Vec<u8>> {
        let within = self.clone();
        blocking(move || {
            let file = within.find(Path::new(path)).map_err(hide)?;
            if !file.metadata()?.is_file() {
                return Err(io::ErrorKind::NotFound.into());
            }
            let mut content = vec![];
            file.take(limit).read_to_end(&mut content)?;
            Ok(content)
        })
        .await
    }

    fn find(&self, path: &Path) -> io::Result<File> {
        // A file that is no regular one (a pipe) must not make us wait.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&*self.root, path, flags, Mode::empty(), resolve)?.into())
    }

    fn find_shown(&self, path: &Path) -> io::Result<(File, About)> {
        if is_hidden(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = self.find(path).map_err(hide)?;
        let about = About::of(&file)?;
        Ok((file, about))
    }
}

/// Whether a part of a path begins with a dot.
fn is_hidden(path: &Path) -> bool {
    let mut parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
    });
    let is_first_hidden = parts.next().is_some_and(|name| name.starts_with('.') && name != WELL_KNOWN);
    is_first_hidden || parts.any(|name| name.starts_with('.'))
}

/// What may not be seen is not there. What the machine is short of is another matter.
fn hide(error: io::Error) -> io::Error {
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::IO];
    let is_short = short.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
    if is_short { error } else { io::ErrorKind::NotFound.into() }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    is_directory: bool,
    length: u64,
    changed: SystemTime,
}

impl About {
    fn of(file: &File) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;

        let metadata = file.metadata()?;
        if !metadata.is_file() && !metadata.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        // Not the time of modification, which is part of an archive and may be the same for all files of all
        // releases: the time when the file was put where it is, which no two of them share.
        let seconds = Duration::from_secs(metadata.ctime().unsigned_abs());
        let nanoseconds = Duration::from_nanos(metadata.ctime_nsec().unsigned_abs());
        let changed = SystemTime::UNIX_EPOCH + seconds + nanoseconds;
        Ok(Self { is_directory: metadata.is_dir(), length: metadata.len(), changed })
    }
}

impl Metadata for About {
    fn is_dir(&self) -> bool {
        self.is_directory
    }

    fn modified(&self) -> io::Result<SystemTime> {
        Ok(self.changed)
    }

    fn len(&self) -> u64 {
        self.length
    }
}

impl Backend for Within {
    type File = Opened;
    type Metadata = About;
    type OpenFuture = Answer<Opened>;
    type MetadataFuture = Answer<About>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let within = self.clone();
        Box::pin(blocking(move || {
            let (file, about) = within.find_shown(&path)?;
            if about.is_directory {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(Opened { file: tokio::fs::File::from_std(file), about })
        }))
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let within = self.clone();
        Box::pin(blocking(move || within.find_shown(&path).map(|(_, about)| about)))
    }
}

/// A file that is sent.
#[derive(Debug)]
pub(super) struct Opened {
    file: tokio::fs::File,
    about: About,
}

impl ServedFile for Opened {
    type Metadata = About;
    type MetadataFuture<'a> = std::future::Ready<io::Result<About>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        std::future::ready(Ok(self.about))
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_read(context, buffer)
    }
}

impl AsyncSeek for Opened {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.file).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.file).poll_complete(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_begin_with_a_dot_are_hidden_save_the_well_known() {
        for (path, hidden) in [
            ("./index.html", false),
            (".", false),
            ("./.env", true),
            ("./a/.git/config", true),
            ("./.well-known/security.txt", false),
            ("./.well-known/.env", true),
            ("./a/.well-known/x", true),
        ] {
            assert_eq!(is_hidden(Path::new(path)), hidden, "{path}");
        }
    }
}
