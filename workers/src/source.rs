//! The port to sources: it brings the files of a revision to this machine.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use domain::source::{Revision, Source as Origin};
use tokio_util::sync::CancellationToken;

use crate::key::StepKey;
use crate::output::Output;

pub mod archive;
#[cfg(feature = "testing")]
pub mod fake;
pub mod git;
mod sources;
mod workspace;

pub use crate::source::sources::Sources;

/// Files that could not be fetched. The text is for the person who deploys: what was wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// A stable word for programs: `repository_not_found`, `repository_unreachable`, `repository_denied`,
    /// `reference_not_found`, `repository_empty`, `repository_too_large`, `repository_forbidden`,
    /// `upload_not_found`, `upload_invalid`, `disk_full`, `source_failed`.
    pub code: &'static str,
    /// What was wrong, and what to do.
    pub message: String,
    /// Whether trying again would be of no use.
    pub permanent: bool,
    /// What was seen below.
    #[source]
    pub source: Option<eventlog::error::BoxError>,
}

/// Brings files.
#[async_trait]
pub trait Source: Send + Sync {
    /// Puts the files of `origin` into the directory `into`, which is made or, when an earlier attempt left
    /// it, emptied first. With `pinned`, exactly that revision is fetched, whatever the branch is now; it
    /// answers with the revision that was fetched, or none for files without one.
    ///
    /// Ends within a moment when `cancel` is given, with everything it started.
    ///
    /// # Errors
    /// [`SourceError`]; `into` is then empty or gone.
    async fn fetch(
        &self,
        key: StepKey,
        origin: &Origin,
        pinned: Option<&Revision>,
        into: &Path,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Option<Revision>, SourceError>;
}

/// A source that several workers share.
pub type SharedSource = Arc<dyn Source>;
