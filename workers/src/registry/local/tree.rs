//! The digest of a tree of files: of all paths, kinds, modes, sizes and contents, in the order of the paths.
//!
//! Times and owners do not count: the same files give the same digest wherever and whenever they were built.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use domain::digest::Digest;
use sha2::{Digest as _, Sha256};

use crate::disk::Usage;

/// What the digest begins with, so that another way to make one can never give the same.
const VERSION: &[u8] = b"switchback tree 1\n";
/// How much of a file is read at once.
const CHUNK: usize = 128 * 1024;
/// Threads that hash, at most.
const THREADS_MAX: usize = 8;

/// A tree's digest, and how much it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hashed {
    pub(super) digest: Digest,
    pub(super) usage: Usage,
}

/// A tree without a digest.
#[derive(Debug, thiserror::Error)]
pub(super) enum TreeError {
    #[error("the tree has more than {} bytes or {} files", .0.bytes, .0.entries)]
    TooLarge(Usage),
    #[error("read {path}")]
    Read {
        path: String,
        #[source]
        source: io::Error,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Link,
    Other,
}

struct Item {
    path: PathBuf,
    kind: Kind,
    mode: u32,
    bytes: u64,
}

fn cannot(path: &Path) -> impl FnOnce(io::Error) -> TreeError {
    let path = path.display().to_string();
    |source| TreeError::Read { path, source }
}

/// Hashes a directory, the contents of its files on several threads.
pub(super) fn hash(directory: &Path, limit: Usage) -> Result<Hashed, TreeError> {
    let mut items = items(directory, limit)?;
    items.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let contents = contents(directory, &items)?;
    let mut hash = Sha256::new();
    hash.update(VERSION);
    for (item, content) in items.iter().zip(&contents) {
        let kind = match item.kind {
            Kind::File => "file",
            Kind::Directory => "directory",
            Kind::Link => "link",
            Kind::Other => "other",
        };
        let path = item.path.as_os_str().as_bytes();
        hash.update(format!("{kind} {:o} {} {} ", item.mode, item.bytes, path.len()));
        hash.update(path);
        hash.update(content);
        hash.update(b"\n");
    }
    let bytes = items.iter().map(|item| item.bytes).sum();
    let usage = Usage { bytes, entries: items.len() as u64 };
    Ok(Hashed { digest: Digest::from_sha256(hash.finalize().into()), usage })
}

/// Everything in the directory, by its path relative to it.
fn items(directory: &Path, limit: Usage) -> Result<Vec<Item>, TreeError> {
    let (mut items, mut bytes) = (vec![], 0);
    let mut waiting = vec![PathBuf::new()];
    while let Some(parent) = waiting.pop() {
        let at = directory.join(&parent);
        for entry in fs::read_dir(&at).map_err(cannot(&at))? {
            let entry = entry.map_err(cannot(&at))?;
            let path = parent.join(entry.file_name());
            let metadata = entry.metadata().map_err(cannot(&path))?;
            let kind = match metadata.file_type() {
                kind if kind.is_file() => Kind::File,
                kind if kind.is_dir() => Kind::Directory,
                kind if kind.is_symlink() => Kind::Link,
                _ => Kind::Other,
            };
            if kind == Kind::Directory {
                waiting.push(path.clone());
            }
            let size = if kind == Kind::File { metadata.len() } else { 0 };
            // The mode of a link says nothing.
            let mode = if kind == Kind::Link { 0 } else { metadata.permissions().mode() & 0o7777 };
            bytes += size;
            items.push(Item { path, kind, mode, bytes: size });
        }
        if bytes > limit.bytes || items.len() as u64 > limit.entries {
            return Err(TreeError::TooLarge(limit));
        }
    }
    Ok(items)
}

/// The hash of each item's content, in the same order.
fn contents(directory: &Path, items: &[Item]) -> Result<Vec<[u8; 32]>, TreeError> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Ok(vec![[0; 32]; items.len()]));
    let work = || {
        let mut chunk = vec![0; CHUNK];
        // Many at once, so that the threads seldom wait for one another.
        const BATCH: usize = 64;
        loop {
            let begin = next.fetch_add(BATCH, Ordering::Relaxed);
            if begin >= items.len() {
                return;
            }
            let batch = &items[begin..items.len().min(begin + BATCH)];
            let hashed: Result<Vec<_>, _> =
                batch.iter().map(|item| content(directory, item, &mut chunk)).collect();
            let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (hashed, results.as_mut()) {
                (Ok(hashed), Ok(all)) => all[begin..begin + hashed.len()].copy_from_slice(&hashed),
                (Err(error), _) => {
                    *results = Err(error);
                    next.store(items.len(), Ordering::Relaxed);
                }
                (Ok(_), Err(_)) => return,
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn content(directory: &Path, item: &Item, chunk: &mut [u8]) -> Result<[u8; 32], TreeError> {
    let at = directory.join(&item.path);
    let mut hash = Sha256::new();
    match item.kind {
        Kind::File => {
            let mut file = File::open(&at).map_err(cannot(&item.path))?;
            loop {
                let length = file.read(chunk).map_err(cannot(&item.path))?;
                if length == 0 {
                    break;
                }
                hash.update(&chunk[..length]);
            }
        }
        Kind::Link => {
            let target = fs::read_link(&at).map_err(cannot(&item.path))?;
            hash.update(target.as_os_str().as_bytes());
        }
        Kind::Directory | Kind::Other => {}
    }
    Ok(hash.finalize().into())
}

/// Sees to it that all of it is on the disk. One call for the whole file system costs less than one for each
/// file.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    let opened = File::open(directory)?;
    rustix::fs::syncfs(&opened)?;
    Ok(())
}
