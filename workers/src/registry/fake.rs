//! A registry for tests: digests in memory, and a ledger of what it was asked for.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use domain::digest::Digest;
use domain::id::ServiceId;
use domain::service::release::Build;
use sha2::{Digest as _, Sha256};

use crate::builder::BuildRequest;
use crate::key::StepKey;
use crate::ledger::{Ledger, Operation, Refusal};
use crate::registry::{Collected, Files, Keep, Registry, RegistryError};

/// The registry for tests.
#[derive(Debug, Default)]
pub struct FakeRegistry {
    ledger: Ledger,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    directories: HashMap<Digest, PathBuf>,
    recipes: HashMap<(ServiceId, String), Digest>,
}

impl FakeRegistry {
    /// Writes into a ledger.
    #[must_use]
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, kept: Mutex::default() }
    }

    /// Loses an artifact, as a disk does.
    pub fn lose(&self, artifact: &Digest) {
        self.kept().directories.remove(artifact);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a directory belongs to a registry for tests; it says so in a file beside it.
pub(crate) fn has_taken(directory: &Path) -> bool {
    directory.with_file_name("pushed").exists()
}

fn error(refusal: Refusal) -> RegistryError {
    let permanent = refusal.is_permanent();
    let message = refusal.to_string();
    RegistryError { code: "registry_failed", message, permanent, source: Some(Box::new(refusal)) }
}

#[async_trait]
impl Registry for FakeRegistry {
    async fn push(
        &self,
        key: StepKey,
        request: &BuildRequest,
        recipe: &str,
    ) -> Result<Digest, RegistryError> {
        let digest = Digest::from_sha256(Sha256::digest(format!("{} {recipe}", request.service)).into());
        let effect = || {
            let mut kept = self.kept();
            let is_visible = !kept.directories.contains_key(&digest);
            kept.directories.entry(digest.clone()).or_insert_with(|| request.directory.clone());
            kept.recipes.insert((request.service, recipe.to_owned()), digest.clone());
            let is_this = kept.directories[&digest] == request.directory;
            let marker = request.directory.with_file_name("pushed");
            (if is_this { fs::write(marker, digest.as_str()) } else { Ok(()) }, is_visible)
        };
        let operation = Operation::Push(key.deployment);
        let pushed = self.ledger.perform(operation, Some(key), None, effect).await.map_err(error)?;
        pushed.map_err(|source| RegistryError {
            code: "registry_failed",
            message: "the disk of the test cannot be written".into(),
            permanent: false,
            source: Some(Box::new(source)),
        })?;
        Ok(digest)
    }

    async fn find(&self, service: ServiceId, recipe: &str) -> Result<Option<Digest>, RegistryError> {
        let kept = self.kept();
        let found = kept.recipes.get(&(service, recipe.to_owned()));
        Ok(found.filter(|digest| kept.directories.contains_key(digest)).cloned())
    }

    async fn collect(&self, keep: &Keep) -> Result<Collected, RegistryError> {
        let mut kept = self.kept();
        let before = kept.directories.len();
        kept.directories.retain(|digest, _| keep.artifacts.contains(digest));
        Ok(Collected { removed: before - kept.directories.len(), kept: kept.directories.len() })
    }

    async fn locate(&self, _service: ServiceId, build: &Build) -> Result<Files, RegistryError> {
        let artifact = &build.artifact;
        self.kept().directories.get(artifact).cloned().map(Files::Directory).ok_or_else(|| RegistryError {
            code: "artifact_missing",
            message: format!("what was built ({}) is not there any more", artifact.short()),
            permanent: true,
            source: None,
        })
    }
}
