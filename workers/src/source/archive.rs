//! Files that were uploaded: an archive (`.tar.gz`) under its digest, unpacked so that nothing in it reaches
//! outside.

mod reader;
mod store;
mod unpack;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::digest::Digest;
use eventlog::error::BoxError;
use tokio_util::sync::CancellationToken;

use crate::disk::{Reserve, Usage};
use crate::fences::Fences;
use crate::key::StepKey;
use crate::output::Output;
use crate::source::SourceError;
use crate::source::archive::reader::ContentReader;
use crate::source::archive::unpack::{UnpackError, Unpacked, unpack};
use crate::source::workspace::Workspace;

pub use crate::source::archive::store::{UploadError, UploadStore};

/// Brings the files of uploads.
#[derive(Debug)]
pub struct ArchiveSource {
    store: UploadStore,
    files: Usage,
    reserve: Reserve,
    fences: Fences,
}

fn error(code: &'static str, message: impl Into<String>, source: Option<BoxError>) -> SourceError {
    SourceError { code, message: message.into(), permanent: code.starts_with("upload"), source }
}

impl ArchiveSource {
    /// Out of a store, with at most `files` in an upload, as long as the disk has more than `reserve` free.
    #[must_use]
    pub fn new(store: UploadStore, files: Usage, reserve: Reserve) -> Self {
        Self { store, files, reserve, fences: Fences::default() }
    }

    /// Puts the files of an upload into `into`, see [`Source::fetch`](crate::source::Source::fetch).
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn fetch(
        &self,
        key: StepKey,
        digest: &Digest,
        into: &Path,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), SourceError> {
        let fenced =
            |fenced| error("source_failed", "the files could not be unpacked", Some(Box::new(fenced) as _));
        self.fences.enter(key).map_err(fenced)?;
        let workspace = Workspace::new(into, key);
        let cannot =
            |source| error("source_failed", "the directory cannot be used", Some(Box::new(source) as _));
        workspace.clear().await.map_err(cannot)?;
        let result = self.bring(digest, workspace.part(), output, cancel).await;
        let result = result.and_then(|()| self.fences.enter(key).map_err(fenced));
        if result.is_err() {
            workspace.discard(&self.fences, key).await;
            return result;
        }
        let cannot = |source| {
            error("source_failed", "the files could not be put in place", Some(Box::new(source) as _))
        };
        workspace.place().await.map_err(cannot)
    }

    async fn bring(
        &self,
        digest: &Digest,
        into: &Path,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), SourceError> {
        self.reserve.check(into).map_err(|full| error("disk_full", full.to_string(), None))?;
        let content = self.store.open(digest).await.map_err(unreadable)?.ok_or_else(|| {
            let message =
                format!("the upload {} is not here any more; upload the files again", digest.short());
            error("upload_not_found", message, None)
        })?;
        let (reader, failure, bring) = ContentReader::new(content);
        let stop = Arc::new(AtomicBool::new(false));
        let (digest, into, files, stopped) = (digest.clone(), into.to_owned(), self.files, stop.clone());
        let unpacking = tokio::task::spawn_blocking(move || unpack(reader, &digest, &into, files, &stopped));
        let bringing = async {
            let all = async {
                bring.await;
                std::future::pending::<()>().await;
            };
            // Whoever unpacks notices that it is cancelled, or that no more bytes come.
            tokio::select! {
                () = all => {}
                () = cancel.cancelled() => stop.store(true, Ordering::Relaxed),
            }
            std::future::pending::<()>().await;
        };
        let unpacked = tokio::select! {
            unpacked = unpacking => unpacked,
            () = bringing => return Err(error("source_failed", "the fetch was cancelled", None)),
        };
        match unpacked {
            Ok(Ok(unpacked)) => {
                say(output, &unpacked).await;
                Ok(())
            }
            Ok(Err(UnpackError::Read(unread))) => Err(match failure.take() {
                Some(changed) if changed.kind() == ErrorKind::InvalidData => {
                    of_unpacking(UnpackError::Digest)
                }
                Some(source) => unreadable(source),
                None => of_unpacking(UnpackError::Read(unread)),
            }),
            Ok(Err(failure)) => Err(of_unpacking(failure)),
            Err(panicked) => {
                Err(error("source_failed", "the upload could not be unpacked", Some(Box::new(panicked))))
            }
        }
    }
}

/// The store failed; it may not the next time.
fn unreadable(source: impl Into<BoxError>) -> SourceError {
    error("source_failed", "the upload cannot be read at the moment", Some(source.into()))
}

async fn say(output: &Output, unpacked: &Unpacked) {
    output.say(format!("unpacked {} files", unpacked.files)).await;
    if !unpacked.removed.is_empty() {
        let names = unpacked.removed.join(", ");
        output.say(format!("removed links that lead out of the upload: {names}")).await;
    }
}

fn of_unpacking(failure: UnpackError) -> SourceError {
    let code = match &failure {
        UnpackError::Read(source) | UnpackError::Write { source, .. }
            if source.kind() == std::io::ErrorKind::StorageFull =>
        {
            "disk_full"
        }
        UnpackError::Write { .. } | UnpackError::Stopped => "source_failed",
        UnpackError::TooLarge(_) => "repository_too_large",
        UnpackError::Read(_) | UnpackError::Path(_) | UnpackError::Kind(_) | UnpackError::Digest => {
            "upload_invalid"
        }
    };
    let permanent = !matches!(code, "disk_full" | "source_failed");
    SourceError { code, message: failure.to_string(), permanent, source: Some(Box::new(failure)) }
}
