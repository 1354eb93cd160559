//! What an installation is: the same for all of its processes, and decided once, by the first of them.

use domain::id::{OrganizationId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::entries::{self, Entry, EntryStore, Key};
use crate::error::StoreError;

/// The form of the description that this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// Who an installation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// The mark on everything that it makes.
    pub id: Uuid,
    /// Its owner,
    pub owner: UserId,
    /// and the organisation that is the owner's.
    pub organization: OrganizationId,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    #[serde(flatten)]
    installation: Installation,
}

/// Describes the installation as `ours`, unless it is described already. Answers with what it is: every
/// process gets the same.
///
/// # Errors
/// [`StoreError::Unavailable`], also when a newer version of Switchback wrote it.
pub async fn describe(store: &dyn EntryStore, ours: Installation) -> Result<Installation, StoreError> {
    let stored = serde_json::to_vec(&Stored { format: FORMAT, installation: ours });
    let stored = stored.map_err(|source| failed(source.into()))?;
    read(&entries::first(store, &key()?, stored.into()).await?)
}

/// The description, when there is one.
///
/// # Errors
/// As [`describe`].
pub async fn find(store: &dyn EntryStore) -> Result<Option<Installation>, StoreError> {
    store.get(&key()?).await?.as_ref().map(read).transpose()
}

fn key() -> Result<Key, StoreError> {
    "installation".parse().map_err(|source: entries::InvalidKey| failed(source.into()))
}

fn read(entry: &Entry) -> Result<Installation, StoreError> {
    let stored: Stored = serde_json::from_slice(&entry.value).map_err(|source| failed(source.into()))?;
    if stored.format > FORMAT {
        let format = stored.format;
        let newer = format!("a newer version of Switchback wrote it (format {format}); start that version");
        return Err(failed(newer.into()));
    }
    Ok(stored.installation)
}

fn failed(source: crate::error::BoxError) -> StoreError {
    StoreError::Unavailable { doing: "read what this installation is", source }
}
