//! Every kind of source behind one port.

use std::path::Path;

use async_trait::async_trait;
use domain::source::{Revision, Source as Origin};
use tokio_util::sync::CancellationToken;

use crate::key::StepKey;
use crate::output::Output;
use crate::source::archive::ArchiveSource;
use crate::source::git::GitSource;
use crate::source::{Source, SourceError};

/// Repositories and uploads.
#[derive(Debug)]
pub struct Sources {
    git: GitSource,
    archive: ArchiveSource,
}

impl Sources {
    /// Both.
    #[must_use]
    pub const fn new(git: GitSource, archive: ArchiveSource) -> Self {
        Self { git, archive }
    }
}

#[async_trait]
impl Source for Sources {
    async fn fetch(
        &self,
        key: StepKey,
        origin: &Origin,
        pinned: Option<&Revision>,
        into: &Path,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Option<Revision>, SourceError> {
        match origin {
            Origin::Repository { url, reference } => {
                let fetch = self.git.fetch(key, url, reference.as_ref(), pinned, into, output, cancel);
                Box::pin(fetch).await.map(Some)
            }
            Origin::Upload { digest, revision } => {
                self.archive.fetch(key, digest, into, output, cancel).await?;
                Ok(revision.clone())
            }
            // It brings no files; the place of them shows that this was seen to.
            Origin::Image { .. } => {
                let into = into.to_owned();
                let making = tokio::task::spawn_blocking(move || std::fs::create_dir_all(into)).await;
                let made = making.unwrap_or_else(|error| Err(std::io::Error::other(error)));
                made.map(|()| None).map_err(|error| SourceError {
                    code: "source_failed",
                    message: "the directory of the deployment could not be made".into(),
                    permanent: false,
                    source: Some(error.into()),
                })
            }
        }
    }
}
