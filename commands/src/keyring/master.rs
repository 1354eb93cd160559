//! The master key that an operator gives to every process, as a file.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::keyring::KeyringError;
use crate::keyring::cipher::KEY_BYTES;

/// More than any form of a key has.
const FILE_BYTES_MAX: u64 = 1024;
/// What others than the owner may do with a file.
const OTHERS: u32 = 0o077;
/// The same in a directory of systemd's credentials (`LoadCredential=`): it gives each to one user by an access
/// list, which shows as a permission of the group.
const OTHERS_OF_CREDENTIALS: u32 = 0o037;

/// The key that wraps all others.
#[derive(Clone)]
pub struct MasterKey([u8; KEY_BYTES]);

impl MasterKey {
    /// Reads a file of 32 bytes in hex or base64, which nobody but its owner may read.
    ///
    /// # Errors
    /// [`KeyringError::File`], [`KeyringError::Master`].
    pub fn read(path: &Path) -> Result<Self, KeyringError> {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
        Self::read_with(path, credentials.as_deref().map(Path::new))
    }

    fn read_with(path: &Path, credentials: Option<&Path>) -> Result<Self, KeyringError> {
        let file = |source| KeyringError::File { path: path.to_owned(), source };
        let wrong = |problem: String| KeyringError::Master { path: path.to_owned(), problem };
        let opened = File::open(path).map_err(file)?;
        let mode = opened.metadata().map_err(file)?.permissions().mode() & 0o777;
        let is_credential = credentials.is_some_and(|directory| path.starts_with(directory));
        if mode & if is_credential { OTHERS_OF_CREDENTIALS } else { OTHERS } != 0 {
            return Err(wrong(format!("others may read it (mode {mode:04o}); `chmod 600` it")));
        }
        let mut text = String::new();
        let read = opened.take(FILE_BYTES_MAX).read_to_string(&mut text);
        let text = text.trim();
        let bytes = hex::decode(text).ok().or_else(|| BASE64.decode(text).ok());
        let bytes = bytes.filter(|_| read.is_ok()).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| {
            let size = fs::metadata(path).map_or(0, |file| file.len());
            wrong(format!(
                "its {size} bytes are not 32 bytes in hex or base64; `openssl rand -hex 32` makes some"
            ))
        })
    }

    /// The key itself.
    pub(super) const fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn read(text: &str, mode: u32) -> Result<MasterKey, KeyringError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("written");
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).expect("set");
        MasterKey::read(file.path())
    }

    #[test]
    fn a_key_is_read_in_hex_and_in_base64() {
        let key = [7; KEY_BYTES];
        for text in [hex::encode(key), format!("{}\n", BASE64.encode(key))] {
            for mode in [0o600, 0o400] {
                assert_eq!(*read(&text, mode).expect("a key").bytes(), key);
            }
        }
        assert!(!format!("{:?}", read(&hex::encode(key), 0o600)).contains('7'));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        for mode in [0o644, 0o640, 0o604, 0o620] {
            let refused = read(&hex::encode([7; KEY_BYTES]), mode).expect_err("refused");
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
        }
    }

    #[test]
    fn a_credential_of_systemd_is_read_though_its_mode_shows_a_group() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("master_key");
        fs::write(&path, hex::encode([7; KEY_BYTES])).expect("written");
        for (mode, is_read) in [(0o400, true), (0o440, true), (0o444, false), (0o460, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("set");
            let read = MasterKey::read_with(&path, Some(directory.path()));
            assert_eq!(read.is_ok(), is_read, "{mode:o}");
            let elsewhere = MasterKey::read_with(&path, Some(Path::new("/run/credentials")));
            assert_eq!(elsewhere.is_ok(), mode == 0o400, "{mode:o}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        for text in ["", "hunter2", &"ab".repeat(31), &"ab".repeat(33), &"x".repeat(5000)] {
            let refused = read(text, 0o600).expect_err("refused").to_string();
            assert!(refused.contains("openssl rand -hex 32"), "{refused}");
            assert!(text.is_empty() || !refused.contains(text), "{refused}");
        }
        let absent = MasterKey::read(Path::new("/nowhere/master.key")).expect_err("refused");
        assert!(matches!(absent, KeyringError::File { .. }), "{absent:?}");
    }
}
