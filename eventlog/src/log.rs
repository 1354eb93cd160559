//! The port to the event log.

use std::sync::Arc;

use async_trait::async_trait;
use domain::id::OrganizationId;
use domain::stream::{AggregateKind, Position, Recorded, StreamId, Version};
use futures::stream::BoxStream;

use crate::commit::{Commit, Head, RecordedCommit};
use crate::error::{AppendError, ReadError};

/// The most commits that one page of [`EventLog::read_all`] has.
pub const MAX_PAGE: usize = 2000;

/// Which commits a reader wants. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this organisation.
    pub organization: Option<OrganizationId>,
    /// Only of these kinds of aggregate; empty means of any.
    pub kinds: Vec<AggregateKind>,
}

impl Filter {
    /// All commits.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Commits of some kinds of aggregate.
    #[must_use]
    pub fn kinds(kinds: impl IntoIterator<Item = AggregateKind>) -> Self {
        Self { organization: None, kinds: kinds.into_iter().collect() }
    }

    /// Whether a stream's commits are among them.
    #[must_use]
    pub fn matches(&self, stream: &StreamId) -> bool {
        self.organization.is_none_or(|organization| stream.organization == organization)
            && (self.kinds.is_empty() || self.kinds.contains(&stream.kind))
    }
}

/// Part of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slice {
    /// Its events, oldest first.
    pub events: Vec<Recorded>,
    /// The end of the stream.
    pub head: Head,
}

/// Part of the whole log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Commits that the filter lets through, oldest first.
    pub commits: Vec<RecordedCommit>,
    /// Up to where the log was looked at: where the next page begins. Beyond the last commit's position when
    /// the filter left some out.
    pub reached: Position,
}

/// How large a log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// How many commits it has.
    pub commits: u64,
    /// What they take where they are kept; none when that cannot be told.
    pub bytes: Option<u64>,
}

/// The event log.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends a commit to its stream, which must end at `expected`. Answers with the stream's new end.
    ///
    /// The same commit id at the same `expected` again answers as the first time, also after a restart.
    ///
    /// # Errors
    /// [`AppendError`]; after all but `Unknown` nothing was written.
    async fn append(&self, commit: &Commit, expected: Head) -> Result<Head, AppendError>;

    /// The events of a stream that come after `after`, and its end. An unknown stream is an empty one.
    ///
    /// # Errors
    /// [`ReadError`], also when the chain of hashes does not hold.
    async fn read(&self, stream: &StreamId, after: Version) -> Result<Slice, ReadError>;

    /// Commits of all streams after a position, at most `limit` of them ([`MAX_PAGE`] at most).
    ///
    /// # Errors
    /// [`ReadError`].
    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, ReadError>;

    /// Commits of all streams after a position: first those there are, then each as it comes, without a gap
    /// and without a repetition between the two. Ends only with an error.
    async fn subscribe(
        &self,
        after: Position,
        filter: Filter,
    ) -> BoxStream<'static, Result<RecordedCommit, ReadError>>;

    /// The position of the last commit of all.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    async fn head(&self) -> Result<Position, ReadError>;

    /// How large the log is, for whoever watches over it.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    async fn size(&self) -> Result<Size, ReadError> {
        Ok(Size { commits: self.head().await?.0, bytes: None })
    }
}

/// A log that several parts of a program share.
pub type SharedLog = Arc<dyn EventLog>;
