//! The port to the log store: lines that builds and applications print.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::id::{DeploymentId, ServiceId};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// The longest line that is kept, in bytes; what is longer is cut there, and says so.
pub const MAX_LINE_BYTES: usize = 16 * 1024;
/// The most lines that one [`LogStore::read`] answers with.
pub const MAX_LINES: usize = 10_000;

/// How much of a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A build's log is cut when it has so many bytes.
    pub build_bytes: u64,
    /// Or so many lines.
    pub build_lines: u64,
    /// An application's log is kept in segments of about so many bytes;
    pub segment_bytes: u64,
    /// when there are more than so many, the oldest falls away.
    pub segments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { build_bytes: 10_000_000, build_lines: 100_000, segment_bytes: 5_000_000, segments: 4 }
    }
}

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogName {
    /// What a deployment's steps print: fetching, installing, building, the release command.
    Build(DeploymentId),
    /// What a service's instances print, those of all its releases in one.
    Application(ServiceId),
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(deployment) => write!(f, "build/{deployment}"),
            Self::Application(service) => write!(f, "application/{service}"),
        }
    }
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// The program's standard output.
    Out,
    /// The program's standard error.
    Err,
    /// The platform itself.
    Platform,
}

/// A line to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLine {
    /// When it was printed.
    pub at: DateTime<Utc>,
    /// Where it came from.
    pub channel: Channel,
    /// What printed it: a step (`fetch`, `build`) or an instance (`v3.0`).
    pub origin: String,
    /// The line, without its end.
    pub text: String,
}

/// A line that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number in its log, from 1, without gaps. When old lines fall away, the numbers of the others stay.
    pub number: u64,
    /// When it was printed.
    pub at: DateTime<Utc>,
    /// Where it came from.
    pub channel: Channel,
    /// What printed it.
    pub origin: String,
    /// The line.
    pub text: String,
}

/// The log store.
#[async_trait]
pub trait LogStore: Send + Sync {
    /// Adds lines to a log. When the log is at its limit, a build's log is cut (one line says so, the rest is
    /// dropped) and an application's log loses its oldest lines.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; some of the lines, or all of them, may be stored all the same.
    async fn append(&self, log: LogName, lines: Vec<NewLine>) -> Result<(), StoreError>;

    /// As [`Self::append`], but leaves out lines that are not later than the latest stored line of the same
    /// origin and channel, whoever stored it. So several may read the same program's output, one after the
    /// other or at once, each of them from its beginning: every line is kept once. It relies on the times
    /// that whoever captured the output gave to the lines, and on their order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn append_new(&self, log: LogName, lines: Vec<NewLine>) -> Result<(), StoreError>;

    /// Lines after a number, oldest first, at most `limit` ([`MAX_LINES`] at most). A log nobody wrote is
    /// empty.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn read(&self, log: LogName, after: u64, limit: usize) -> Result<Vec<Line>, StoreError>;

    /// The last `count` lines, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn last(&self, log: LogName, count: usize) -> Result<Vec<Line>, StoreError>;

    /// Lines after a number, first those there are, then each as it comes. A reader that is slower than the
    /// log gets what is still kept; numbers show what it missed.
    async fn follow(&self, log: LogName, after: u64) -> BoxStream<'static, Result<Line, StoreError>>;

    /// Removes a log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn remove(&self, log: LogName) -> Result<(), StoreError>;

    /// What all logs take where they are kept, in bytes; none when that cannot be told.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn size(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
}

/// A store that several parts of a program share.
pub type SharedLogs = Arc<dyn LogStore>;
