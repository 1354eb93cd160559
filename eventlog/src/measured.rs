//! A log whose appends are measured, seen in traces, and told to an observer.
//!
//! What is counted here is counted once: only the process that got the acknowledgement sees it, and no replay
//! comes this way.

use std::time::Instant;

use async_trait::async_trait;
use domain::stream::{Position, StreamId, Version};
use futures::stream::BoxStream;
use tracing::field::Empty;
use tracing::{Instrument, info_span};

use crate::commit::{Commit, Head, RecordedCommit};
use crate::error::{AppendError, ReadError};
use crate::log::{EventLog, Filter, Page, SharedLog, Size, Slice};
use crate::measure::{self, APPENDS, Observer};

/// A log whose appends are measured.
pub struct MeasuredLog {
    inner: SharedLog,
    observer: Option<Observer>,
}

impl MeasuredLog {
    /// Measures the appends to a log, and tells somebody of each that succeeded.
    #[must_use]
    pub fn new(inner: SharedLog, observer: Option<Observer>) -> Self {
        Self { inner, observer }
    }
}

#[async_trait]
impl EventLog for MeasuredLog {
    async fn append(&self, commit: &Commit, expected: Head) -> Result<Head, AppendError> {
        let kind = commit.stream.kind.as_str();
        let span = info_span!("append", aggregate = kind, events = commit.events.len(), outcome = Empty);
        let began = Instant::now();
        let appended = self.inner.append(commit, expected).instrument(span.clone()).await;
        let outcome = measure::outcome(&appended);
        span.record("outcome", outcome);
        APPENDS.observe(began.elapsed(), [outcome]);
        if let (Ok(_), Some(observer)) = (&appended, &self.observer) {
            observer(commit);
        }
        appended
    }

    async fn read(&self, stream: &StreamId, after: Version) -> Result<Slice, ReadError> {
        self.inner.read(stream, after).await
    }

    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, ReadError> {
        self.inner.read_all(after, filter, limit).await
    }

    async fn subscribe(
        &self,
        after: Position,
        filter: Filter,
    ) -> BoxStream<'static, Result<RecordedCommit, ReadError>> {
        self.inner.subscribe(after, filter).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.inner.head().await
    }

    async fn size(&self) -> Result<Size, ReadError> {
        self.inner.size().await
    }
}
