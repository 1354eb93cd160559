//! Artifacts that stay where they were built: a directory is sealed under the digest of its tree, and never
//! moved, because virtual environments and other tools write its path into their files.
//!
//! `<data>/artifacts/<digest>.json` says where an artifact is,
//! `<data>/artifacts/recipes/<service>/<recipe>.json` what an earlier build by the same recipe left, and
//! `pushed` beside the directory that this deployment has been here. Each is written after everything that it
//! speaks of is safe on the disk.

mod entry;
mod tree;

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use chrono::Utc;
use domain::digest::Digest;
use domain::id::ServiceId;
use domain::service::release::Build;
use eventlog::error::BoxError;

use crate::builder::BuildRequest;
use crate::disk::{self, Size, Usage};
use crate::fences::Fences;
use crate::key::StepKey;
use crate::registry::local::entry::{Entry, Index, PUSHED};
use crate::registry::local::tree::{Hashed, TreeError};
use crate::registry::{Collected, Files, Keep, Registry, RegistryError};

/// What a directory is called while it is removed.
const GONE: &str = "gone";

/// What an artifact may hold, unless a setting says otherwise.
pub const ARTIFACT_MAX: Usage = Usage { bytes: 2 << 30, entries: 1_000_000 };

/// Keeps artifacts on this machine.
#[derive(Debug)]
pub struct LocalRegistry {
    index: Index,
    limit: Usage,
    fences: Fences,
}

impl LocalRegistry {
    /// Below a data directory.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, limit: Usage) -> Self {
        Self { index: Index::new(data.into()), limit, fences: Fences::default() }
    }

    /// Whether the registry below `data` has taken a directory, so that nobody else may remove it.
    #[must_use]
    pub fn holds(data: &Path, directory: &Path) -> bool {
        Index::new(data.to_owned()).holds(directory)
    }
}

fn failed(doing: &str, source: impl Into<BoxError>) -> RegistryError {
    let message = format!("what was built could not be kept: failed to {doing}");
    RegistryError { code: "registry_failed", message, permanent: false, source: Some(source.into()) }
}

fn of_tree(error: TreeError) -> RegistryError {
    match error {
        TreeError::TooLarge(limit) => RegistryError {
            code: "artifact_too_large",
            message: format!(
                "what was built has more than {} or {} files; leave out what the service does not need when \
                 it runs, or have an operator raise the limit",
                Size(limit.bytes),
                limit.entries
            ),
            permanent: true,
            source: None,
        },
        TreeError::Read { .. } => failed("read it", error),
    }
}

fn of_disk(doing: &str, error: io::Error) -> RegistryError {
    if error.kind() == io::ErrorKind::StorageFull {
        let message = "the disk of this server is full; make room on it".into();
        return RegistryError { code: "disk_full", message, permanent: false, source: Some(Box::new(error)) };
    }
    failed(doing, error)
}

#[async_trait]
impl Registry for LocalRegistry {
    async fn push(
        &self,
        key: StepKey,
        request: &BuildRequest,
        recipe: &str,
    ) -> Result<Digest, RegistryError> {
        self.fences.enter(key).map_err(|fenced| failed("push", fenced))?;
        let (index, limit) = (self.index.clone(), self.limit);
        let (directory, service, recipe) = (request.directory.clone(), request.service, recipe.to_owned());
        let pushing = move || push(&index, limit, &directory, service, &recipe);
        tokio::task::spawn_blocking(pushing).await.unwrap_or_else(|error| Err(failed("push", error)))
    }

    async fn find(&self, service: ServiceId, recipe: &str) -> Result<Option<Digest>, RegistryError> {
        let found = self.index.find(service, recipe).map_err(|error| of_disk("look for it", error))?;
        Ok(found.filter(|digest| self.index.located(digest).is_some()))
    }

    async fn collect(&self, keep: &Keep) -> Result<Collected, RegistryError> {
        let (index, keep) = (self.index.clone(), keep.clone());
        let collecting = tokio::task::spawn_blocking(move || collect(&index, &keep));
        collecting.await.unwrap_or_else(|error| Err(failed("clean up", error)))
    }

    async fn locate(&self, _service: ServiceId, build: &Build) -> Result<Files, RegistryError> {
        let artifact = &build.artifact;
        self.index.located(artifact).map(Files::Directory).ok_or_else(|| RegistryError {
            code: "artifact_missing",
            message: format!(
                "what was built ({}) is not on this server any more; deploy the same revision again",
                artifact.short()
            ),
            permanent: true,
            source: None,
        })
    }
}

fn push(
    index: &Index,
    limit: Usage,
    directory: &Path,
    service: ServiceId,
    recipe: &str,
) -> Result<Digest, RegistryError> {
    let kept = |error| of_disk("write the index", error);
    if let Some(digest) = index.pushed(directory) {
        index.remember(service, recipe, &digest).map_err(kept)?;
        return Ok(digest); // Done before we crashed.
    }
    let Hashed { digest, usage } = tree::hash(directory, limit).map_err(of_tree)?;
    tree::sync(directory).map_err(|error| of_disk("write it to the disk", error))?;
    let is_first = index.located(&digest).is_none_or(|there| there == directory);
    if is_first {
        let entry = Entry {
            digest: digest.clone(),
            directory: index.relative(directory),
            recipe: recipe.to_owned(),
            service,
            bytes: usage.bytes,
            files: usage.entries,
            at: Utc::now(),
        };
        index.write(&entry).map_err(kept)?;
    }
    index.remember(service, recipe, &digest).map_err(kept)?;
    index.mark(directory, &digest).map_err(kept)?;
    if !is_first {
        // The same is there already; one that cannot be removed is removed with its deployment.
        if let Err(error) = disk::remove(directory) {
            tracing::warn!(error = &error as &dyn std::error::Error, "a second copy of an artifact stays");
        }
    }
    Ok(digest)
}

/// A directory first loses its name, so that nobody takes what is left of it for the whole; its entry goes
/// last, so that a kill in between is made good the next time.
fn collect(index: &Index, keep: &Keep) -> Result<Collected, RegistryError> {
    let of = |error| of_disk("clean up", error);
    let mut collected = Collected::default();
    for entry in index.entries().map_err(of)? {
        if keep.artifacts.contains(&entry.digest) || entry.at > keep.newer_than {
            collected.kept += 1;
            continue;
        }
        let directory = index.absolute(&entry.directory);
        let gone = directory.with_file_name(GONE);
        if directory.is_dir() {
            disk::remove(&gone).map_err(of)?;
            std::fs::rename(&directory, &gone).map_err(of)?;
        }
        disk::remove(&gone).map_err(of)?;
        disk::remove_file(&marker(&directory)).map_err(of)?;
        if let Some(deployment) = directory.parent() {
            // Whatever else is in it belongs to somebody.
            let _ = std::fs::remove_dir(deployment);
        }
        index.forget(&entry).map_err(of)?;
        collected.removed += 1;
    }
    Ok(collected)
}

/// What is beside a directory of a build, and belongs to the registry.
#[must_use]
pub fn marker(directory: &Path) -> PathBuf {
    directory.with_file_name(PUSHED)
}
