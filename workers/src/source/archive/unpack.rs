//! Unpacking an archive of a stranger.
//!
//! Every path is looked at part by part, links are made last (so no file is ever written through one) and
//! only when they stay inside, devices are refused, and there are limits on entries, on bytes, and on what
//! may stand between two entries, because the headers of an archive can be a bomb too.

use std::cell::Cell;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::digest::Digest;
use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use tar::{Archive, Entry};

use crate::builder::tree::Tree;
use crate::disk::{Size, Usage};

/// How much may stand between two entries: their headers, and long names.
const HEADERS_MAX: u64 = 1024 * 1024;
/// How much is written at once.
const CHUNK: usize = 64 * 1024;

/// What was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unpacked {
    pub(super) files: u64,
    /// Links that would have led out.
    pub(super) removed: Vec<String>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnpackError {
    #[error("the upload is no sound archive (.tar.gz); upload the files again")]
    Read(#[source] io::Error),
    #[error("the upload is not what it was when it arrived; upload the files again")]
    Digest,
    #[error("the upload names `{0}`, which is not within it or stands in its own way")]
    Path(String),
    #[error("the upload contains `{0}`, which is no file, directory or link")]
    Kind(String),
    #[error("the upload's files are more than {} or {} in number", Size(.0.bytes), .0.entries)]
    TooLarge(Usage),
    #[error("the fetch was cancelled")]
    Stopped,
    #[error("the file `{path}` of the upload could not be written")]
    Write {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// Unpacks into a directory, which is made anew.
pub(super) fn unpack(
    file: impl Read,
    digest: &Digest,
    into: &Path,
    limit: Usage,
    stop: &AtomicBool,
) -> Result<Unpacked, UnpackError> {
    let write = |source| UnpackError::Write { path: String::new(), source };
    crate::disk::remove(into).map_err(write)?;
    fs::create_dir_all(into).map_err(write)?;
    let allowance = Rc::new(Cell::new(0));
    let hashed = Rc::new(Cell::new(Sha256::new()));
    let reader = BufReader::with_capacity(CHUNK, Hashed { inner: file, hash: hashed.clone() });
    let inside = Limited { inner: MultiGzDecoder::new(reader), allowance: allowance.clone() };
    let mut archive = Archive::new(inside);
    let mut unpacker = Unpacker {
        into,
        limit,
        stop,
        allowance,
        bytes: 0,
        entries: 0,
        links: vec![],
        seen: Unpacked::default(),
    };
    unpacker.run(&mut archive)?;
    // What stands behind the last entry: padding, and the checksum. The rest of the file belongs to its
    // digest, too.
    let mut inside = archive.into_inner();
    io::copy(&mut inside, &mut io::sink()).map_err(UnpackError::Read)?;
    io::copy(&mut inside.inner.into_inner(), &mut io::sink()).map_err(UnpackError::Read)?;
    if Digest::from_sha256(hashed.take().finalize().into()) != *digest {
        return Err(UnpackError::Digest);
    }
    unpacker.make_links()
}

struct Unpacker<'a> {
    into: &'a Path,
    limit: Usage,
    stop: &'a AtomicBool,
    allowance: Rc<Cell<u64>>,
    bytes: u64,
    entries: u64,
    links: Vec<Link>,
    seen: Unpacked,
}

struct Link {
    path: PathBuf,
    target: PathBuf,
    hard: bool,
}

impl Unpacker<'_> {
    fn run<R: Read>(&mut self, archive: &mut Archive<R>) -> Result<(), UnpackError> {
        self.allowance.set(HEADERS_MAX);
        for entry in archive.entries().map_err(UnpackError::Read)? {
            let entry = entry.map_err(UnpackError::Read)?;
            self.entries += 1;
            if self.entries > self.limit.entries {
                return Err(UnpackError::TooLarge(self.limit));
            }
            self.take(entry)?;
            self.allowance.set(HEADERS_MAX);
        }
        Ok(())
    }

    fn take<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), UnpackError> {
        let named = entry.path().map_err(UnpackError::Read)?.into_owned();
        let shown = named.display().to_string();
        let Some(path) = within(&named) else { return Err(UnpackError::Path(shown)) };
        let kind = entry.header().entry_type();
        if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            self.file(&mut entry, path)
        } else if kind.is_dir() {
            self.directory(&path)
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name().map_err(UnpackError::Read)?;
            let target = target.ok_or(UnpackError::Path(shown))?.into_owned();
            self.links.push(Link { path, target, hard: kind.is_hard_link() });
            Ok(())
        } else if kind.is_pax_global_extensions() {
            Ok(()) // Such as the name of a revision, from `git archive`.
        } else {
            Err(UnpackError::Kind(shown))
        }
    }

    fn directory(&self, path: &Path) -> Result<(), UnpackError> {
        let failed = |source| UnpackError::Write { path: path.display().to_string(), source };
        match fs::create_dir_all(self.into.join(path)) {
            Ok(()) => Ok(()),
            Err(error) if is_in_the_way(&error) => Err(UnpackError::Path(path.display().to_string())),
            Err(error) => Err(failed(error)),
        }
    }

    fn file<R: Read>(&mut self, entry: &mut Entry<'_, R>, path: PathBuf) -> Result<(), UnpackError> {
        if path.as_os_str().is_empty() {
            return Err(UnpackError::Path(".".into()));
        }
        self.directory(path.parent().unwrap_or(Path::new("")))?;
        let at = self.into.join(&path);
        let shown = path.display().to_string();
        let failed = |source: io::Error| {
            let path = shown.clone();
            if is_in_the_way(&source) { UnpackError::Path(path) } else { UnpackError::Write { path, source } }
        };
        // The last of several entries of one name counts.
        match fs::remove_file(&at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        // Readable and writable for its owner, and never with the rights of another user or group.
        let mode = entry.header().mode().unwrap_or(0o644) & 0o777 | 0o600;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&at).map_err(failed)?;
        let mut chunk = vec![0; CHUNK];
        loop {
            self.allowance.set(u64::MAX);
            let length = entry.read(&mut chunk).map_err(UnpackError::Read)?;
            if length == 0 {
                break;
            }
            self.bytes += length as u64;
            if self.bytes > self.limit.bytes {
                return Err(UnpackError::TooLarge(self.limit));
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(UnpackError::Stopped);
            }
            file.write_all(&chunk[..length]).map_err(failed)?;
        }
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed)?; // Whatever the umask is.
        self.seen.files += 1;
        Ok(())
    }

    /// Makes the links, now that every file is there, and takes away those that lead out.
    fn make_links(mut self) -> Result<Unpacked, UnpackError> {
        let (hard, symbolic): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.links).into_iter().partition(|link| link.hard);
        for link in hard {
            // A second name for a file of the archive; before any symbolic link is there.
            let Some(target) = within(&link.target) else {
                return Err(UnpackError::Path(link.target.display().to_string()));
            };
            self.link(&link.path, |at| fs::hard_link(self.into.join(&target), at))?;
        }
        let mut made = vec![];
        for link in symbolic {
            self.link(&link.path, |at| symlink(&link.target, at))?;
            made.push(link.path);
        }
        let failed = |source| UnpackError::Write { path: String::new(), source };
        let tree = Tree::open(self.into).map_err(failed)?;
        // All are looked at before the first is taken away, because one may lead out through another.
        let out: Vec<_> = made.into_iter().filter(|path| tree.leads_out(path)).collect();
        for path in out {
            fs::remove_file(self.into.join(&path)).map_err(failed)?;
            self.seen.removed.push(path.display().to_string());
        }
        Ok(self.seen)
    }

    fn link(&self, path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), UnpackError> {
        let refused = || UnpackError::Path(path.display().to_string());
        // Its directory is a real one: not a link that was made before it.
        let parent = path.parent().unwrap_or(Path::new(""));
        let real = parent
            .ancestors()
            .all(|part| fs::symlink_metadata(self.into.join(part)).map_or(true, |there| there.is_dir()));
        if !real || path.as_os_str().is_empty() {
            return Err(refused());
        }
        self.directory(parent)?;
        let at = self.into.join(path);
        if fs::symlink_metadata(&at).is_ok_and(|there| !there.is_dir()) {
            fs::remove_file(&at).map_err(|_| refused())?;
        }
        make(&at).map_err(|_| refused())
    }
}

/// The path without `.`, when it has nothing in it that leads elsewhere.
fn within(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// Something of the archive itself, not the disk.
fn is_in_the_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
    )
}

/// Reads no more than it is allowed to.
struct Limited<R> {
    inner: R,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.allowance.get();
        if allowed == 0 {
            return Err(io::Error::other("a header of the archive is too long"));
        }
        let most = buffer.len().min(usize::try_from(allowed).unwrap_or(usize::MAX));
        let length = self.inner.read(&mut buffer[..most])?;
        self.allowance.set(allowed - length as u64);
        Ok(length)
    }
}

/// Hashes what is read.
struct Hashed<R> {
    inner: R,
    hash: Rc<Cell<Sha256>>,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let mut hash = self.hash.take();
        hash.update(&buffer[..length]);
        self.hash.set(hash);
        Ok(length)
    }
}
