//! The port to the entries: small things that several processes share and that are no events, as wrapped
//! keys, the installation's description, and who leads.
//!
//! What stands at a key is replaced whole. Every change gives the entry another revision, so that a change
//! can be made on the condition that nobody else made one meanwhile. No clock is compared with another.

mod table;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::error::StoreError;

pub(crate) use table::Table;

/// The longest key.
pub const MAX_KEY_BYTES: usize = 200;
/// The longest value.
pub const MAX_VALUE_BYTES: usize = 256 * 1024;

/// How often it is looked at who won, when the winner cannot be seen yet.
const LOOKS_MAX: u32 = 200;
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// What an entry is known by: words of letters, digits, `-` and `_`, with dots between them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// A text that is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no key: words of letters, digits, `-` and `_`, with dots between them, at most 200 bytes")]
pub struct InvalidKey(String);

impl Key {
    /// The key of something that has an id, among others of its kind.
    #[must_use]
    pub fn of(kind: &'static str, id: Uuid) -> Self {
        let key = format!("{kind}.{id}");
        debug_assert!(is_key(&key), "{key}");
        Self(key)
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_key(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    text.len() <= MAX_KEY_BYTES && text.split('.').all(is_word)
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        if is_key(text) { Ok(Self(text.to_owned())) } else { Err(InvalidKey(text.to_owned())) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Grows with each change of an entry; of use only within one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// What stands at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Which of the values that stood there it is.
    pub revision: Revision,
}

/// An entry that was not written.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Something stands at the key.
    #[error("the entry `{key}` is there already")]
    Exists {
        /// The key.
        key: Key,
    },
    /// Something else stands at the key than was expected, or nothing.
    #[error("the entry `{key}` was changed by somebody else")]
    Changed {
        /// The key.
        key: Key,
    },
    /// The store cannot be reached or cannot write. Whether it was written is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store of entries.
#[async_trait]
pub trait EntryStore: Send + Sync {
    /// What stands at a key. Whatever was answered to anybody before is seen.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// Writes an entry where none is. Of several that try, one succeeds.
    ///
    /// # Errors
    /// [`EntryError::Exists`], [`EntryError::Store`].
    async fn create(&self, key: &Key, value: Bytes) -> Result<Revision, EntryError>;

    /// Writes an entry, whatever stands there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn put(&self, key: &Key, value: Bytes) -> Result<Revision, StoreError>;

    /// Writes an entry where one of a certain revision stands.
    ///
    /// # Errors
    /// [`EntryError::Changed`], [`EntryError::Store`].
    async fn replace(&self, key: &Key, value: Bytes, revision: Revision) -> Result<Revision, EntryError>;

    /// Removes an entry, if it is there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn delete(&self, key: &Key) -> Result<(), StoreError>;
}

/// A store that several parts of a program share.
pub type SharedEntries = Arc<dyn EntryStore>;

/// Writes an entry where none is, and answers with the one that stands there then: ours, or that of whoever
/// was first. Everybody who asks gets the same.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn first(store: &dyn EntryStore, key: &Key, value: Bytes) -> Result<Entry, StoreError> {
    if let Some(entry) = store.get(key).await? {
        return Ok(entry);
    }
    for _ in 0..LOOKS_MAX {
        match store.create(key, value.clone()).await {
            Ok(revision) => return Ok(Entry { value, revision }),
            Err(EntryError::Exists { .. } | EntryError::Changed { .. }) => {}
            Err(EntryError::Store(err)) => return Err(err),
        }
        if let Some(entry) = store.get(key).await? {
            return Ok(entry);
        }
        // It was removed again, or is on its way.
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let source = format!("the entry `{key}` is written and removed again and again").into();
    Err(StoreError::Unavailable { doing: "write an entry", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_words_with_dots_between_them() {
        for good in ["installation", "leader.router", "key.0190-a_B"] {
            assert_eq!(good.parse::<Key>().unwrap().as_str(), good);
        }
        let long = "x".repeat(MAX_KEY_BYTES + 1);
        for bad in ["", ".", "a.", ".a", "a..b", "a/b", "a b", "a*", "ä", ">", long.as_str()] {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
    }
}
