//! The port to the blobs: large things that one process receives and another fetches, as uploads, under the
//! digest of their bytes.
//!
//! A blob is there whole or not at all. What is read is checked against its digest: its end is an error when
//! it is not what was put.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::digest::Digest;
use futures::stream::{self, BoxStream, StreamExt as _};
use sha2::{Digest as _, Sha256};

use crate::error::StoreError;

/// The bytes of a blob, piece by piece. An error ends it; one of the kind `InvalidData` says that the bytes
/// are not those that were put.
pub type Content = BoxStream<'static, io::Result<Bytes>>;

/// A blob that was not kept; nothing of it is.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It has more bytes than it may.
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    /// What it is read from broke off.
    #[error("its bytes did not all come")]
    Interrupted(#[source] io::Error),
    /// The store takes nothing more.
    #[error("the store of uploads is full; make room in it, or have an operator raise its limit")]
    Full,
    /// The store cannot be reached or cannot write.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store of blobs.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Takes bytes in, and answers with their digest when they are safe. The same bytes are kept once, and
    /// are as good as new when they come again. Dropping the future keeps nothing.
    ///
    /// # Errors
    /// [`BlobError`].
    async fn put(&self, content: Content, bytes_max: u64) -> Result<Digest, BlobError>;

    /// The bytes of a digest; none when they are not there, or not any more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn get(&self, digest: &Digest) -> Result<Option<Content>, StoreError>;

    /// Whether they are there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn contains(&self, digest: &Digest) -> Result<bool, StoreError>;

    /// Removes them, if they are there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn remove(&self, digest: &Digest) -> Result<(), StoreError>;
}

/// A store that several parts of a program share.
pub type SharedBlobs = Arc<dyn BlobStore>;

/// The same bytes, of which the last is followed by an error when they are not those of the digest.
pub(crate) fn checked(content: Content, digest: Digest) -> Content {
    let state = Some((content, Sha256::new(), digest));
    stream::unfold(state, |state| async {
        let (mut content, mut hash, digest) = state?;
        match content.next().await {
            Some(Ok(bytes)) => {
                hash.update(&bytes);
                Some((Ok(bytes), Some((content, hash, digest))))
            }
            Some(Err(err)) => Some((Err(err), None)),
            None if Digest::from_sha256(hash.finalize().into()) == digest => None,
            None => {
                let text = format!("the bytes of {} are not what they were when they came", digest.short());
                Some((Err(io::Error::new(io::ErrorKind::InvalidData, text)), None))
            }
        }
    })
    .boxed()
}
