//! What the double holds: events of streams, in the order of their positions, which are bytes of a file that
//! is not there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;
use uuid::Uuid;

/// What one append may have; the real server's default.
const APPEND_BYTES_MAX: usize = 1024 * 1024;
/// What a record takes beside its data.
const RECORD_BYTES: u64 = 97;
/// After so many events the server writes one of its own.
const STATISTICS_EVERY: usize = 5;

#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) position: u64,
    pub(crate) stream: String,
    pub(crate) revision: u64,
    pub(crate) id: Uuid,
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) custom_metadata: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

/// An event to be appended.
pub(crate) struct Proposed {
    pub(crate) id: Uuid,
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) custom_metadata: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

/// Where a stream has to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    NoStream,
    Revision(u64),
}

pub(crate) enum Appended {
    At {
        revision: u64,
        position: u64,
    },
    /// The stream ends here instead, if there is one.
    Wrong(Option<u64>),
    Refused(&'static str),
}

pub(crate) struct Store {
    state: Mutex<State>,
    /// The end of the last record.
    pub(crate) grown: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    records: Vec<Record>,
    revisions: HashMap<String, u64>,
    end: u64,
}

impl State {
    fn write(&mut self, stream: &str, event: Proposed) -> (u64, u64) {
        let revision = self.revisions.get(stream).map_or(0, |last| last + 1);
        let Proposed { id, metadata, custom_metadata, data } = event;
        let position = self.end;
        self.end += RECORD_BYTES + data.len() as u64;
        self.revisions.insert(stream.to_owned(), revision);
        let stream = stream.to_owned();
        self.records.push(Record { position, stream, revision, id, metadata, custom_metadata, data });
        (revision, position)
    }

    fn write_statistics(&mut self) {
        let event_type = ("type".to_owned(), "$statsCollected".to_owned());
        let metadata =
            HashMap::from([event_type, ("content-type".to_owned(), "application/json".to_owned())]);
        let (id, custom_metadata, data) = (Uuid::new_v4(), Vec::new(), b"{}".to_vec());
        self.write("$stats-127.0.0.1:2113", Proposed { id, metadata, custom_metadata, data });
    }
}

impl Store {
    /// With a few events of the server's own.
    pub(crate) fn new() -> Self {
        let mut state = State::default();
        for _ in 0..3 {
            state.write_statistics();
        }
        let (grown, _) = watch::channel(state.end);
        Self { state: Mutex::new(state), grown }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Appends all events or none. What stands there already, by its ids, stands there from now on too.
    pub(crate) fn append(
        &self,
        stream: &str,
        expected: Expected,
        events: Vec<Proposed>,
        forgets_ids: bool,
    ) -> Appended {
        let named =
            |event: &Proposed| ["type", "content-type"].iter().all(|name| event.metadata.contains_key(*name));
        if events.is_empty() || !events.iter().all(named) {
            return Appended::Refused("Required Metadata Property 'type' or 'content-type' is missing");
        }
        if events.iter().map(|event| event.data.len()).sum::<usize>() > APPEND_BYTES_MAX {
            return Appended::Refused("Maximum Append Size of 1048576 Exceeded.");
        }
        let mut state = self.lock();
        let last = state.revisions.get(stream).copied();
        let next = match expected {
            Expected::NoStream => 0,
            Expected::Revision(revision) => revision + 1,
        };
        if last.map_or(0, |last| last + 1) != next {
            let stands =
                state.records.iter().filter(|record| record.stream == stream && record.revision >= next);
            let there: Vec<(Uuid, u64, u64)> = stands
                .take(events.len())
                .map(|record| (record.id, record.revision, record.position))
                .collect();
            let is_same = there.iter().map(|(id, ..)| *id).eq(events.iter().map(|event| event.id));
            return match there.last() {
                Some((_, revision, position)) if is_same && !forgets_ids => {
                    Appended::At { revision: *revision, position: *position }
                }
                _ => Appended::Wrong(last),
            };
        }
        let mut at = (0, 0);
        for event in events {
            at = state.write(stream, event);
        }
        if state.records.len().is_multiple_of(STATISTICS_EVERY) {
            state.write_statistics();
        }
        self.grown.send_replace(state.end);
        Appended::At { revision: at.0, position: at.1 }
    }

    /// The events of a stream; none when there is no such stream.
    pub(crate) fn stream(&self, stream: &str) -> Option<Vec<Record>> {
        let state = self.lock();
        state.revisions.get(stream)?;
        Some(state.records.iter().filter(|record| record.stream == stream).cloned().collect())
    }

    /// Records from a position on, oldest first.
    pub(crate) fn from(&self, position: u64, most: usize) -> Vec<Record> {
        let state = self.lock();
        let at = state.records.partition_point(|record| record.position < position);
        state.records[at..].iter().take(most).cloned().collect()
    }

    /// Records before a position, newest first.
    pub(crate) fn before(&self, position: u64, most: usize) -> Vec<Record> {
        let state = self.lock();
        let at = state.records.partition_point(|record| record.position < position);
        state.records[..at].iter().rev().take(most).cloned().collect()
    }

    /// Whether a record begins at a position.
    pub(crate) fn has(&self, position: u64) -> bool {
        self.lock().records.binary_search_by_key(&position, |record| record.position).is_ok()
    }

    pub(crate) fn end(&self) -> u64 {
        self.lock().end
    }

    /// Changes a record, as a disk might.
    pub(crate) fn change(&self, position: u64, change: impl Fn(&mut Record)) {
        let mut state = self.lock();
        let at = state.records.binary_search_by_key(&position, |record| record.position).unwrap();
        change(&mut state.records[at]);
    }

    /// Loses a record.
    pub(crate) fn lose(&self, position: u64) {
        let mut state = self.lock();
        let at = state.records.binary_search_by_key(&position, |record| record.position).unwrap();
        state.records.remove(at);
    }
}
