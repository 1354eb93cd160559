//! A source for tests: it needs no repository, and writes down what it was asked for.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use domain::source::{Revision, RevisionId, Source as Origin};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::key::StepKey;
use crate::ledger::{Ledger, Operation, Refusal};
use crate::output::Output;
use crate::source::{Source, SourceError};

/// The source for tests. Its files are one file, `revision`, that holds the name of the revision.
#[derive(Debug, Default)]
pub struct FakeSource {
    ledger: Ledger,
    /// What every branch is at, counted up by [`Self::advance`].
    generation: Mutex<u32>,
}

impl FakeSource {
    /// Writes into a ledger.
    #[must_use]
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, generation: Mutex::default() }
    }

    /// Moves every branch to another revision.
    pub fn advance(&self) {
        *self.generation.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    /// The revision that a repository is at now.
    #[must_use]
    pub fn head(&self, origin: &Origin) -> Option<Revision> {
        match origin {
            Origin::Upload { revision, .. } => revision.clone(),
            Origin::Image { .. } => None,
            Origin::Repository { .. } => {
                let generation = *self.generation.lock().unwrap_or_else(PoisonError::into_inner);
                let hash = hex::encode(Sha256::digest(format!("{origin:?} {generation}")));
                let id: RevisionId = hash[..40].parse().ok()?;
                Some(Revision { id, subject: format!("revision {generation}") })
            }
        }
    }
}

fn error(refusal: Refusal) -> SourceError {
    let permanent = refusal.is_permanent();
    SourceError {
        code: "source_failed",
        message: refusal.to_string(),
        permanent,
        source: Some(Box::new(refusal)),
    }
}

#[async_trait]
impl Source for FakeSource {
    async fn fetch(
        &self,
        key: StepKey,
        origin: &Origin,
        pinned: Option<&Revision>,
        into: &Path,
        _: &Output,
        cancel: &CancellationToken,
    ) -> Result<Option<Revision>, SourceError> {
        let revision = pinned.cloned().or_else(|| self.head(origin));
        let content = revision.as_ref().map_or("none", |revision| revision.id.as_str()).to_owned();
        let effect = || {
            let file = into.join("revision");
            let is_visible = fs::read_to_string(&file).ok().as_deref() != Some(&content);
            let written = fs::create_dir_all(into).and_then(|()| fs::write(&file, &content));
            (written, is_visible)
        };
        let operation = Operation::Fetch(key.deployment);
        let written = self.ledger.perform(operation, Some(key), Some(cancel), effect).await.map_err(error)?;
        written.map_err(|source| SourceError {
            code: "source_failed",
            message: "the files could not be written".into(),
            permanent: false,
            source: Some(Box::new(source)),
        })?;
        Ok(revision)
    }
}
