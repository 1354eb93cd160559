//! What this process knows of the ends of streams, from its own appends and reads.
//!
//! It is no truth, only a place to begin to read, and a mark below which no answer of a replica may fall.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::stream::{StreamId, Version};

use crate::bounded::Bounded;
use crate::commit::Head;

/// How many streams are remembered; at most twice as many (about 20 MB).
const STREAMS_MAX: usize = 20_000;
/// How many ends of one stream are remembered: whoever decided on one of them reads on from there.
const ENDS_MAX: usize = 4;

#[derive(Debug)]
pub(crate) struct Heads {
    known: Mutex<Bounded<StreamId, VecDeque<Head>>>,
}

impl Default for Heads {
    fn default() -> Self {
        Self { known: Mutex::new(Bounded::new(STREAMS_MAX)) }
    }
}

impl Heads {
    fn lock(&self) -> MutexGuard<'_, Bounded<StreamId, VecDeque<Head>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers where a stream ended.
    pub(crate) fn note(&self, stream: &StreamId, head: Head) {
        let mut known = self.lock();
        let mut ends = known.get(stream).cloned().unwrap_or_default();
        let at = ends.partition_point(|end| end.position < head.position);
        if ends.get(at).is_none_or(|end| end.position != head.position) {
            ends.insert(at, head);
        }
        if ends.len() > ENDS_MAX {
            ends.pop_front();
        }
        known.insert(*stream, ends);
    }

    /// The last end that is known; the stream has at least this.
    pub(crate) fn last(&self, stream: &StreamId) -> Head {
        self.lock().get(stream).and_then(|ends| ends.back().copied()).unwrap_or(Head::EMPTY)
    }

    /// The last known end that is not beyond a version.
    pub(crate) fn last_until(&self, stream: &StreamId, version: Version) -> Head {
        let mut known = self.lock();
        let ends = known.get(stream);
        ends.and_then(|ends| ends.iter().rev().find(|end| end.version <= version).copied())
            .unwrap_or(Head::EMPTY)
    }
}

#[cfg(test)]
mod tests {
    use domain::id::UserId;
    use domain::stream::Position;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_last_ends_are_known_in_whatever_order_they_were_noted() {
        let (heads, stream) = (Heads::default(), StreamId::user(UserId(Uuid::nil())));
        let head = |n: u64| Head { version: Version(n), position: Position(n * 10), ..Head::EMPTY };
        for n in [2, 1, 3, 3, 6, 5] {
            heads.note(&stream, head(n));
        }
        assert_eq!(heads.last(&stream), head(6));
        assert_eq!(heads.last_until(&stream, Version(5)), head(5));
        assert_eq!(heads.last_until(&stream, Version(4)), head(3));
        assert_eq!(heads.last_until(&stream, Version(1)), Head::EMPTY);
    }
}
