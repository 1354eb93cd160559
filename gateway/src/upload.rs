//! Where uploaded sources go: taken in whole, or not at all.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::digest::Digest;
use futures::stream::BoxStream;

use crate::error::ApiError;

/// Takes uploads.
#[async_trait]
pub trait Uploads: Send + Sync {
    /// Keeps an archive, and answers with its digest.
    ///
    /// # Errors
    /// [`ApiError`]: `upload_too_large`, `upload_invalid`.
    async fn receive(&self, body: BoxStream<'static, Result<Bytes, axum::Error>>)
    -> Result<Digest, ApiError>;
}

/// Uploads that handlers share.
pub type SharedUploads = Arc<dyn Uploads>;
