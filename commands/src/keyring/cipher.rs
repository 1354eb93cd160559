//! What seals values and wraps keys: XChaCha20-Poly1305 under random nonces.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use domain::secret::Secret;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::keyring::KeyringError;

const NONCE_BYTES: usize = 24;
/// How long a key is.
pub(super) const KEY_BYTES: usize = 32;

/// An organisation's key, as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Wrapped {
    pub(super) id: Uuid,
    pub(super) data: String,
}

/// A key that can be used.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct OpenKey {
    pub(super) id: Uuid,
    pub(super) bytes: [u8; KEY_BYTES],
}

impl OpenKey {
    /// A new key.
    pub(super) fn fresh() -> Result<Self, KeyringError> {
        Ok(Self { id: Uuid::now_v7(), bytes: random()? })
    }

    /// The key as it may be kept, authenticated together with where it belongs.
    pub(super) fn wrapped(&self, master: &[u8; KEY_BYTES], belongs: &str) -> Result<Vec<u8>, KeyringError> {
        let data = encrypt(master, &self.bytes, belongs.as_bytes())?;
        serde_json::to_vec(&Wrapped { id: self.id, data }).map_err(|_| KeyringError::DoesNotOpen)
    }

    /// The key of what is kept; none when it is damaged, of another master key or belongs elsewhere.
    pub(super) fn unwrapped(
        master: &[u8; KEY_BYTES],
        stored: &[u8],
        belongs: impl FnOnce(Uuid) -> String,
    ) -> Option<Self> {
        let Wrapped { id, data } = serde_json::from_slice(stored).ok()?;
        let bytes = decrypt(master, &data, belongs(id).as_bytes())?;
        Some(Self { id, bytes: bytes.try_into().ok()? })
    }
}

/// Random bytes of the machine.
pub(super) fn random<const N: usize>() -> Result<[u8; N], KeyringError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| KeyringError::Random)?;
    Ok(bytes)
}

/// Nonce and ciphertext, in base64.
pub(super) fn encrypt(key: &[u8; KEY_BYTES], plain: &[u8], belongs: &[u8]) -> Result<String, KeyringError> {
    let nonce: [u8; NONCE_BYTES] = random()?;
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    let payload = Payload { msg: plain, aad: belongs };
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| KeyringError::DoesNotOpen)?;
    Ok(BASE64.encode([&nonce[..], &sealed].concat()))
}

pub(super) fn decrypt(key: &[u8; KEY_BYTES], data: &str, belongs: &[u8]) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(data).ok()?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    cipher.decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: belongs }).ok()
}

/// Equal for equal values of one variable, and of no use without the key.
pub(super) fn fingerprint(key: &[u8; KEY_BYTES], belongs: &[u8], value: &Secret) -> String {
    let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).map(|mac| {
        mac.chain_update(b"fingerprint|")
            .chain_update(belongs)
            .chain_update(b"|")
            .chain_update(value.reveal())
    });
    mac.map_or_else(|_| String::new(), |mac| hex::encode(&mac.finalize().into_bytes()[..16]))
}
