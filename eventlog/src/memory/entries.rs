//! Entries in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::entries::{Entry, EntryError, EntryStore, Key, Revision, Table};
use crate::error::StoreError;

/// Entries that are gone with the process. Clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryEntries {
    table: Arc<Mutex<Table>>,
}

impl MemoryEntries {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl EntryStore for MemoryEntries {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        Ok(self.lock().get(key).cloned())
    }

    async fn create(&self, key: &Key, value: Bytes) -> Result<Revision, EntryError> {
        let mut table = self.lock();
        table.must_be_free(key)?;
        Ok(table.set(key, value))
    }

    async fn put(&self, key: &Key, value: Bytes) -> Result<Revision, StoreError> {
        Ok(self.lock().set(key, value))
    }

    async fn replace(&self, key: &Key, value: Bytes, revision: Revision) -> Result<Revision, EntryError> {
        let mut table = self.lock();
        table.must_be_at(key, revision)?;
        Ok(table.set(key, value))
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.lock().remove(key);
        Ok(())
    }
}
