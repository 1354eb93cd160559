//! Reading a stream, pages of the whole log, and where the log ends.
//!
//! Everything is read from the leader, so whoever appended reads what it wrote. What `KurrentDB` keeps beside
//! our streams, its own and other people's, is left out: by a filter on the server in subscriptions, which is
//! why pages come from one; here where the client has no filter.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use domain::stream::{Position, StreamId, Version};
use eventstore::{Error, ReadAllOptions, ReadStreamOptions, ResolvedEvent, StreamPosition};

use crate::chain::{Chains, check_follows};
use crate::commit::RecordedCommit;
use crate::envelope;
use crate::error::{BoxError, ReadError};
use crate::heads::Heads;
use crate::kurrentdb::connection::{ASK_LIMIT, ASK_WAIT, Connection};
use crate::kurrentdb::proof::Proof;
use crate::kurrentdb::revisions::{End, Revisions};
use crate::kurrentdb::source::{Seen, Source};
use crate::log::{Filter, MAX_PAGE, Page, Slice};

/// How many commits of a stream one request asks for.
const PART: usize = 500;
/// How many events one request looks at, at most, to find our last. The first looks at one, because ours are
/// nearly all there are.
const PART_OF_ALL: usize = 512;
const PART_GROWS_BY: usize = 8;
/// A page ends early when it has this many bytes.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A leader that was just elected may not show yet what it has; only then is a stream that is too short
/// looked at again.
const LOOKS_MAX: u32 = 4;

/// What a log holds, and whoever follows it.
pub(super) struct Shared {
    pub(super) connection: Connection,
    pub(super) heads: Heads,
    pub(super) revisions: Revisions,
    /// The last position of ours that is known.
    last: AtomicU64,
    /// Up to where all of `KurrentDB` was searched for our last.
    searched: AtomicU64,
}

/// A commit as it stands in `KurrentDB`.
pub(super) struct Stored {
    pub(super) commit: RecordedCommit,
    pub(super) revision: u64,
    pub(super) bytes: usize,
}

impl Stored {
    /// The end of its stream after it.
    pub(super) fn end(&self) -> End {
        End { head: self.commit.head, next: self.revision + 1 }
    }
}

/// Which way a stream is read, and from which revision.
#[derive(Clone, Copy)]
pub(super) enum From {
    /// Oldest first.
    Revision(u64),
    /// Newest first, from the end.
    End,
    /// Newest first, beginning with a revision.
    Back(u64),
}

fn unavailable(source: BoxError) -> ReadError {
    ReadError::Unavailable { source }
}

impl Shared {
    pub(super) fn new(connection: Connection) -> Self {
        let (heads, revisions) = (Heads::default(), Revisions::default());
        Self { connection, heads, revisions, last: AtomicU64::new(0), searched: AtomicU64::new(0) }
    }

    /// The name of a stream. The id of a stream begins with the prefix that is the default.
    pub(super) fn name_of(&self, stream: &StreamId) -> String {
        let rest = stream.to_string();
        format!("{}.{}", self.connection.prefix, rest.strip_prefix("sb.").unwrap_or(&rest))
    }

    /// Remembers where a stream ended.
    pub(super) fn note(&self, stream: &StreamId, end: End) {
        if end == End::EMPTY {
            return;
        }
        self.heads.note(stream, end.head);
        self.revisions.note(end);
        self.last.fetch_max(end.head.position.0, Ordering::Relaxed);
    }

    /// An event as the commit it is.
    pub(super) fn stored(&self, event: &ResolvedEvent) -> Result<Stored, ReadError> {
        let Some(event) = &event.event else {
            let problem = "an event without content".to_owned();
            return Err(ReadError::Damaged { position: Position::ZERO, problem });
        };
        let position = Position(event.position.commit);
        let Some(hash) = Proof::read(&event.custom_metadata) else {
            let problem = "its metadata does not have the hash of a commit".to_owned();
            return Err(ReadError::Damaged { position, problem });
        };
        let commit = envelope::decode(position, &event.data, Some(hash))?;
        let problem = if self.name_of(&commit.stream) != event.stream_id {
            format!("a commit of {} stands in the place of {}", commit.stream, event.stream_id)
        } else if commit.id.0 != event.id {
            format!("the event {} has commit {} in it", event.id, commit.id)
        } else {
            return Ok(Stored { commit, revision: event.revision, bytes: event.data.len() });
        };
        Err(ReadError::Damaged { position, problem })
    }

    /// Part of a stream; nothing of one that is not there.
    pub(super) async fn part(
        &self,
        name: &str,
        from: From,
        count: usize,
    ) -> Result<Vec<ResolvedEvent>, BoxError> {
        let options = ReadStreamOptions::default().max_count(count).requires_leader(true);
        let options = match from {
            From::Revision(revision) => options.position(StreamPosition::Position(revision)).forwards(),
            From::End => options.position(StreamPosition::End).backwards(),
            From::Back(revision) => options.position(StreamPosition::Position(revision)).backwards(),
        };
        let question = |client: eventstore::Client| {
            let (name, options) = (name.to_owned(), options.clone());
            async move {
                let mut events = Vec::new();
                let mut found = match client.read_stream(name, &options).await {
                    Err(Error::ResourceNotFound) => return Ok(events),
                    found => found?,
                };
                loop {
                    match found.next().await {
                        Ok(Some(event)) => events.push(event),
                        Ok(None) | Err(Error::ResourceNotFound) => return Ok(events),
                        Err(error) => return Err(error),
                    }
                }
            }
        };
        self.connection.ask(question).await
    }

    /// The events of a stream after a version.
    pub(super) async fn stream(&self, stream: &StreamId, after: Version) -> Result<Slice, ReadError> {
        let name = self.name_of(stream);
        let known = self.heads.last(stream);
        let begin = self.revisions.at(&self.heads.last_until(stream, after)).unwrap_or(End::EMPTY);
        let (mut end, mut events, mut looks) = (begin, Vec::new(), 0);
        loop {
            let part = self.part(&name, From::Revision(end.next), PART).await.map_err(unavailable)?;
            for event in &part {
                let stored = self.stored(event)?;
                check_next(&end, &stored)?;
                end = stored.end();
                events.extend(stored.commit.events.into_iter().filter(|event| event.version > after));
            }
            if part.len() >= PART {
                continue;
            }
            if end.head.position >= known.position {
                break;
            }
            looks += 1;
            if looks > LOOKS_MAX {
                let problem = format!("{stream} ends before it, though it was acknowledged");
                return Err(ReadError::Damaged { position: known.position, problem });
            }
            tokio::time::sleep(ASK_WAIT).await;
        }
        self.note(stream, end);
        Ok(Slice { events, head: end.head })
    }

    /// The position of our last commit.
    ///
    /// All of `KurrentDB` is looked at backwards, up to what was looked at before.
    pub(super) async fn head(&self) -> Result<Position, ReadError> {
        let floor = self.last.load(Ordering::Relaxed).max(self.searched.load(Ordering::Acquire));
        let prefix = self.connection.all();
        let (mut from, mut newest, mut count) = (StreamPosition::End, 0, 1);
        'search: loop {
            let part = self.part_of_all(from, count).await.map_err(unavailable)?;
            for event in part.iter().filter_map(|event| event.event.as_ref()) {
                newest = newest.max(event.position.commit);
                if event.position.commit <= floor {
                    break 'search;
                }
                if event.stream_id.starts_with(&prefix) {
                    self.last.fetch_max(event.position.commit, Ordering::Relaxed);
                    break 'search;
                }
                from = StreamPosition::Position(event.position);
            }
            if part.len() < count {
                break;
            }
            count = (count * PART_GROWS_BY).min(PART_OF_ALL);
        }
        // What was found is known before it is known how far it was searched.
        self.searched.fetch_max(newest, Ordering::Release);
        Ok(Position(self.last.load(Ordering::Relaxed)))
    }

    /// Events of all streams, newest first.
    async fn part_of_all(
        &self,
        from: StreamPosition<eventstore::Position>,
        count: usize,
    ) -> Result<Vec<ResolvedEvent>, BoxError> {
        let options = ReadAllOptions::default().max_count(count).requires_leader(true);
        let options = options.position(from).backwards();
        let question = |client: eventstore::Client| {
            let options = options.clone();
            async move {
                let mut found = client.read_all(&options).await?;
                let mut events = Vec::new();
                while let Some(event) = found.next().await? {
                    events.push(event);
                }
                Ok(events)
            }
        };
        self.connection.ask(question).await
    }

    /// Commits of all streams after a position.
    pub(super) async fn page(
        &self,
        after: Position,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, ReadError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let head = self.head().await?;
        let mut page = Page { commits: Vec::new(), reached: after };
        let (mut chains, mut bytes) = (Chains::default(), 0);
        let mut source = None;
        let mut silent = Instant::now();
        // All of our commits come, so that the last of them, which is known, is seen; it tells the end.
        while page.commits.len() < limit && bytes < PAGE_BYTES_MAX && page.reached < head {
            let source = match &mut source {
                Some(source) => source,
                none => none.insert(Source::open(self, page.reached, &Filter::all()).await),
            };
            match source.next(self).await {
                Ok(Seen::Event(event)) => {
                    let stored = self.stored(&event)?;
                    silent = Instant::now();
                    if stored.commit.head.position <= page.reached {
                        continue;
                    }
                    chains.check(&stored.commit)?;
                    page.reached = stored.commit.head.position;
                    if filter.matches(&stored.commit.stream) {
                        bytes += stored.bytes;
                        page.commits.push(stored.commit);
                    }
                }
                Ok(Seen::Other) => {}
                Err(problem) if problem.may_pass() && silent.elapsed() < ASK_LIMIT => {
                    source.end();
                    tokio::time::sleep(ASK_WAIT).await;
                }
                Err(problem) => return Err(unavailable(problem.into())),
            }
        }
        Ok(page)
    }
}

/// Checks that a commit is the next of its stream, by their count and by ours.
fn check_next(end: &End, stored: &Stored) -> Result<(), ReadError> {
    if stored.revision != end.next {
        let (stream, position) = (stored.commit.stream, stored.commit.head.position);
        let problem = format!("{stream} has no revision {}, but {} stands here", end.next, stored.revision);
        return Err(ReadError::Damaged { position, problem });
    }
    check_follows(&end.head, &stored.commit)
}
