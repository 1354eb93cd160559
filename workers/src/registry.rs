//! The port to registries: built things, by digest.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::digest::Digest;
use domain::id::ServiceId;
use domain::service::release::Build;

use crate::builder::BuildRequest;
use crate::key::StepKey;

pub mod collect;
pub mod engine;
#[cfg(feature = "testing")]
pub mod fake;
pub mod local;
pub mod oci;

/// Where what was built is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// In a directory of this machine.
    Directory(PathBuf),
    /// In an image, by its reference with its digest: `registry.example/team/app@sha256:…`.
    Image(String),
}

/// What has to stay when the rest is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Every service that there is or was.
    pub services: BTreeSet<ServiceId>,
    /// What releases, and deployments on their way, need.
    pub artifacts: HashSet<Digest>,
    /// What was kept after this stays in any case: its deployment may not have said so yet.
    pub newer_than: DateTime<Utc>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Built things that are gone.
    pub removed: usize,
    /// Built things that are needed.
    pub kept: usize,
}

/// Something that could not be stored or found.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct RegistryError {
    /// A stable word for programs: `artifact_missing`, `artifact_too_large`, `build_missing`, `disk_full`,
    /// `registry_failed`; with Docker also `registry_denied`, `registry_full`, `registry_unavailable`,
    /// `repository_missing`, `image_missing`, `image_denied`, `image_platform`, `image_unavailable`.
    pub code: &'static str,
    /// What was wrong, and what to do.
    pub message: String,
    /// Whether trying again would be of no use.
    pub permanent: bool,
    /// What was seen below.
    #[source]
    pub source: Option<eventlog::error::BoxError>,
}

/// Keeps built things.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Takes what was built in the directory of `request` and answers with its digest. `recipe` says what it
    /// was built from and how: the same recipe of the same service later finds it again.
    ///
    /// # Errors
    /// [`RegistryError`].
    async fn push(&self, key: StepKey, request: &BuildRequest, recipe: &str)
    -> Result<Digest, RegistryError>;

    /// What an earlier build of `service` by the same recipe left, when it is still there.
    ///
    /// # Errors
    /// [`RegistryError`].
    async fn find(&self, service: ServiceId, recipe: &str) -> Result<Option<Digest>, RegistryError>;

    /// Where what a build of `service` left is, for a runtime.
    ///
    /// # Errors
    /// [`RegistryError`] with code `artifact_missing` when it is not there any more.
    async fn locate(&self, service: ServiceId, build: &Build) -> Result<Files, RegistryError>;

    /// Removes what nobody needs any more.
    ///
    /// # Errors
    /// [`RegistryError`]; what is left is removed the next time.
    async fn collect(&self, keep: &Keep) -> Result<Collected, RegistryError>;
}

/// A registry that several workers share.
pub type SharedRegistry = Arc<dyn Registry>;
