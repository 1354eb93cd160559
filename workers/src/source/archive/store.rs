//! Where uploads are: archives, in a store of blobs, each under the digest of its bytes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use domain::digest::Digest;
use eventlog::blobs::{BlobError, Content, SharedBlobs};
use eventlog::error::{BoxError, StoreError};
use eventlog::files::FileBlobs;
use futures::Stream;
use futures::stream::{self, StreamExt};

use crate::disk::{DiskFull, Reserve, Size};

/// What a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// What the name of an upload's file ends with.
const SUFFIX: &str = ".tar.gz";

/// Keeps uploads.
#[derive(Clone)]
pub struct UploadStore {
    blobs: SharedBlobs,
    bytes_max: u64,
    /// The disk that they are on, when it is one of ours, and what is kept free on it.
    disk: Option<(PathBuf, Reserve)>,
}

/// An upload that was not kept; nothing of it is.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Larger than allowed.
    #[error(
        "the upload has more than {}; leave out what the build makes (by .gitignore), or have an operator \
         raise the limit",
        Size(*.0)
    )]
    TooLarge(u64),
    /// Something else than an archive.
    #[error("the upload is no archive (.tar.gz)")]
    NotAnArchive,
    /// No room.
    #[error(transparent)]
    DiskFull(#[from] DiskFull),
    /// No room in a store that is on no disk of ours.
    #[error("there is no room for uploads; have an operator make some")]
    Full,
    /// The sender went away.
    #[error("the upload broke off")]
    Interrupted(#[source] BoxError),
    /// The store failed.
    #[error("keep the upload")]
    Store(#[source] BoxError),
}

impl UploadError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "upload_too_large",
            Self::NotAnArchive => "upload_invalid",
            Self::DiskFull(_) | Self::Full => "disk_full",
            Self::Interrupted(_) => "upload_interrupted",
            Self::Store(_) => "upload_failed",
        }
    }
}

impl fmt::Debug for UploadStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadStore").field("bytes_max", &self.bytes_max).field("disk", &self.disk).finish()
    }
}

impl UploadStore {
    /// In `<data>/uploads`, each with `bytes_max` bytes at most.
    #[must_use]
    pub fn new(data: &Path, bytes_max: u64, reserve: Reserve) -> Self {
        let directory = data.join("uploads");
        let blobs = Arc::new(FileBlobs::new(&directory, SUFFIX, None));
        Self { blobs, bytes_max, disk: Some((directory, reserve)) }
    }

    /// In a store that several processes share.
    #[must_use]
    pub const fn shared(blobs: SharedBlobs, bytes_max: u64) -> Self {
        Self { blobs, bytes_max, disk: None }
    }

    /// Takes an upload in, and answers with its digest when it is safe. The same bytes are kept once.
    ///
    /// # Errors
    /// [`UploadError`].
    pub async fn receive<E: Into<BoxError>>(
        &self,
        mut stream: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    ) -> Result<Digest, UploadError> {
        if let Some((directory, reserve)) = &self.disk {
            reserve.check(directory)?;
        }
        // As much as tells what it is.
        let (mut begin, mut first) = (Vec::<u8>::new(), Vec::new());
        while begin.len() < GZIP.len()
            && let Some(chunk) = stream.next().await
        {
            let chunk = chunk.map_err(|error| UploadError::Interrupted(error.into()))?;
            begin.extend(chunk.iter().take(GZIP.len() - begin.len()));
            first.push(Ok(chunk));
        }
        if begin != GZIP {
            return Err(UploadError::NotAnArchive);
        }
        let rest = stream.map(|chunk| chunk.map_err(|error| io::Error::other(error.into())));
        let content = stream::iter(first).chain(rest).boxed();
        self.blobs.put(content, self.bytes_max).await.map_err(|error| match error {
            BlobError::TooLarge(most) => UploadError::TooLarge(most),
            BlobError::Interrupted(source) => UploadError::Interrupted(source.into()),
            BlobError::Full => UploadError::Full,
            BlobError::Store(source) => UploadError::Store(source.into()),
        })
    }

    /// The bytes of an upload, when it is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(&self, digest: &Digest) -> Result<Option<Content>, StoreError> {
        self.blobs.get(digest).await
    }
}
