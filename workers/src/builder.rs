//! The port to builders: it finds out how files are built, and builds them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use domain::id::{DeploymentId, ServiceId};
use domain::plan::Plan;
use domain::secret::Secret;
use domain::source::{Revision, Source};
use tokio_util::sync::CancellationToken;

use crate::key::StepKey;
use crate::output::Output;

pub mod detect;
pub mod docker;
#[cfg(feature = "testing")]
pub mod fake;
pub mod process;
pub mod tools;
pub(crate) mod tree;

/// What is to be built.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The service it is for: caches are kept by service.
    pub service: ServiceId,
    /// The deployment it is for.
    pub deployment: DeploymentId,
    /// Where its files come from.
    pub source: Source,
    /// The revision of them.
    pub revision: Option<Revision>,
    /// The directory they were fetched into.
    pub directory: PathBuf,
    /// The service's variables, in the clear.
    pub variables: BTreeMap<String, Secret>,
    /// Whether nothing of earlier builds may be used.
    pub fresh: bool,
}

/// A build that could not be done. The text is for the person who deploys.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BuildError {
    /// A stable word for programs: `manifest_invalid`, `language_not_detected`, `start_not_found`,
    /// `docker_needed`, `tool_missing`, `fixed_port`, `build_failed`, `build_timed_out`, `build_too_large`,
    /// `build_cancelled`, `disk_full`; with Docker also `dockerfile_missing`, `dockerfile_refused`,
    /// `secret_missing`, `context_too_large`, `image_too_large`, `image_refused`, `image_missing`,
    /// `image_denied`, `image_platform`, `image_unavailable`, `docker_away`.
    pub code: &'static str,
    /// What was wrong, and what to do. Never output of the build, never a value of a variable.
    pub message: String,
    /// Whether trying again would be of no use.
    pub permanent: bool,
    /// What was seen below.
    #[source]
    pub source: Option<eventlog::error::BoxError>,
}

/// Builds.
#[async_trait]
pub trait Builder: Send + Sync {
    /// Finds out how the files are built and run: by `switchback.toml`, a Procfile, or what the files are.
    ///
    /// # Errors
    /// [`BuildError`] that says what was looked for.
    async fn detect(&self, request: &BuildRequest, output: &Output) -> Result<Plan, BuildError>;

    /// Installs and builds by the plan, in the directory of the request. Ends within a moment when `cancel`
    /// is given, with everything it started. What an earlier attempt of this step still runs is ended first.
    ///
    /// # Errors
    /// [`BuildError`].
    async fn build(
        &self,
        key: StepKey,
        request: &BuildRequest,
        plan: &Plan,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), BuildError>;

    /// Ends whatever builds for this deployment and removes what it left, save what a registry has taken.
    ///
    /// # Errors
    /// [`BuildError`], to be tried again.
    async fn clean(&self, deployment: DeploymentId) -> Result<(), BuildError>;
}

/// A builder that several workers share.
pub type SharedBuilder = Arc<dyn Builder>;
