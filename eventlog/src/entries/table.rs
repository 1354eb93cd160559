//! Entries as one process knows them: what may be written where, and what has which revision.

use std::collections::HashMap;

use bytes::Bytes;

use crate::entries::{Entry, EntryError, Key, Revision};

/// The entries of a store that one process has to itself.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: HashMap<Key, Entry>,
    last: u64,
}

impl Table {
    pub(crate) fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Whether nothing stands at a key.
    pub(crate) fn must_be_free(&self, key: &Key) -> Result<(), EntryError> {
        if self.entries.contains_key(key) {
            return Err(EntryError::Exists { key: key.clone() });
        }
        Ok(())
    }

    /// Whether an entry of this revision stands at a key.
    pub(crate) fn must_be_at(&self, key: &Key, revision: Revision) -> Result<(), EntryError> {
        if self.entries.get(key).is_some_and(|entry| entry.revision == revision) {
            return Ok(());
        }
        Err(EntryError::Changed { key: key.clone() })
    }

    pub(crate) fn set(&mut self, key: &Key, value: Bytes) -> Revision {
        self.last += 1;
        let revision = Revision(self.last);
        self.entries.insert(key.clone(), Entry { value, revision });
        revision
    }

    pub(crate) fn remove(&mut self, key: &Key) -> bool {
        self.entries.remove(key).is_some()
    }
}
