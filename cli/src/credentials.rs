//! Where the command line keeps its tokens: `~/.config/switchback/credentials.json`, readable by its owner
//! only.
//!
//! It is replaced as a whole, so a process that dies leaves the old file or the new one, and two that write
//! at once leave one of theirs.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

/// What is kept.
#[derive(Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The server that was signed in to last: the one that is meant when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    /// Each server's token.
    #[serde(default)]
    tokens: BTreeMap<String, String>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    /// There is no home directory to keep it in.
    #[error("find the directory for credentials: neither XDG_CONFIG_HOME nor HOME is set")]
    NoHome,
    /// It cannot be read.
    #[error("read the credentials in {}", path.display())]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not what we wrote.
    #[error("understand the credentials in {}", path.display())]
    Format {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// It cannot be written.
    #[error("write the credentials to {}", path.display())]
    Write {
        /// Where it would be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The user's directory of a kind, by the rules of XDG: `$variable/switchback`, or `~/fallback/switchback`.
pub(crate) fn user_directory(variable: &str, fallback: &str) -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(fallback)))?;
    Some(base.join("switchback"))
}

fn path() -> Result<PathBuf, CredentialsError> {
    let directory = user_directory("XDG_CONFIG_HOME", ".config").ok_or(CredentialsError::NoHome)?;
    Ok(directory.join("credentials.json"))
}

/// How a server is called in the file: `http://host:port/path` without a slash at the end.
fn key(server: &Url) -> &str {
    server.as_str().trim_end_matches('/')
}

/// What is kept; nothing when there is no file yet.
///
/// # Errors
/// [`CredentialsError`].
pub(crate) fn load() -> Result<Credentials, CredentialsError> {
    load_from(&path()?)
}

/// Keeps the token of a server, and makes it the one that is meant when none is named.
///
/// # Errors
/// [`CredentialsError`].
pub(crate) fn save(server: &Url, token: &str) -> Result<(), CredentialsError> {
    let path = path()?;
    let mut credentials = load_from(&path)?;
    credentials.tokens.insert(key(server).to_owned(), token.to_owned());
    credentials.current = Some(key(server).to_owned());
    store(&path, &credentials)
}

/// Forgets the token of a server. Answers whether there was one.
///
/// # Errors
/// [`CredentialsError`].
pub(crate) fn forget(server: &Url) -> Result<bool, CredentialsError> {
    let path = path()?;
    let mut credentials = load_from(&path)?;
    let was_there = credentials.tokens.remove(key(server)).is_some();
    if credentials.current.as_deref() == Some(key(server)) {
        credentials.current = None;
    }
    if was_there {
        store(&path, &credentials)?;
    }
    Ok(was_there)
}

impl Credentials {
    /// The server that was signed in to last.
    pub(crate) fn current(&self) -> Option<Url> {
        self.current.as_ref()?.parse().ok()
    }

    /// The token of a server.
    pub(crate) fn token(&self, server: &Url) -> Option<&str> {
        self.tokens.get(key(server)).map(String::as_str)
    }
}

fn load_from(path: &Path) -> Result<Credentials, CredentialsError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Credentials::default()),
        Err(source) => return Err(CredentialsError::Read { path: path.to_owned(), source }),
    };
    serde_json::from_slice(&text).map_err(|source| CredentialsError::Format { path: path.to_owned(), source })
}

fn store(path: &Path, credentials: &Credentials) -> Result<(), CredentialsError> {
    write(path, credentials).map_err(|source| CredentialsError::Write { path: path.to_owned(), source })
}

fn write(path: &Path, credentials: &Credentials) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    // Made with mode 0600 from the first moment, under a name nobody can foresee.
    let mut file = tempfile::Builder::new().prefix(".credentials-").tempfile_in(directory)?;
    serde_json::to_writer_pretty(&mut file, credentials)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn server(text: &str) -> Url {
        text.parse().expect("valid")
    }

    #[test]
    fn what_is_stored_reads_back_and_is_its_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("switchback/credentials.json");
        let mut credentials = load_from(&path).unwrap();
        assert_eq!(credentials.token(&server("http://127.0.0.1:7070")), None);
        credentials.tokens.insert("http://127.0.0.1:7070".into(), "sbk_secret".into());
        store(&path, &credentials).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = load_from(&path).unwrap();
        assert_eq!(again.token(&server("http://127.0.0.1:7070/")), Some("sbk_secret"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_file_that_is_not_ours_is_an_error_and_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("credentials.json");
        fs::write(&path, "not json").unwrap();
        assert!(matches!(load_from(&path), Err(CredentialsError::Format { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"not json");
    }
}
