//! A commit: the events of one decision.

use std::fmt;

use chrono::{DateTime, Utc};
use domain::context::Actor;
use domain::event::Event;
use domain::id::{CommandId, CommitId, CorrelationId, EventId};
use domain::stream::{Position, Recorded, StreamId, Version};

/// The most that one commit may take, encoded, in bytes. NATS takes messages of 1 MiB unless it is set
/// otherwise.
pub const MAX_COMMIT_BYTES: usize = 768 * 1024;

/// SHA-256 of a commit as it is stored; of an empty stream, zeros.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The end of a stream, as somebody saw it: what an append expects, and what it answers with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// How many events the stream has.
    pub version: Version,
    /// The position of its last commit.
    pub position: Position,
    /// The hash of its last commit.
    pub hash: Hash,
}

impl Head {
    /// The end of a stream that has no events.
    pub const EMPTY: Self = Self { version: Version::ZERO, position: Position::ZERO, hash: Hash([0; 32]) };
}

/// What all events of a commit have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// When it was decided.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: Actor,
    /// The command it came from.
    pub command: CommandId,
    /// What began the chain it belongs to.
    pub correlation: CorrelationId,
    /// The event that led to the command.
    pub causation: Option<EventId>,
    /// The W3C `traceparent` it was made under.
    pub traceparent: Option<String>,
}

/// A commit to be appended.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Its id. Appending the same id again is the same append.
    pub id: CommitId,
    /// Where it goes.
    pub stream: StreamId,
    /// What its events have in common.
    pub metadata: Metadata,
    /// Its events, with their ids; never empty.
    pub events: Vec<(EventId, Event)>,
}

/// A commit as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedCommit {
    /// Its id.
    pub id: CommitId,
    /// Where it stands.
    pub stream: StreamId,
    /// The end of its stream after it; its position is the commit's.
    pub head: Head,
    /// The hash of the commit before it in its stream.
    pub previous: Hash,
    /// Its events.
    pub events: Vec<Recorded>,
}
