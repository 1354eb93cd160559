//! The workers' store of uploads, as the gateway's port.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::digest::Digest;
use futures::stream::BoxStream;
use gateway::error::ApiError;
use gateway::upload::{SharedUploads, Uploads};
use tracing::error;
use workers::source::archive::{UploadError, UploadStore};

struct ReceivedUploads(UploadStore);

/// Keeps what the gateway receives.
pub(super) fn received_by(store: UploadStore) -> SharedUploads {
    Arc::new(ReceivedUploads(store))
}

#[async_trait]
impl Uploads for ReceivedUploads {
    async fn receive(
        &self,
        body: BoxStream<'static, Result<Bytes, axum::Error>>,
    ) -> Result<Digest, ApiError> {
        self.0.receive(body).await.map_err(|refused| match &refused {
            UploadError::TooLarge(_) => ApiError::too_large("upload_too_large", refused.to_string()),
            UploadError::NotAnArchive | UploadError::Interrupted(_) => {
                ApiError::upload_invalid(refused.to_string())
            }
            UploadError::DiskFull(_) | UploadError::Full => ApiError::disk_full(refused.to_string()),
            UploadError::Store(_) => {
                let source: &(dyn std::error::Error + 'static) = &refused;
                error!(error = source, "an upload could not be kept");
                ApiError::internal()
            }
        })
    }
}
