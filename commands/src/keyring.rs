//! The keyring: a key for each organisation, wrapped by a master key, kept outside the log.
//!
//! Values are sealed with XChaCha20-Poly1305 under the organisation's key; where a value belongs
//! (organisation, service, name) is authenticated with it, so that a sealed value moved elsewhere does not
//! open. Without its key a value is gone: that is how it is erased from a log that cannot be changed.
//! (notes/reliability.md S26)
//!
//! On disk: `<dir>/master.key` and `<dir>/<organisation>.key`, each readable by the platform's user only.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use domain::id::{OrganizationId, ServiceId};
use domain::name::VariableName;
use domain::secret::{Sealed, Secret};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;

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
    /// The value's key is gone, or it belongs elsewhere.
    #[error("a sealed value does not open: its key was erased, or it belongs to something else")]
    DoesNotOpen,
    /// The machine has no randomness to give.
    #[error("no random bytes")]
    Random,
}

/// An organisation's key, as it is kept.
#[derive(Serialize, Deserialize)]
struct Wrapped {
    id: Uuid,
    data: String,
}

#[derive(Clone)]
struct OpenKey {
    id: Uuid,
    bytes: [u8; KEY_BYTES],
}

/// The keys of all organisations.
#[derive(Clone)]
pub struct Keyring {
    directory: PathBuf,
    master: [u8; KEY_BYTES],
    open: Arc<Mutex<HashMap<OrganizationId, OpenKey>>>,
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
    /// Opens the keyring in a directory, and makes it when there is none.
    ///
    /// # Errors
    /// [`KeyringError::File`], or [`KeyringError::Damaged`] when the master key has another length.
    pub fn open(directory: &Path) -> Result<Self, KeyringError> {
        fs::create_dir_all(directory)
            .map_err(|source| KeyringError::File { path: directory.to_owned(), source })?;
        let path = directory.join("master.key");
        let master = match fs::read_to_string(&path) {
            Ok(text) => {
                let bytes = hex::decode(text.trim()).map_err(|_| KeyringError::Damaged(path.clone()))?;
                bytes.try_into().map_err(|_| KeyringError::Damaged(path))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let master: [u8; KEY_BYTES] = random()?;
                write_private(&path, hex::encode(master).as_bytes())?;
                master
            }
            Err(source) => return Err(KeyringError::File { path, source }),
        };
        Ok(Self { directory: directory.to_owned(), master, open: Arc::default() })
    }

    /// Seals a value.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn seal(&self, place: Place<'_>, value: &Secret) -> Result<Sealed, KeyringError> {
        let key = self.key(place.organization)?;
        let belongs = place.bytes();
        let data = encrypt(&key.bytes, value.reveal().as_bytes(), &belongs)?;
        Ok(Sealed { key: key.id, data, fingerprint: fingerprint(&key.bytes, &belongs, value) })
    }

    /// Opens a value.
    ///
    /// # Errors
    /// [`KeyringError::DoesNotOpen`] when its key is gone or it belongs elsewhere.
    pub fn unseal(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, KeyringError> {
        let key = self.key(place.organization)?;
        if key.id != sealed.key {
            return Err(KeyringError::DoesNotOpen);
        }
        let plain = decrypt(&key.bytes, &sealed.data, &place.bytes()).ok_or(KeyringError::DoesNotOpen)?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| KeyringError::DoesNotOpen)
    }

    fn key(&self, organization: OrganizationId) -> Result<OpenKey, KeyringError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = open.get(&organization) {
            return Ok(key.clone());
        }
        let path = self.directory.join(format!("{organization}.key"));
        let key = match fs::read(&path) {
            Ok(stored) => self.unwrap_key(organization, &stored).ok_or(KeyringError::Damaged(path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = OpenKey { id: Uuid::now_v7(), bytes: random()? };
                let data = encrypt(&self.master, &key.bytes, organization.to_string().as_bytes())?;
                let stored = serde_json::json!({ "id": key.id, "data": data }).to_string();
                write_private(&path, stored.as_bytes())?;
                key
            }
            Err(source) => return Err(KeyringError::File { path, source }),
        };
        open.insert(organization, key.clone());
        Ok(key)
    }

    fn unwrap_key(&self, organization: OrganizationId, stored: &[u8]) -> Option<OpenKey> {
        let Wrapped { id, data } = serde_json::from_slice(stored).ok()?;
        let bytes = decrypt(&self.master, &data, organization.to_string().as_bytes())?;
        Some(OpenKey { id, bytes: bytes.try_into().ok()? })
    }
}

fn random<const N: usize>() -> Result<[u8; N], KeyringError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| KeyringError::Random)?;
    Ok(bytes)
}

/// Nonce and ciphertext, in base64.
fn encrypt(key: &[u8; KEY_BYTES], plain: &[u8], belongs: &[u8]) -> Result<String, KeyringError> {
    let nonce: [u8; NONCE_BYTES] = random()?;
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    let payload = Payload { msg: plain, aad: belongs };
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| KeyringError::DoesNotOpen)?;
    Ok(BASE64.encode([&nonce[..], &sealed].concat()))
}

fn decrypt(key: &[u8; KEY_BYTES], data: &str, belongs: &[u8]) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(data).ok()?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    cipher.decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: belongs }).ok()
}

/// Equal for equal values of one variable, and of no use without the key.
fn fingerprint(key: &[u8; KEY_BYTES], belongs: &[u8], value: &Secret) -> String {
    let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).map(|mac| {
        mac.chain_update(b"fingerprint|")
            .chain_update(belongs)
            .chain_update(b"|")
            .chain_update(value.reveal())
    });
    mac.map_or_else(|_| String::new(), |mac| hex::encode(&mac.finalize().into_bytes()[..16]))
}

/// Writes a file that only the platform's user can read, and that is there whole or not at all.
fn write_private(path: &Path, content: &[u8]) -> Result<(), KeyringError> {
    let write = || {
        let temporary = path.with_extension("tmp");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|source| KeyringError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const HOME: OrganizationId = OrganizationId(Uuid::from_u128(1));
    const WEB: ServiceId = ServiceId(Uuid::from_u128(2));

    fn name(text: &str) -> VariableName {
        text.parse().expect("valid")
    }

    fn place(name: &VariableName) -> Place<'_> {
        Place { organization: HOME, service: WEB, name }
    }

    #[test]
    fn a_sealed_value_opens_again_also_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let a = name("A");
        let sealed = Keyring::open(directory.path())
            .and_then(|keyring| keyring.seal(place(&a), &Secret::new("hunter2")))
            .expect("sealed");
        assert!(!serde_json::to_string(&sealed).expect("json").contains("hunter2"));
        let again = Keyring::open(directory.path()).expect("open");
        assert_eq!(again.unseal(place(&a), &sealed).expect("opens").reveal(), "hunter2");
    }

    #[test]
    fn a_value_moved_elsewhere_does_not_open() {
        let directory = tempfile::tempdir().expect("a directory");
        let keyring = Keyring::open(directory.path()).expect("open");
        let (a, b) = (name("A"), name("B"));
        let sealed = keyring.seal(place(&a), &Secret::new("x")).expect("sealed");
        let elsewhere = [
            Place { name: &b, ..place(&a) },
            Place { service: ServiceId(Uuid::from_u128(9)), ..place(&a) },
            Place { organization: OrganizationId(Uuid::from_u128(9)), ..place(&a) },
        ];
        for place in elsewhere {
            assert!(matches!(keyring.unseal(place, &sealed), Err(KeyringError::DoesNotOpen)));
        }
    }

    #[test]
    fn a_changed_byte_does_not_open() {
        let directory = tempfile::tempdir().expect("a directory");
        let keyring = Keyring::open(directory.path()).expect("open");
        let a = name("A");
        let mut sealed = keyring.seal(place(&a), &Secret::new("x")).expect("sealed");
        let flipped = if sealed.data.ends_with('A') { "B" } else { "A" };
        sealed.data.replace_range(40..41, flipped);
        assert!(keyring.unseal(place(&a), &sealed).is_err());
    }

    #[test]
    fn the_fingerprint_tells_equal_values_of_one_variable_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let keyring = Keyring::open(directory.path()).expect("open");
        let (a, b) = (name("A"), name("B"));
        let seal = |name, value| keyring.seal(place(name), &Secret::new(value)).expect("sealed");
        assert!(seal(&a, "x").same_value(&seal(&a, "x")));
        assert!(!seal(&a, "x").same_value(&seal(&a, "y")));
        assert!(!seal(&a, "x").same_value(&seal(&b, "x")));
        assert_ne!(seal(&a, "x").data, seal(&a, "x").data);
    }

    #[test]
    fn keys_are_readable_by_their_owner_only_and_useless_under_another_master() {
        let directory = tempfile::tempdir().expect("a directory");
        let a = name("A");
        let keyring = Keyring::open(directory.path()).expect("open");
        let sealed = keyring.seal(place(&a), &Secret::new("x")).expect("sealed");
        for entry in fs::read_dir(directory.path()).expect("files") {
            let mode = entry.and_then(|entry| entry.metadata()).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(directory.path().join("master.key"), "00".repeat(32)).expect("written");
        let other = Keyring::open(directory.path()).expect("open");
        assert!(matches!(other.unseal(place(&a), &sealed), Err(KeyringError::Damaged(_))));
    }
}
