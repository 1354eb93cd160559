//! The data directory: whose it is, which version wrote it, and that no second process has it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use domain::id::{OrganizationId, UserId};
use eventlog::installation::Installation;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The format of the directory that this version writes.
const FORMAT: u32 = 1;

/// A data directory that cannot be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HomeError {
    /// Cannot be made, read or written.
    #[error(
        "the data directory {} cannot be used ({doing}); give another with --data, or make it writable for \
         this user",
        path.display()
    )]
    Unusable {
        /// The directory, or a file in it.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "the data directory {} is in use by process {holder}; stop that one first, or give another with \
         --data",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process.
        holder: String,
    },
    /// A newer version wrote it.
    #[error(
        "the data directory {} was written by a newer version of Switchback (format {found}, this one \
         knows {FORMAT}); start that version, or give another directory with --data",
        path.display()
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Its description is not what we wrote.
    #[error("{} is damaged; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// There is no place for one.
    #[error("there is no home directory to keep data in; give a directory with --data")]
    Nowhere,
}

/// What stands in `installation.json`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Description {
    format: u32,
    id: Uuid,
    owner: UserId,
    organization: OrganizationId,
}

/// A data directory that is this process's own, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    description: Description,
    _lock: File,
}

impl Home {
    /// Takes the directory, and makes it when there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, HomeError> {
        let unusable = |doing| move |source| HomeError::Unusable { path: path.to_owned(), doing, source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable("make it"))?;
        let path = fs::canonicalize(path).map_err(unusable("find it"))?;
        let lock = lock(&path)?;
        let description = describe(&path)?;
        Ok(Self { path, description, _lock: lock })
    }

    /// A directory in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The installation's id: the mark of its processes.
    pub(crate) fn id(&self) -> Uuid {
        self.description.id
    }

    /// The installation that it was made for.
    pub(crate) fn installation(&self) -> Installation {
        let Description { id, owner, organization, .. } = self.description;
        Installation { id, owner, organization }
    }

    /// What this process is known by among those of an installation.
    pub(crate) fn process_name(&self) -> String {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        format!("{host}/{}/{}", self.description.id, std::process::id())
    }
}

/// A token that was given out before.
pub(crate) fn read_token(path: &Path) -> Option<String> {
    let token = fs::read_to_string(path).ok()?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

fn lock(path: &Path) -> Result<File, HomeError> {
    let file_path = path.join("lock");
    let unusable = |doing| {
        let path = file_path.clone();
        move |source| HomeError::Unusable { path, doing, source }
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&file_path).map_err(unusable("open its lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder);
            let holder = if read.is_ok() && !holder.trim().is_empty() { holder.trim() } else { "another" };
            return Err(HomeError::InUse { path: path.to_owned(), holder: holder.to_owned() });
        }
        Err(error) => return Err(unusable("lock it")(error.into())),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        file.flush()
    };
    write(&mut file).map_err(unusable("write its lock"))?;
    Ok(file)
}

fn describe(path: &Path) -> Result<Description, HomeError> {
    let file = path.join("installation.json");
    match fs::read(&file) {
        Ok(text) => {
            #[derive(Deserialize)]
            struct Format {
                format: u32,
            }
            let damaged = |source| HomeError::Damaged { path: file.clone(), source };
            let Format { format } = serde_json::from_slice(&text).map_err(damaged)?;
            if format > FORMAT {
                return Err(HomeError::Newer { path: path.to_owned(), found: format });
            }
            serde_json::from_slice(&text).map_err(damaged)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let description = Description {
                format: FORMAT,
                id: Uuid::now_v7(),
                owner: UserId(Uuid::now_v7()),
                organization: OrganizationId(Uuid::now_v7()),
            };
            write_private(&file, serde_json::json!(description).to_string().as_bytes())?;
            Ok(description)
        }
        Err(source) => Err(HomeError::Unusable { path: file, doing: "read it", source }),
    }
}

/// Writes a file that only this user can read, and that is there whole or not at all.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), HomeError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let write = || {
        // Made with mode 0600 from the first moment.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|source| HomeError::Unusable { path: path.to_owned(), doing: "write it", source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_second_start_finds_the_same_installation() {
        let directory = tempfile::tempdir().unwrap();
        let first = Home::open(directory.path()).unwrap();
        let (id, installation) = (first.id(), first.installation());
        drop(first);
        let second = Home::open(directory.path()).unwrap();
        assert_eq!((second.id(), second.installation()), (id, installation));
    }

    #[test]
    fn two_processes_cannot_have_it() {
        let directory = tempfile::tempdir().unwrap();
        let _first = Home::open(directory.path()).unwrap();
        let refused = Home::open(directory.path()).unwrap_err();
        assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let newer = r#"{"format":2,"something":"else"}"#;
        fs::write(directory.path().join("installation.json"), newer).unwrap();
        let refused = Home::open(directory.path()).unwrap_err();
        assert!(matches!(refused, HomeError::Newer { found: 2, .. }), "{refused}");
        assert_eq!(fs::read_to_string(directory.path().join("installation.json")).unwrap(), newer);
    }

    #[test]
    fn the_owners_token_is_readable_by_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("owner.token");
        assert_eq!(read_token(&file), None);
        write_private(&file, b"sbk_x").unwrap();
        assert_eq!(read_token(&file).as_deref(), Some("sbk_x"));
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_in_the_way_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = Home::open(&file).unwrap_err();
        assert!(refused.to_string().contains("--data"), "{refused}");
    }
}
