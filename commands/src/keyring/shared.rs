//! Keys among the entries, where several processes share them: made once, whoever is first.

use domain::id::OrganizationId;
use eventlog::entries::{self, Key, SharedEntries};
use uuid::Uuid;

use crate::keyring::cipher::OpenKey;
use crate::keyring::{KeyringError, MasterKey};

/// Where stands what only the right master key opens.
const CHECK: Uuid = Uuid::nil();

/// The keys of several processes.
pub(super) struct EntryKeys {
    entries: SharedEntries,
    master: MasterKey,
}

/// Where a key belongs: it opens for no other organisation and under no other id.
fn belongs(organization: Uuid, id: Uuid) -> String {
    format!("key|{organization}|{id}")
}

fn key_of(organization: Uuid) -> Key {
    Key::of("key", organization)
}

impl EntryKeys {
    /// Makes sure that the master key is that of the other processes.
    pub(super) async fn open(entries: SharedEntries, master: MasterKey) -> Result<Self, KeyringError> {
        let keys = Self { entries, master };
        keys.settle(CHECK).await?.ok_or(KeyringError::OtherMaster)?;
        Ok(keys)
    }

    /// An organisation's key, when it has one.
    pub(super) async fn find(&self, organization: OrganizationId) -> Result<Option<OpenKey>, KeyringError> {
        let Some(entry) = self.entries.get(&key_of(organization.0)).await? else { return Ok(None) };
        let key = self.unwrapped(organization.0, &entry.value);
        key.map(Some).ok_or(KeyringError::DamagedKey(organization))
    }

    /// An organisation's key, made when it has none. Everybody gets the same.
    pub(super) async fn find_or_make(&self, organization: OrganizationId) -> Result<OpenKey, KeyringError> {
        self.settle(organization.0).await?.ok_or(KeyringError::DamagedKey(organization))
    }

    /// The key that stands there, or a new one where none does; none when it does not open.
    async fn settle(&self, owner: Uuid) -> Result<Option<OpenKey>, KeyringError> {
        let fresh = OpenKey::fresh()?;
        let stored = fresh.wrapped(self.master.bytes(), &belongs(owner, fresh.id))?;
        let entry = entries::first(&*self.entries, &key_of(owner), stored.into()).await?;
        Ok(self.unwrapped(owner, &entry.value))
    }

    fn unwrapped(&self, owner: Uuid, stored: &[u8]) -> Option<OpenKey> {
        OpenKey::unwrapped(self.master.bytes(), stored, |id| belongs(owner, id))
    }
}
