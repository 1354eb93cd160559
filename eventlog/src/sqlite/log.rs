//! The event log in one file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::stream::{Position, StreamId, Version};
use futures::stream::BoxStream;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use tokio::sync::{mpsc, oneshot, watch};

use crate::commit::{Commit, Head, RecordedCommit};
use crate::envelope;
use crate::error::{AppendError, OpenError, ReadError};
use crate::log::{EventLog, Filter, Page, Size, Slice};
use crate::sqlite::database::Database;
use crate::sqlite::read::{self, FORMAT};
use crate::sqlite::write::{Request, Write, Writer};
use crate::tail::{self, Pages};

/// How many appends may wait for the writer; the next one waits for a place.
const WAITING_MAX: usize = 1024;
/// How many reads run at once.
const READERS_MAX: u32 = 4;
const READER_WAIT_LIMIT: Duration = Duration::from_secs(10);

/// The event log in one file. One task writes, in groups: the appends that came while the last group was
/// written are the next group, and are answered when it is on the disk.
pub struct SqliteLog {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    broken: watch::Receiver<Option<String>>,
}

struct Shared {
    readers: SqlitePool,
    grown: watch::Receiver<Position>,
}

impl SqliteLog {
    /// Opens the log in a data directory, or makes it. Nobody else can have it as long as this one lives.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(dir: &Path) -> Result<Self, OpenError> {
        let mut database = Database::open(dir, &FORMAT).await?;
        let last = read::check_end(&mut database.connection, &database.path).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(READER_WAIT_LIMIT)
            .test_before_acquire(false)
            .connect_lazy_with(database.options.clone().pragma("query_only", "1"));
        let (grow, grown) = watch::channel(last);
        let (requests, received) = mpsc::channel(WAITING_MAX);
        let (tell_broken, broken) = watch::channel(None);
        let writer = Writer::new(database.connection, database.lock, last, grow, tell_broken);
        tokio::spawn(writer.run(received));
        Ok(Self { shared: Arc::new(Shared { readers, grown }), requests, broken })
    }

    /// Waits until the disk has failed: then the log answers every append with an error, and only a new
    /// start, which looks at what is on the disk, can help. Answers why. Never over while the log is well.
    pub async fn broken(&self) -> String {
        let mut broken = self.broken.clone();
        match broken.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The log was closed, and broke no more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Writes what was asked for until now and closes the file. Appends and reads that come later fail.
    pub async fn close(&self) {
        self.shared.readers.close().await;
        let (done, closed) = oneshot::channel();
        if self.requests.send(Request::Close(done)).await.is_ok() {
            // An error means that the writer is gone, which is what we wait for.
            let _ = closed.await;
        }
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn append(&self, commit: &Commit, expected: Head) -> Result<Head, AppendError> {
        let stream = commit.stream;
        let encoded = envelope::encode(commit, &expected)?;
        let (answer, answered) = oneshot::channel();
        let write = Write { id: commit.id, stream, expected, encoded, answer };
        let request = Request::Write(Box::new(write));
        self.requests
            .send(request)
            .await
            .map_err(|_| AppendError::Unavailable { stream, source: "the log is closed".into() })?;
        answered.await.unwrap_or_else(|source| Err(AppendError::Unknown { stream, source: source.into() }))
    }

    async fn read(&self, stream: &StreamId, after: Version) -> Result<Slice, ReadError> {
        read::stream(&self.shared.readers, stream, after).await
    }

    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, ReadError> {
        self.shared.page(after, filter, limit).await
    }

    async fn subscribe(
        &self,
        after: Position,
        filter: Filter,
    ) -> BoxStream<'static, Result<RecordedCommit, ReadError>> {
        tail::follow(Arc::clone(&self.shared), after, filter)
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(*self.shared.grown.borrow())
    }

    async fn size(&self) -> Result<Size, ReadError> {
        let bytes = read::bytes(&self.shared.readers).await?;
        Ok(Size { commits: self.head().await?.0, bytes: Some(bytes) })
    }
}

#[async_trait]
impl Pages for Shared {
    async fn page(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, ReadError> {
        let head = *self.grown.borrow();
        read::page(&self.readers, after, head, filter, limit).await
    }

    fn grown(&self) -> watch::Receiver<Position> {
        self.grown.clone()
    }
}
