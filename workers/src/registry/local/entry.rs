//! The index of the artifacts: small files of JSON, each written whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use domain::digest::Digest;
use domain::id::ServiceId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::disk;

/// The file beside a directory that says under which digest it was pushed.
pub(super) const PUSHED: &str = "pushed";

/// An artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    /// Relative to the data directory, unless it is outside.
    pub(super) directory: PathBuf,
    pub(super) recipe: String,
    pub(super) service: ServiceId,
    pub(super) bytes: u64,
    pub(super) files: u64,
    pub(super) at: DateTime<Utc>,
}

/// What a recipe came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Outcome {
    recipe: String,
    digest: Digest,
}

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Index {
    data: PathBuf,
}

impl Index {
    pub(super) const fn new(data: PathBuf) -> Self {
        Self { data }
    }

    /// Where an artifact is, when it is still there.
    pub(super) fn located(&self, digest: &Digest) -> Option<PathBuf> {
        let entry: Entry = read(&self.artifact(digest)).ok()??;
        let directory = self.data.join(entry.directory);
        directory.is_dir().then_some(directory)
    }

    /// What an earlier build by the recipe left.
    pub(super) fn find(&self, service: ServiceId, recipe: &str) -> io::Result<Option<Digest>> {
        let outcome: Option<Outcome> = read(&self.recipe(service, recipe))?;
        Ok(outcome.filter(|outcome| outcome.recipe == recipe).map(|outcome| outcome.digest))
    }

    /// Under which digest a directory was pushed, when that still leads somewhere.
    pub(super) fn pushed(&self, directory: &Path) -> Option<Digest> {
        let digest: Digest = read(&directory.with_file_name(PUSHED)).ok()??;
        self.located(&digest).map(|_| digest)
    }

    /// Whether a directory is one that an artifact is in.
    pub(super) fn holds(&self, directory: &Path) -> bool {
        self.pushed(directory)
            .and_then(|digest| self.located(&digest))
            .is_some_and(|there| there == directory)
    }

    pub(super) fn relative(&self, directory: &Path) -> PathBuf {
        directory.strip_prefix(&self.data).unwrap_or(directory).to_owned()
    }

    /// Every artifact that is known.
    pub(super) fn entries(&self) -> io::Result<Vec<Entry>> {
        let listed = match fs::read_dir(self.data.join("artifacts")) {
            Ok(listed) => listed.collect::<io::Result<Vec<_>>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(error),
        };
        let files = listed.iter().map(fs::DirEntry::path).filter(|path| path.is_file());
        files.filter_map(|path| read(&path).transpose()).collect()
    }

    /// Where an entry's directory is.
    pub(super) fn absolute(&self, directory: &Path) -> PathBuf {
        self.data.join(directory)
    }

    /// The artifact is not there any more.
    pub(super) fn forget(&self, entry: &Entry) -> io::Result<()> {
        disk::remove_file(&self.recipe(entry.service, &entry.recipe))?;
        disk::remove_file(&self.artifact(&entry.digest))
    }

    pub(super) fn write(&self, entry: &Entry) -> io::Result<()> {
        write(&self.artifact(&entry.digest), entry)
    }

    pub(super) fn remember(&self, service: ServiceId, recipe: &str, digest: &Digest) -> io::Result<()> {
        let outcome = Outcome { recipe: recipe.to_owned(), digest: digest.clone() };
        write(&self.recipe(service, recipe), &outcome)
    }

    pub(super) fn mark(&self, directory: &Path, digest: &Digest) -> io::Result<()> {
        let _ = self;
        write(&directory.with_file_name(PUSHED), digest)
    }

    fn artifact(&self, digest: &Digest) -> PathBuf {
        self.data.join("artifacts").join(format!("{}.json", digest.hex()))
    }

    fn recipe(&self, service: ServiceId, recipe: &str) -> PathBuf {
        let name = format!("{}.json", hex::encode(Sha256::digest(recipe)));
        self.data.join("artifacts/recipes").join(service.to_string()).join(name)
    }
}

/// Nothing, when there is no such file or it is not what it should be.
fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    disk::write(path, &serde_json::to_vec_pretty(value)?)
}
