//! The event log in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use domain::stream::{Position, StreamId, Version};
use futures::stream::BoxStream;
use tokio::sync::watch;

use crate::chain::{Chains, check_follows};
use crate::commit::{Commit, Head, RecordedCommit};
use crate::envelope;
use crate::error::{AppendError, ReadError};
use crate::log::{EventLog, Filter, MAX_PAGE, Page, Slice};
use crate::tail::{self, Pages};

/// A log that is gone with the process. Clones are the same log.
#[derive(Clone)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    grown: watch::Sender<Position>,
}

#[derive(Default)]
struct State {
    /// The commit at position n stands at n - 1.
    commits: Vec<Stored>,
    streams: HashMap<StreamId, Vec<usize>>,
}

struct Stored {
    id: domain::id::CommitId,
    stream: StreamId,
    head: Head,
    payload: Vec<u8>,
}

impl Stored {
    fn read(&self) -> Result<RecordedCommit, ReadError> {
        envelope::decode(self.head.position, &self.payload, Some(self.head.hash))
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        let (grown, _) = watch::channel(Position::ZERO);
        Self { shared: Arc::new(Shared { state: Mutex::default(), grown }) }
    }

    /// Changes the stored bytes of a commit, as a broken disk would. For tests of what is found when it is
    /// read.
    pub fn tamper(&self, position: Position, change: impl FnOnce(&mut Vec<u8>)) {
        let index = usize::try_from(position.0).unwrap_or(usize::MAX).wrapping_sub(1);
        if let Some(stored) = self.shared.lock().commits.get_mut(index) {
            change(&mut stored.payload);
        }
    }

    /// Takes a commit out of its stream, as a log that lost it would. For tests of what is found when it is
    /// read.
    pub fn lose(&self, position: Position) {
        let mut state = self.shared.lock();
        for indexes in state.streams.values_mut() {
            indexes.retain(|index| *index as u64 + 1 != position.0);
        }
        for stored in &mut state.commits {
            if stored.head.position == position {
                stored.payload.clear();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append(&mut self, commit: &Commit, expected: Head) -> Result<Head, AppendError> {
        let stream = commit.stream;
        let encoded = envelope::encode(commit, &expected)?;
        let of_stream = self.streams.get(&stream).map_or(&[][..], Vec::as_slice);
        let end = of_stream.last().map_or(Head::EMPTY, |index| self.commits[*index].head);
        if end != expected {
            let after = of_stream.iter().find(|index| self.commits[**index].head.version > expected.version);
            return match after.map(|index| &self.commits[*index]) {
                Some(stored) if stored.id == commit.id => Ok(stored.head),
                Some(_) | None => Err(AppendError::Conflict { stream, expected: expected.version }),
            };
        }
        let position = Position(self.commits.len() as u64 + 1);
        let head = Head { version: encoded.version, position, hash: encoded.hash };
        self.streams.entry(stream).or_default().push(self.commits.len());
        self.commits.push(Stored { id: commit.id, stream, head, payload: encoded.payload.into_bytes() });
        Ok(head)
    }

    fn page(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, ReadError> {
        let mut page = Page { commits: Vec::new(), reached: after };
        let mut chains = Chains::default();
        let skip = usize::try_from(after.0).unwrap_or(usize::MAX);
        for stored in self.commits.iter().skip(skip) {
            if page.commits.len() == limit.clamp(1, MAX_PAGE) {
                break;
            }
            page.reached = stored.head.position;
            if filter.matches(&stored.stream) {
                let commit = stored.read()?;
                chains.check(&commit)?;
                page.commits.push(commit);
            }
        }
        Ok(page)
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(&self, commit: &Commit, expected: Head) -> Result<Head, AppendError> {
        let mut state = self.shared.lock();
        let head = state.append(commit, expected)?;
        let last = Position(state.commits.len() as u64);
        self.shared.grown.send_if_modified(|grown| std::mem::replace(grown, last) != last);
        Ok(head)
    }

    async fn read(&self, stream: &StreamId, after: Version) -> Result<Slice, ReadError> {
        let state = self.shared.lock();
        let mut slice = Slice::default();
        for index in state.streams.get(stream).map_or(&[][..], Vec::as_slice) {
            let commit = state.commits[*index].read()?;
            check_follows(&slice.head, &commit)?;
            slice.head = commit.head;
            slice.events.extend(commit.events.into_iter().filter(|event| event.version > after));
        }
        Ok(slice)
    }

    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, ReadError> {
        self.shared.lock().page(after, filter, limit)
    }

    async fn subscribe(
        &self,
        after: Position,
        filter: Filter,
    ) -> BoxStream<'static, Result<RecordedCommit, ReadError>> {
        tail::follow(Arc::clone(&self.shared), after, filter)
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(Position(self.shared.lock().commits.len() as u64))
    }
}

#[async_trait]
impl Pages for Shared {
    async fn page(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, ReadError> {
        self.lock().page(after, filter, limit)
    }

    fn grown(&self) -> watch::Receiver<Position> {
        self.grown.subscribe()
    }
}
