//! Values that nobody may read by accident: sealed in events, never printed.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A value in the clear, on its way from a request to the keyring or from the keyring to a process.
/// It cannot be serialised and prints as `***`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret(String);

impl Secret {
    /// Takes a value in.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value. Only for the keyring, the environment of a process, and an answer that someone asked to
    /// see.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A value as it stands in an event: encrypted with a key that the log does not hold.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sealed {
    /// The key it was encrypted with; once that is gone from the keyring, so is the value.
    pub key: Uuid,
    /// Nonce (24 bytes) and ciphertext of XChaCha20-Poly1305, in base64.
    pub data: String,
    /// A keyed hash of the value: two values with the same one are equal, and it says nothing else.
    pub fingerprint: String,
}

impl Sealed {
    /// Whether both hold the same value, as far as the fingerprint tells.
    #[must_use]
    pub fn same_value(&self, other: &Self) -> bool {
        self.key == other.key && self.fingerprint == other.fingerprint
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    }

    #[test]
    fn a_sealed_value_prints_as_stars() {
        let sealed = Sealed { key: Uuid::nil(), data: "AAAA".into(), fingerprint: "ff".into() };
        assert_eq!(format!("{sealed:?}"), "***");
    }
}
