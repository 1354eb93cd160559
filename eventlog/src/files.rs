//! The log store in files: one directory for each log, in it segments of one JSON object a line. And the
//! entries and blobs in files, for a process that shares them with nobody.
//!
//! Lines survive a kill of the process; they are not forced to the disk, so a power cut may take the last
//! seconds. A line that was half written is taken off when the log is opened again. The log of events needs
//! none of this.

mod blobs;
mod entries;
mod log;
mod segment;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::sync::watch;

use crate::error::{OpenError, StoreError};
use crate::files::log::Log;
use crate::files::segment::Cursor;
use crate::lines::{self, Pieces};
use crate::lock::FileLock;
use crate::logs::{Limits, Line, LogName, LogStore, MAX_LINES, NewLine};

pub use blobs::FileBlobs;
pub use entries::FileEntries;

/// How many logs are kept open when nobody follows them.
const OPEN_MAX: usize = 256;

/// The log store in files. Clones are the same store.
#[derive(Clone)]
pub struct FileLogs {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    limits: Limits,
    open: Mutex<HashMap<LogName, Arc<Mutex<Log>>>>,
    _lock: FileLock,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FileLogs {
    /// Opens the store in a data directory, or makes it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(dir: &Path, limits: Limits) -> Result<Self, OpenError> {
        let logs = dir.join("logs");
        std::fs::create_dir_all(&logs)
            .map_err(|source| OpenError::Unusable { path: logs.clone(), source: source.into() })?;
        let lock = FileLock::take(&dir.join("logs.lock"), dir)?;
        Ok(Self { shared: Arc::new(Shared { dir: logs, limits, open: Mutex::default(), _lock: lock }) })
    }

    /// Does something with a log, where blocking is allowed.
    async fn with<T: Send + 'static>(
        &self,
        doing: &'static str,
        name: LogName,
        act: impl FnOnce(&Arc<Mutex<Log>>, &Limits) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || act(&shared.log(name)?, &shared.limits));
        let done = task.await.map_err(|source| StoreError::Unavailable { doing, source: source.into() })?;
        done.map_err(|source| StoreError::Unavailable { doing, source: source.into() })
    }
}

impl Shared {
    fn path(&self, name: LogName) -> PathBuf {
        self.dir.join(name.to_string())
    }

    fn log(&self, name: LogName) -> io::Result<Arc<Mutex<Log>>> {
        let mut open = lock(&self.open);
        if let Some(log) = open.get(&name) {
            return Ok(Arc::clone(log));
        }
        if open.len() >= OPEN_MAX {
            // Whoever holds one has a second reference; whoever follows one has a receiver.
            open.retain(|_, log| Arc::strong_count(log) > 1 || lock(log).is_followed());
        }
        let log = Arc::new(Mutex::new(Log::open(self.path(name), name)?));
        open.insert(name, Arc::clone(&log));
        Ok(log)
    }
}

/// Reads what is there now. The log is not locked meanwhile: what was there is not changed, only removed.
fn read(log: &Mutex<Log>, cursor: &mut Cursor, limit: usize) -> io::Result<Vec<Line>> {
    let snapshot = lock(log).snapshot();
    snapshot.read(cursor, limit.min(MAX_LINES))
}

struct Reader {
    store: FileLogs,
    name: LogName,
    cursor: Cursor,
}

#[async_trait]
impl Pieces for Reader {
    async fn next(&mut self, limit: usize) -> Result<Vec<Line>, StoreError> {
        let mut cursor = self.cursor;
        let read = self.store.with("follow a log", self.name, move |log, _| {
            let lines = read(log, &mut cursor, limit)?;
            Ok((lines, cursor))
        });
        let (lines, cursor) = read.await?;
        self.cursor = cursor;
        Ok(lines)
    }
}

#[async_trait]
impl LogStore for FileLogs {
    async fn append(&self, log: LogName, lines: Vec<NewLine>) -> Result<(), StoreError> {
        self.with("append to a log", log, move |log, limits| lock(log).append(lines, limits)).await
    }

    async fn append_new(&self, log: LogName, lines: Vec<NewLine>) -> Result<(), StoreError> {
        let append = move |log: &Arc<Mutex<Log>>, limits: &Limits| lock(log).append_new(lines, limits);
        self.with("append to a log", log, append).await
    }

    async fn read(&self, log: LogName, after: u64, limit: usize) -> Result<Vec<Line>, StoreError> {
        self.with("read a log", log, move |log, _| read(log, &mut Cursor::after(after), limit)).await
    }

    async fn last(&self, log: LogName, count: usize) -> Result<Vec<Line>, StoreError> {
        let read = move |log: &Arc<Mutex<Log>>, _: &Limits| {
            let count = count.min(MAX_LINES);
            let after = lock(log).last().saturating_sub(count as u64);
            read(log, &mut Cursor::after(after), count)
        };
        self.with("read the end of a log", log, read).await
    }

    async fn follow(&self, log: LogName, after: u64) -> BoxStream<'static, Result<Line, StoreError>> {
        use futures::StreamExt as _;

        let grown: Result<watch::Receiver<u64>, StoreError> =
            self.with("follow a log", log, |log, _| Ok(lock(log).grown())).await;
        match grown {
            Ok(grown) => {
                let cursor = Cursor::after(after);
                lines::follow(Reader { store: self.clone(), name: log, cursor }, grown)
            }
            Err(err) => futures::stream::once(async { Err(err) }).boxed(),
        }
    }

    async fn remove(&self, log: LogName) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        self.with("remove a log", log, move |log_of, _| {
            // Nobody opens it again before it is gone.
            let mut open = lock(&shared.open);
            open.remove(&log);
            lock(log_of).remove()
        })
        .await
    }

    async fn size(&self) -> Result<Option<u64>, StoreError> {
        let shared = Arc::clone(&self.shared);
        let doing = "measure the logs";
        let task = tokio::task::spawn_blocking(move || size_of(&shared.dir));
        let size = task.await.map_err(|source| StoreError::Unavailable { doing, source: source.into() })?;
        size.map(Some).map_err(|source| StoreError::Unavailable { doing, source: source.into() })
    }
}

/// What the files below a directory take. What is removed meanwhile takes nothing.
fn size_of(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let size =
            if kind.is_dir() { size_of(&entry.path()) } else { entry.metadata().map(|meta| meta.len()) };
        match size {
            Ok(size) => bytes += size,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}
