//! The event log on `JetStream`.

use std::sync::Arc;

use async_trait::async_trait;
use domain::stream::{Position, StreamId, Version};
use futures::stream::BoxStream;

use crate::commit::{Commit, Head, RecordedCommit};
use crate::envelope;
use crate::error::{AppendError, ReadError};
use crate::heads::Heads;
use crate::jetstream::append::{Append, Outcome};
use crate::jetstream::read::{Shared, subject_of, unavailable};
use crate::jetstream::{ConnectError, Settings, durable, follow, streams};
use crate::log::{EventLog, Filter, Page, Size, Slice};

/// The event log on `JetStream`. Clones are the same log.
#[derive(Clone)]
pub struct JetStreamLog {
    shared: Arc<Shared>,
}

impl JetStreamLog {
    /// Connects, makes sure that the server can be trusted, and that the stream is there and as it has to be.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        let connection = durable::connect(settings).await?;
        let (stream, info) = streams::ensure(&connection, streams::events(&connection)).await?;
        let stream_name = info.config.name;
        Ok(Self { shared: Arc::new(Shared { connection, stream, stream_name, heads: Heads::default() }) })
    }
}

#[async_trait]
impl EventLog for JetStreamLog {
    async fn append(&self, commit: &Commit, expected: Head) -> Result<Head, AppendError> {
        let Shared { connection, stream, stream_name, heads } = &*self.shared;
        let append = Append {
            connection,
            stream,
            stream_name,
            subject: subject_of(connection, &commit.stream),
            commit,
            encoded: envelope::encode(commit, &expected)?,
            expected,
        };
        match append.run().await? {
            Outcome::Stands(head) => {
                heads.note(&commit.stream, head);
                Ok(head)
            }
            Outcome::Lost(winner) => {
                // Whoever reads now, to decide again, must see at least this.
                if let Some(winner) = winner {
                    heads.note(&commit.stream, winner.head);
                }
                Err(AppendError::Conflict { stream: commit.stream, expected: expected.version })
            }
        }
    }

    async fn read(&self, stream: &StreamId, after: Version) -> Result<Slice, ReadError> {
        self.shared.reader().stream(stream, after).await
    }

    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, ReadError> {
        self.shared.reader().page(after, filter, limit).await
    }

    async fn subscribe(
        &self,
        after: Position,
        filter: Filter,
    ) -> BoxStream<'static, Result<RecordedCommit, ReadError>> {
        follow::follow(Arc::clone(&self.shared), after, filter)
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.shared.reader().head().await
    }

    async fn size(&self) -> Result<Size, ReadError> {
        let Shared { connection, stream, .. } = &*self.shared;
        let state = connection.ask(async || Ok(stream.get_info().await?.state)).await.map_err(unavailable)?;
        Ok(Size { commits: state.messages, bytes: Some(state.bytes) })
    }
}
