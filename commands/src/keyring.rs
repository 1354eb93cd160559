//! The keyring: a key for each organisation, wrapped by a master key, kept outside the log.
//!
//! Values are sealed with XChaCha20-Poly1305 under the organisation's key; where a value belongs
//! (organisation, service, name) is authenticated with it, so that a sealed value moved elsewhere does not
//! open. Without its key a value is gone: that is how it is erased from a log that cannot be changed.
//! (notes/reliability.md S26)
//!
//! Keys are kept in files ([`Keyring::open`]) by a process that is alone, and among the entries
//! ([`Keyring::shared`]) by processes that share them; there they are wrapped by a master key that the
//! operator gives to each process, and that no engine ever has. A key that was used once is kept in memory,
//! so that values can be sealed and opened while the store is away.

mod cipher;
mod files;
mod master;
mod shared;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use domain::id::{OrganizationId, ServiceId};
use domain::name::VariableName;
use domain::secret::{Sealed, Secret};
use eventlog::entries::SharedEntries;
use eventlog::error::StoreError;

use crate::keyring::cipher::{OpenKey, decrypt, encrypt, fingerprint};
use crate::keyring::files::FileKeys;
use crate::keyring::shared::EntryKeys;

pub use crate::keyring::master::MasterKey;

/// A key or a value that could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// A file of the keyring could not be read or written.
    #[error("keyring file {path}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the keyring does not have its form, or was made under another master key.
    #[error(
        "keyring file {path} cannot be opened with this master key; restore the keyring directory from a \
         backup",
        path = .0.display()
    )]
    Damaged(PathBuf),
    /// The file that the operator gave is no master key.
    #[error("the master key {}: {problem}", path.display())]
    Master {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The processes were not given the same master key.
    #[error(
        "the keys of this installation were wrapped by another master key; give every process the file that \
         the first one was given"
    )]
    OtherMaster,
    /// A shared key is not what was written.
    #[error("the key of organisation {0} cannot be opened with this master key; restore it from a backup")]
    DamagedKey(OrganizationId),
    /// The shared keys cannot be reached.
    #[error("the keys cannot be reached")]
    Store(#[from] StoreError),
    /// The value's key is gone, or it belongs elsewhere.
    #[error("a sealed value does not open: its key was erased, or it belongs to something else")]
    DoesNotOpen,
    /// The machine has no randomness to give.
    #[error("no random bytes")]
    Random,
}

impl KeyringError {
    /// Whether it may succeed when it is tried again.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}

enum Keys {
    Files(FileKeys),
    Shared(EntryKeys),
}

/// The keys of all organisations. Clones are the same keyring.
#[derive(Clone)]
pub struct Keyring {
    inner: Arc<Inner>,
}

struct Inner {
    keys: Keys,
    open: Mutex<HashMap<OrganizationId, OpenKey>>,
    /// One at a time looks for keys and makes them.
    looking: tokio::sync::Mutex<()>,
}

/// Where a value belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The organisation whose key seals it.
    pub organization: OrganizationId,
    /// The service it is a variable of.
    pub service: ServiceId,
    /// The variable.
    pub name: &'a VariableName,
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        format!("{}|{}|{}", self.organization, self.service, self.name).into_bytes()
    }
}

impl Keyring {
    /// Opens the keyring in a directory that this process has alone, and makes it when there is none.
    ///
    /// # Errors
    /// [`KeyringError::File`], or [`KeyringError::Damaged`] when the master key has another length.
    pub fn open(directory: &Path) -> Result<Self, KeyringError> {
        Ok(Self::over(Keys::Files(FileKeys::open(directory)?)))
    }

    /// The keyring of several processes, which were all given the same master key.
    ///
    /// # Errors
    /// [`KeyringError::OtherMaster`], [`KeyringError::Store`].
    pub async fn shared(entries: SharedEntries, master: MasterKey) -> Result<Self, KeyringError> {
        Ok(Self::over(Keys::Shared(EntryKeys::open(entries, master).await?)))
    }

    fn over(keys: Keys) -> Self {
        Self {
            inner: Arc::new(Inner { keys, open: Mutex::default(), looking: tokio::sync::Mutex::default() }),
        }
    }

    /// Seals a value.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub async fn seal(&self, place: Place<'_>, value: &Secret) -> Result<Sealed, KeyringError> {
        let key = match self.inner.known(place.organization) {
            Some(key) => key,
            None => self.inner.make(place.organization).await?,
        };
        let belongs = place.bytes();
        let data = encrypt(&key.bytes, value.reveal().as_bytes(), &belongs)?;
        Ok(Sealed { key: key.id, data, fingerprint: fingerprint(&key.bytes, &belongs, value) })
    }

    /// Opens a value.
    ///
    /// # Errors
    /// [`KeyringError::DoesNotOpen`] when its key is gone or it belongs elsewhere.
    pub async fn unseal(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, KeyringError> {
        let is_its = |key: &OpenKey| key.id == sealed.key;
        let key = match self.inner.known(place.organization).filter(is_its) {
            Some(key) => key,
            None => {
                let found = self.inner.find(place.organization).await?;
                found.filter(is_its).ok_or(KeyringError::DoesNotOpen)?
            }
        };
        let plain = decrypt(&key.bytes, &sealed.data, &place.bytes()).ok_or(KeyringError::DoesNotOpen)?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| KeyringError::DoesNotOpen)
    }
}

impl Inner {
    fn known(&self, organization: OrganizationId) -> Option<OpenKey> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&organization).cloned()
    }

    fn keep(&self, organization: OrganizationId, key: &OpenKey) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(organization, key.clone());
    }

    async fn find(&self, organization: OrganizationId) -> Result<Option<OpenKey>, KeyringError> {
        let _turn = self.looking.lock().await;
        let found = match &self.keys {
            Keys::Files(files) => files.find(organization)?,
            Keys::Shared(shared) => shared.find(organization).await?,
        };
        if let Some(key) = &found {
            self.keep(organization, key);
        }
        Ok(found)
    }

    async fn make(&self, organization: OrganizationId) -> Result<OpenKey, KeyringError> {
        let _turn = self.looking.lock().await;
        if let Some(key) = self.known(organization) {
            return Ok(key);
        }
        let key = match &self.keys {
            Keys::Files(files) => files.find_or_make(organization)?,
            Keys::Shared(shared) => shared.find_or_make(organization).await?,
        };
        self.keep(organization, &key);
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use eventlog::entries::EntryStore as _;
    use eventlog::memory::MemoryEntries;
    use uuid::Uuid;

    use super::*;

    const HOME: OrganizationId = OrganizationId(Uuid::from_u128(1));
    const WEB: ServiceId = ServiceId(Uuid::from_u128(2));

    fn name(text: &str) -> VariableName {
        text.parse().expect("valid")
    }

    fn place(name: &VariableName) -> Place<'_> {
        Place { organization: HOME, service: WEB, name }
    }

    #[tokio::test]
    async fn a_sealed_value_opens_again_also_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let a = name("A");
        let keyring = Keyring::open(directory.path()).expect("open");
        let sealed = keyring.seal(place(&a), &Secret::new("hunter2")).await.expect("sealed");
        assert!(!serde_json::to_string(&sealed).expect("json").contains("hunter2"));
        let again = Keyring::open(directory.path()).expect("open");
        assert_eq!(again.unseal(place(&a), &sealed).await.expect("opens").reveal(), "hunter2");
    }

    #[tokio::test]
    async fn a_value_moved_elsewhere_does_not_open() {
        let directory = tempfile::tempdir().expect("a directory");
        let keyring = Keyring::open(directory.path()).expect("open");
        let (a, b) = (name("A"), name("B"));
        let sealed = keyring.seal(place(&a), &Secret::new("x")).await.expect("sealed");
        let elsewhere = [
            Place { name: &b, ..place(&a) },
            Place { service: ServiceId(Uuid::from_u128(9)), ..place(&a) },
            Place { organization: OrganizationId(Uuid::from_u128(9)), ..place(&a) },
        ];
        for place in elsewhere {
            assert!(matches!(keyring.unseal(place, &sealed).await, Err(KeyringError::DoesNotOpen)));
        }
    }

    #[tokio::test]
    async fn a_changed_byte_does_not_open() {
        let directory = tempfile::tempdir().expect("a directory");
        let keyring = Keyring::open(directory.path()).expect("open");
        let a = name("A");
        let mut sealed = keyring.seal(place(&a), &Secret::new("x")).await.expect("sealed");
        let flipped = if sealed.data.ends_with('A') { "B" } else { "A" };
        sealed.data.replace_range(40..41, flipped);
        assert!(keyring.unseal(place(&a), &sealed).await.is_err());
    }

    #[tokio::test]
    async fn the_fingerprint_tells_equal_values_of_one_variable_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let keyring = Keyring::open(directory.path()).expect("open");
        let (a, b) = (name("A"), name("B"));
        let seal = async |name, value| keyring.seal(place(name), &Secret::new(value)).await.expect("sealed");
        let x = seal(&a, "x").await;
        assert!(x.same_value(&seal(&a, "x").await));
        assert!(!x.same_value(&seal(&a, "y").await));
        assert!(!x.same_value(&seal(&b, "x").await));
        assert_ne!(x.data, seal(&a, "x").await.data);
    }

    #[tokio::test]
    async fn keys_are_readable_by_their_owner_only_and_useless_under_another_master() {
        let directory = tempfile::tempdir().expect("a directory");
        let a = name("A");
        let keyring = Keyring::open(directory.path()).expect("open");
        let sealed = keyring.seal(place(&a), &Secret::new("x")).await.expect("sealed");
        for entry in fs::read_dir(directory.path()).expect("files") {
            let mode = entry.and_then(|entry| entry.metadata()).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(directory.path().join("master.key"), "00".repeat(32)).expect("written");
        let other = Keyring::open(directory.path()).expect("open");
        assert!(matches!(other.unseal(place(&a), &sealed).await, Err(KeyringError::Damaged(_))));
    }

    fn master(byte: u8) -> MasterKey {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), hex::encode([byte; 32])).expect("written");
        MasterKey::read(file.path()).expect("a key")
    }

    async fn shared(entries: &MemoryEntries, byte: u8) -> Result<Keyring, KeyringError> {
        Keyring::shared(Arc::new(entries.clone()), master(byte)).await
    }

    #[tokio::test]
    async fn processes_that_make_a_key_at_once_end_with_one() {
        let entries = MemoryEntries::new();
        let a = name("A");
        let mut keyrings = vec![];
        for _ in 0..5 {
            keyrings.push(shared(&entries, 7).await.expect("open"));
        }
        let (secret, place) = (Secret::new("hunter2"), place(&a));
        let sealing = keyrings.iter().map(|keyring| keyring.seal(place, &secret));
        for sealed in futures::future::join_all(sealing).await {
            let sealed = sealed.expect("sealed");
            for keyring in &keyrings {
                assert_eq!(keyring.unseal(place, &sealed).await.expect("opens").reveal(), "hunter2");
            }
        }
    }

    #[tokio::test]
    async fn a_process_with_another_master_key_is_refused() {
        let entries = MemoryEntries::new();
        shared(&entries, 7).await.expect("the first");
        let refused = shared(&entries, 8).await.err().expect("refused");
        assert!(matches!(refused, KeyringError::OtherMaster), "{refused:?}");
        shared(&entries, 7).await.expect("the same");
    }

    #[tokio::test]
    async fn what_is_shared_is_wrapped_and_opens_for_nobody_else() {
        let entries = MemoryEntries::new();
        let keyring = shared(&entries, 7).await.expect("open");
        let a = name("A");
        let sealed = keyring.seal(place(&a), &Secret::new("x")).await.expect("sealed");
        let known = keyring.inner.known(HOME).expect("known");
        let mine =
            entries.get(&eventlog::entries::Key::of("key", HOME.0)).await.expect("read").expect("there");
        assert!(!String::from_utf8_lossy(&mine.value).contains(&hex::encode(known.bytes)));
        // Whoever can write the store can move keys, but not make them open.
        let other = OrganizationId(Uuid::from_u128(9));
        entries.put(&eventlog::entries::Key::of("key", other.0), mine.value).await.expect("written");
        let moved = keyring.unseal(Place { organization: other, ..place(&a) }, &sealed).await;
        assert!(matches!(moved, Err(KeyringError::DamagedKey(_))), "{moved:?}");
    }

    #[tokio::test]
    async fn a_value_whose_key_was_erased_does_not_open_and_no_other_key_is_made_for_it() {
        let entries = MemoryEntries::new();
        let a = name("A");
        let sealed = shared(&entries, 7).await.expect("open").seal(place(&a), &Secret::new("x")).await;
        let key = eventlog::entries::Key::of("key", HOME.0);
        entries.delete(&key).await.expect("erased");
        let opened =
            shared(&entries, 7).await.expect("open").unseal(place(&a), &sealed.expect("sealed")).await;
        assert!(matches!(opened, Err(KeyringError::DoesNotOpen)), "{opened:?}");
        assert_eq!(entries.get(&key).await.expect("read"), None);
    }

    #[tokio::test]
    async fn a_key_that_was_used_once_needs_no_store() {
        let entries = MemoryEntries::new();
        let keyring = shared(&entries, 7).await.expect("open");
        let a = name("A");
        keyring.seal(place(&a), &Secret::new("x")).await.expect("sealed");
        // As good as away: what is not there cannot be read.
        entries.delete(&eventlog::entries::Key::of("key", HOME.0)).await.expect("gone");
        let sealed = keyring.seal(place(&a), &Secret::new("y")).await.expect("sealed");
        assert_eq!(keyring.unseal(place(&a), &sealed).await.expect("opens").reveal(), "y");
        assert_eq!(entries.get(&eventlog::entries::Key::of("key", HOME.0)).await.expect("read"), None);
    }
}
