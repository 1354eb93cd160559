//! Entries in files: one file each, named by its key, readable by the platform's user only.
//!
//! One process has them at a time. A write is there whole or not at all, and on the disk when it is answered.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::entries::{Entry, EntryError, EntryStore, Key, Revision, Table};
use crate::error::{OpenError, StoreError};
use crate::leadership;
use crate::lock::FileLock;

/// What the name of a file begins with that is not whole yet. No key begins so.
const PART: &str = ".part-";

/// Entries in files. Clones are the same store.
#[derive(Clone)]
pub struct FileEntries {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    table: Mutex<Table>,
    _lock: FileLock,
}

impl FileEntries {
    /// Opens the store in a data directory, or makes it. Whoever led is not there any more, because no other
    /// process has the directory.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let entries = dir.join("entries");
        let unusable =
            |source: io::Error| OpenError::Unusable { path: entries.clone(), source: source.into() };
        DirBuilder::new().recursive(true).mode(0o700).create(&entries).map_err(unusable)?;
        let lock = FileLock::take(&dir.join("entries.lock"), dir)?;
        let mut table = Table::default();
        for file in fs::read_dir(&entries).map_err(unusable)? {
            let path = file.map_err(unusable)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Ok(key) = name.parse::<Key>() {
                let value = fs::read(&path).map_err(unusable)?;
                table.set(&key, leadership::vacated(&key, &value).unwrap_or(value).into());
            } else if name.starts_with(PART) {
                fs::remove_file(&path).map_err(unusable)?;
            }
        }
        Ok(Self { shared: Arc::new(Shared { dir: entries, table: Mutex::new(table), _lock: lock }) })
    }

    /// Does something with the entries, where blocking is allowed.
    async fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Path, &mut Table) -> Result<T, EntryError> + Send + 'static,
    ) -> Result<T, EntryError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            act(&shared.dir, &mut shared.table.lock().unwrap_or_else(PoisonError::into_inner))
        });
        task.await.unwrap_or_else(|source| Err(failed(source).into()))
    }
}

fn failed(source: impl Into<crate::error::BoxError>) -> StoreError {
    StoreError::Unavailable { doing: "write an entry", source: source.into() }
}

/// The error of an operation that has no conditions.
fn of_store(err: EntryError) -> StoreError {
    match err {
        EntryError::Store(err) => err,
        EntryError::Exists { .. } | EntryError::Changed { .. } => failed(err),
    }
}

fn write(dir: &Path, key: &Key, value: &[u8]) -> Result<(), EntryError> {
    let write = || {
        let part = dir.join(format!("{PART}{key}"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(value)?;
        file.sync_all()?;
        fs::rename(&part, dir.join(key.as_str()))?;
        fs::File::open(dir)?.sync_all()
    };
    write().map_err(|source: io::Error| failed(source).into())
}

#[async_trait]
impl EntryStore for FileEntries {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        Ok(self.shared.table.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    async fn create(&self, key: &Key, value: Bytes) -> Result<Revision, EntryError> {
        let key = key.clone();
        let create = move |dir: &Path, table: &mut Table| {
            table.must_be_free(&key)?;
            write(dir, &key, &value)?;
            Ok(table.set(&key, value))
        };
        self.with(create).await
    }

    async fn put(&self, key: &Key, value: Bytes) -> Result<Revision, StoreError> {
        let key = key.clone();
        let put = move |dir: &Path, table: &mut Table| {
            write(dir, &key, &value)?;
            Ok(table.set(&key, value))
        };
        self.with(put).await.map_err(of_store)
    }

    async fn replace(&self, key: &Key, value: Bytes, revision: Revision) -> Result<Revision, EntryError> {
        let key = key.clone();
        let replace = move |dir: &Path, table: &mut Table| {
            table.must_be_at(&key, revision)?;
            write(dir, &key, &value)?;
            Ok(table.set(&key, value))
        };
        self.with(replace).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let key = key.clone();
        let delete = move |dir: &Path, table: &mut Table| {
            if table.get(&key).is_some() {
                let remove = || {
                    fs::remove_file(dir.join(key.as_str()))?;
                    fs::File::open(dir)?.sync_all()
                };
                remove().map_err(failed)?;
                table.remove(&key);
            }
            Ok(())
        };
        self.with(delete).await.map_err(of_store)
    }
}
