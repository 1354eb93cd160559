//! Where uploads are: one file each, named by the digest of its bytes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use domain::digest::Digest;
use eventlog::error::BoxError;
use futures::{Stream, StreamExt};
use sha2::{Digest as _, Sha256};

use crate::disk::{self, DiskFull, Reserve, Size};

/// What a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What the name of an upload begins with that is not whole yet.
const PART: &str = ".part-";
/// An upload that nobody has written to for so long is broken off.
const BROKEN_AFTER: Duration = Duration::from_hours(1);

/// Keeps uploads.
#[derive(Clone, Debug)]
pub struct UploadStore {
    directory: PathBuf,
    bytes_max: u64,
    reserve: Reserve,
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
    /// The sender went away.
    #[error("the upload broke off")]
    Interrupted(#[source] BoxError),
    /// The store failed.
    #[error("keep the upload")]
    Store(#[source] io::Error),
}

impl UploadError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "upload_too_large",
            Self::NotAnArchive => "upload_invalid",
            Self::DiskFull(_) => "disk_full",
            Self::Interrupted(_) => "upload_interrupted",
            Self::Store(_) => "upload_failed",
        }
    }
}

impl UploadStore {
    /// In `<data>/uploads`, each with `bytes_max` bytes at most.
    #[must_use]
    pub fn new(data: &Path, bytes_max: u64, reserve: Reserve) -> Self {
        let store = Self { directory: data.join("uploads"), bytes_max, reserve };
        store.forget_broken();
        store
    }

    /// Removes what uploads left that a kill broke off.
    fn forget_broken(&self) {
        let is_old = |path: &Path| {
            let age = std::fs::metadata(path).and_then(|file| file.modified()).map(|at| at.elapsed());
            matches!(age, Ok(Ok(age)) if age > BROKEN_AFTER)
        };
        for entry in std::fs::read_dir(&self.directory).into_iter().flatten().filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(PART) && is_old(&entry.path()) {
                // One that stays is tried again at the next start.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Takes an upload in, and answers with its digest when it is safe on the disk. The same bytes are kept
    /// once.
    ///
    /// # Errors
    /// [`UploadError`].
    pub async fn receive<E: Into<BoxError>>(
        &self,
        mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Digest, UploadError> {
        self.reserve.check(&self.directory)?;
        std::fs::create_dir_all(&self.directory).map_err(UploadError::Store)?;
        let mut file =
            tempfile::Builder::new().prefix(PART).tempfile_in(&self.directory).map_err(UploadError::Store)?;
        let (mut hash, mut length, mut begin) = (Sha256::new(), 0_u64, Vec::with_capacity(GZIP.len()));
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| UploadError::Interrupted(error.into()))?;
            length += chunk.len() as u64;
            if length > self.bytes_max {
                return Err(UploadError::TooLarge(self.bytes_max));
            }
            begin.extend(chunk.iter().take(GZIP.len() - begin.len()));
            if !GZIP.starts_with(&begin) {
                return Err(UploadError::NotAnArchive);
            }
            hash.update(&chunk);
            file.write_all(&chunk).map_err(UploadError::Store)?;
        }
        if begin != GZIP {
            return Err(UploadError::NotAnArchive);
        }
        let digest = Digest::from_sha256(hash.finalize().into());
        let path = self.path(&digest);
        tokio::task::spawn_blocking(move || disk::persist(file, &path))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(UploadError::Store)?;
        Ok(digest)
    }

    /// Where an upload is, when it is there.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{}.tar.gz", digest.hex()))
    }
}
