//! Keys in files: `<dir>/master.key` and `<dir>/<organisation>.key`, each readable by the platform's user
//! only.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use domain::id::OrganizationId;

use crate::keyring::KeyringError;
use crate::keyring::cipher::{KEY_BYTES, OpenKey, random};

/// The keys of one process.
pub(super) struct FileKeys {
    directory: PathBuf,
    master: [u8; KEY_BYTES],
}

impl FileKeys {
    /// Opens the keys in a directory, and makes a master key when there is none.
    pub(super) fn open(directory: &Path) -> Result<Self, KeyringError> {
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
        Ok(Self { directory: directory.to_owned(), master })
    }

    /// An organisation's key, when it has one.
    pub(super) fn find(&self, organization: OrganizationId) -> Result<Option<OpenKey>, KeyringError> {
        let path = self.path(organization);
        match fs::read(&path) {
            Ok(stored) => OpenKey::unwrapped(&self.master, &stored, |_| organization.to_string())
                .map(Some)
                .ok_or(KeyringError::Damaged(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KeyringError::File { path, source }),
        }
    }

    /// An organisation's key, made when it has none. Not to be called twice at once.
    pub(super) fn find_or_make(&self, organization: OrganizationId) -> Result<OpenKey, KeyringError> {
        if let Some(key) = self.find(organization)? {
            return Ok(key);
        }
        let key = OpenKey::fresh()?;
        let stored = key.wrapped(&self.master, &organization.to_string())?;
        write_private(&self.path(organization), &stored)?;
        Ok(key)
    }

    fn path(&self, organization: OrganizationId) -> PathBuf {
        self.directory.join(format!("{organization}.key"))
    }
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
