//! The event log on `KurrentDB`.

use std::sync::Arc;

use async_trait::async_trait;
use domain::stream::{Position, StreamId, Version};
use futures::stream::BoxStream;

use crate::commit::{Commit, Head, RecordedCommit};
use crate::envelope;
use crate::error::{AppendError, ReadError};
use crate::kurrentdb::append::{Append, Outcome};
use crate::kurrentdb::connection::Connection;
use crate::kurrentdb::read::Shared;
use crate::kurrentdb::{ConnectError, Settings, follow, url};
use crate::log::{EventLog, Filter, Page, Slice};

/// The event log on `KurrentDB`. Clones are the same log.
#[derive(Clone)]
pub struct KurrentLog {
    shared: Arc<Shared>,
}

impl KurrentLog {
    /// Connects, and makes sure that the log can be read.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        let shared = Shared::new(Connection::open(settings).await?);
        shared.head().await.map_err(|source| ConnectError::Unreachable {
            url: url::without_secrets(&settings.url),
            source: source.into(),
        })?;
        Ok(Self { shared: Arc::new(shared) })
    }
}

#[async_trait]
impl EventLog for KurrentLog {
    async fn append(&self, commit: &Commit, expected: Head) -> Result<Head, AppendError> {
        let encoded = envelope::encode(commit, &expected)?;
        let append = Append::new(&self.shared, commit, encoded, expected);
        match append.run().await? {
            Outcome::Stands(end) => {
                self.shared.note(&commit.stream, end);
                Ok(end.head)
            }
            Outcome::Lost(winner) => {
                // Whoever reads now, to decide again, must see at least this.
                if let Some(winner) = winner {
                    self.shared.note(&commit.stream, winner);
                }
                Err(AppendError::Conflict { stream: commit.stream, expected: expected.version })
            }
        }
    }

    async fn read(&self, stream: &StreamId, after: Version) -> Result<Slice, ReadError> {
        self.shared.stream(stream, after).await
    }

    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, ReadError> {
        self.shared.page(after, filter, limit).await
    }

    async fn subscribe(
        &self,
        after: Position,
        filter: Filter,
    ) -> BoxStream<'static, Result<RecordedCommit, ReadError>> {
        follow::follow(Arc::clone(&self.shared), after, filter).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.shared.head().await
    }
}
