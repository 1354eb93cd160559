//! Reading a stream, and pages of the whole log.
//!
//! Replicas answer, because there are more of them and they are near; what they may not have yet is asked of
//! the leader, wherever it is known or has to be known that there is more. So whoever appended through this
//! process reads what it wrote, and a page that says "up to here" has looked that far.

use domain::stream::{Position, StreamId, Version};

use async_nats::jetstream::stream::Stream;

use crate::chain::{Chains, check_follows};
use crate::commit::{Head, RecordedCommit};
use crate::envelope;
use crate::error::{BoxError, ReadError};
use crate::heads::Heads;
use crate::jetstream::batch::{self, BATCH_MAX, Stored, next_from_leader};
use crate::jetstream::connection::Connection;
use crate::log::{Filter, MAX_PAGE, Page, Slice};

/// A page ends early when it has this many bytes.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a log holds, and whoever follows it.
pub(super) struct Shared {
    pub(super) connection: Connection,
    pub(super) stream: Stream<()>,
    pub(super) stream_name: String,
    pub(super) heads: Heads,
}

impl Shared {
    pub(super) fn reader(&self) -> Reader<'_> {
        let Self { connection, stream, stream_name, heads } = self;
        Reader { connection, stream, stream_name, heads }
    }
}

/// What reads need.
pub(super) struct Reader<'a> {
    pub(super) connection: &'a Connection,
    pub(super) stream: &'a Stream<()>,
    pub(super) stream_name: &'a str,
    pub(super) heads: &'a Heads,
}

pub(super) fn unavailable(source: BoxError) -> ReadError {
    ReadError::Unavailable { source }
}

/// The subject of a stream. The id of a stream begins with the prefix that is the default.
pub(super) fn subject_of(connection: &Connection, stream: &StreamId) -> String {
    let rest = stream.to_string();
    connection.subject(rest.strip_prefix("sb.").unwrap_or(&rest))
}

/// The narrowest subject that has everything a filter lets through.
pub(super) fn subject_of_filter(connection: &Connection, filter: &Filter) -> String {
    let organization = filter.organization.map_or_else(|| "*".to_owned(), |id| id.to_string());
    let kind = match filter.kinds[..] {
        [kind] => kind.as_str(),
        _ => "*",
    };
    connection.subject(&format!("evt.{organization}.{kind}.*"))
}

/// A stored message as the commit it is.
pub(super) fn commit_of(connection: &Connection, stored: &Stored) -> Result<RecordedCommit, ReadError> {
    let position = Position(stored.sequence);
    let commit = envelope::decode(position, &stored.payload, None)?;
    if subject_of(connection, &commit.stream) != stored.subject {
        let problem = format!("a commit of {} stands in the place of {}", commit.stream, stored.subject);
        return Err(ReadError::Damaged { position, problem });
    }
    Ok(commit)
}

impl Reader<'_> {
    async fn batch(&self, subject: &str, from: u64, limit: usize) -> Result<batch::Batch, ReadError> {
        batch::get(self.connection, self.stream_name, subject, from, limit).await.map_err(unavailable)
    }

    async fn leader(&self, subject: &str, from: u64) -> Result<Option<Stored>, ReadError> {
        next_from_leader(self.connection, self.stream, subject, from).await.map_err(unavailable)
    }

    /// The events of a stream after a version.
    pub(super) async fn stream(&self, stream: &StreamId, after: Version) -> Result<Slice, ReadError> {
        let subject = subject_of(self.connection, stream);
        let mut slice = Slice { events: Vec::new(), head: self.heads.last_until(stream, after) };
        loop {
            let batch = self.batch(&subject, slice.head.position.0 + 1, BATCH_MAX).await?;
            for stored in &batch.messages {
                self.add(&mut slice, stored, after)?;
            }
            if !batch.has_more {
                break;
            }
        }
        // This process knows of more: the replica lags.
        let known = self.heads.last(stream);
        while slice.head.position < known.position {
            let Some(stored) = self.leader(&subject, slice.head.position.0 + 1).await? else {
                let problem = format!("{stream} ends before it, though it was acknowledged");
                return Err(ReadError::Damaged { position: known.position, problem });
            };
            self.add(&mut slice, &stored, after)?;
        }
        if slice.head != Head::EMPTY {
            self.heads.note(stream, slice.head);
        }
        Ok(slice)
    }

    fn add(&self, slice: &mut Slice, stored: &Stored, after: Version) -> Result<(), ReadError> {
        let commit = commit_of(self.connection, stored)?;
        check_follows(&slice.head, &commit)?;
        slice.head = commit.head;
        slice.events.extend(commit.events.into_iter().filter(|event| event.version > after));
        Ok(())
    }

    /// The position of the last commit of all, as the leader has it.
    pub(super) async fn head(&self) -> Result<Position, ReadError> {
        let ask = async || Ok(self.stream.get_info().await?.state.last_sequence);
        self.connection.ask(ask).await.map(Position).map_err(unavailable)
    }

    /// Commits of all streams after a position.
    pub(super) async fn page(
        &self,
        after: Position,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, ReadError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut reading = Reading {
            page: Page { commits: Vec::new(), reached: after },
            chains: Chains::default(),
            bytes: 0,
            is_dense: *filter == Filter::all(),
        };
        let subject = subject_of_filter(self.connection, filter);
        while reading.has_room(limit) {
            let most = limit - reading.page.commits.len();
            let batch = self.batch(&subject, reading.page.reached.0 + 1, most).await?;
            for stored in &batch.messages {
                reading.add(self.connection, stored, filter)?;
            }
            if !batch.has_more {
                self.finish(&mut reading, &subject, filter, limit).await?;
                break;
            }
        }
        Ok(reading.page)
    }

    /// The replica has no more. Whether there is more the leader knows.
    async fn finish(
        &self,
        reading: &mut Reading,
        subject: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<(), ReadError> {
        let head = self.head().await?;
        while reading.has_room(limit) && reading.page.reached < head {
            match self.leader(subject, reading.page.reached.0 + 1).await? {
                Some(stored) if stored.sequence <= head.0 => {
                    reading.add(self.connection, &stored, filter)?;
                }
                Some(_) | None => {
                    reading.check_dense(head.0 + 1)?;
                    reading.page.reached = head;
                }
            }
        }
        Ok(())
    }
}

/// A page that is being read.
struct Reading {
    page: Page,
    chains: Chains,
    bytes: usize,
    /// Whether every position has to be there.
    is_dense: bool,
}

impl Reading {
    fn has_room(&self, limit: usize) -> bool {
        self.page.commits.len() < limit && self.bytes < PAGE_BYTES_MAX
    }

    fn check_dense(&self, found: u64) -> Result<(), ReadError> {
        let wanted = self.page.reached.next();
        if !self.is_dense || found == wanted.0 {
            return Ok(());
        }
        let problem = format!("it is missing; the next commit that is there stands at {found}");
        Err(ReadError::Damaged { position: wanted, problem })
    }

    fn add(&mut self, connection: &Connection, stored: &Stored, filter: &Filter) -> Result<(), ReadError> {
        self.check_dense(stored.sequence)?;
        let commit = commit_of(connection, stored)?;
        self.chains.check(&commit)?;
        self.page.reached = Position(stored.sequence);
        if filter.matches(&commit.stream) {
            self.bytes += stored.payload.len();
            self.page.commits.push(commit);
        }
        Ok(())
    }
}
