//! Faults on purpose, for tests: a log around a log, and a queue around a queue, that fail as real ones do.
//!
//! What fails is drawn from a seed, so that a test that fails can be run again as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::stream::{Position, StreamId, Version};
use futures::stream::BoxStream;

use crate::commit::{Commit, Head, RecordedCommit};
use crate::error::{AppendError, ReadError, StoreError};
use crate::log::{EventLog, Filter, Page, SharedLog, Size, Slice};
use crate::queue::{Item, Lease, SharedQueue, WorkQueue};

/// How often what fails, each of a thousand. What is left succeeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// An append, or an operation of the queue, that was done, and whose answer got lost.
    pub answer_lost: u32,
    /// One that was not done, and whose answer got lost all the same.
    pub request_lost: u32,
    /// The log or the queue cannot be reached.
    pub unavailable: u32,
    /// An append that lost a race, though nobody else was there.
    pub conflict: u32,
}

/// What happens to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Succeeds,
    AnswerLost,
    RequestLost,
    Unavailable,
    Conflict,
}

/// Draws fates from a seed.
#[derive(Debug)]
struct Fates {
    state: AtomicU64,
    rates: Rates,
}

impl Fates {
    fn draw(&self) -> Fate {
        // splitmix64: each number follows from the one before it.
        let mut z = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mut drawn = u32::try_from((z ^ (z >> 31)) % 1000).unwrap_or_default();
        let Rates { answer_lost, request_lost, unavailable, conflict } = self.rates;
        for (rate, fate) in [
            (answer_lost, Fate::AnswerLost),
            (request_lost, Fate::RequestLost),
            (unavailable, Fate::Unavailable),
            (conflict, Fate::Conflict),
        ] {
            if drawn < rate {
                return fate;
            }
            drawn -= rate;
        }
        Fate::Succeeds
    }
}

/// A log that fails now and then.
pub struct FaultyLog {
    log: SharedLog,
    fates: Fates,
}

impl FaultyLog {
    /// A log around another.
    #[must_use]
    pub fn new(log: SharedLog, seed: u64, rates: Rates) -> Arc<Self> {
        Arc::new(Self { log, fates: Fates { state: AtomicU64::new(seed), rates } })
    }
}

const BY_FAULT: &str = "a fault of the test";

#[async_trait]
impl EventLog for FaultyLog {
    async fn append(&self, commit: &Commit, expected: Head) -> Result<Head, AppendError> {
        let stream = commit.stream;
        match self.fates.draw() {
            Fate::Succeeds => self.log.append(commit, expected).await,
            Fate::AnswerLost => {
                // Whether it succeeded or not: nobody hears of it.
                let _ = self.log.append(commit, expected).await;
                Err(AppendError::Unknown { stream, source: BY_FAULT.into() })
            }
            Fate::RequestLost => Err(AppendError::Unknown { stream, source: BY_FAULT.into() }),
            Fate::Unavailable => Err(AppendError::Unavailable { stream, source: BY_FAULT.into() }),
            Fate::Conflict => Err(AppendError::Conflict { stream, expected: expected.version }),
        }
    }

    async fn read(&self, stream: &StreamId, after: Version) -> Result<Slice, ReadError> {
        if self.fates.draw() == Fate::Unavailable {
            return Err(ReadError::Unavailable { source: BY_FAULT.into() });
        }
        self.log.read(stream, after).await
    }

    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, ReadError> {
        if self.fates.draw() == Fate::Unavailable {
            return Err(ReadError::Unavailable { source: BY_FAULT.into() });
        }
        self.log.read_all(after, filter, limit).await
    }

    async fn subscribe(
        &self,
        after: Position,
        filter: Filter,
    ) -> BoxStream<'static, Result<RecordedCommit, ReadError>> {
        self.log.subscribe(after, filter).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.log.head().await
    }

    async fn size(&self) -> Result<Size, ReadError> {
        self.log.size().await
    }
}

/// A queue that fails now and then. It has no races, so [`Rates::conflict`] is as good as success.
pub struct FaultyQueue {
    queue: SharedQueue,
    fates: Fates,
}

impl FaultyQueue {
    /// A queue around another.
    #[must_use]
    pub fn new(queue: SharedQueue, seed: u64, rates: Rates) -> Arc<Self> {
        Arc::new(Self { queue, fates: Fates { state: AtomicU64::new(seed), rates } })
    }

    /// Does something, or not, and says so, or not.
    async fn meddle<T>(
        &self,
        doing: &'static str,
        operation: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let failure = StoreError::Unavailable { doing, source: BY_FAULT.into() };
        match self.fates.draw() {
            Fate::Succeeds | Fate::Conflict => operation.await,
            Fate::AnswerLost => {
                // Whether it succeeded or not: nobody hears of it.
                let _ = operation.await;
                Err(failure)
            }
            Fate::RequestLost | Fate::Unavailable => Err(failure),
        }
    }
}

#[async_trait]
impl WorkQueue for FaultyQueue {
    async fn enqueue(&self, item: &Item) -> Result<bool, StoreError> {
        self.meddle("enqueue an item", self.queue.enqueue(item)).await
    }

    async fn lease(&self, lane: &str, period: Duration) -> Result<Lease, StoreError> {
        self.meddle("lease an item", self.queue.lease(lane, period)).await
    }

    async fn extend(&self, lease: &Lease, period: Duration) -> Result<(), StoreError> {
        self.meddle("extend a lease", self.queue.extend(lease, period)).await
    }

    async fn delay(&self, lease: &Lease, until: DateTime<Utc>) -> Result<(), StoreError> {
        self.meddle("delay an item", self.queue.delay(lease, until)).await
    }

    async fn finish(&self, lease: &Lease) -> Result<(), StoreError> {
        self.meddle("finish an item", self.queue.finish(lease)).await
    }

    async fn park(&self, lease: &Lease, reason: &str) -> Result<(), StoreError> {
        self.meddle("park an item", self.queue.park(lease, reason)).await
    }

    async fn parked(&self) -> Result<Vec<(Item, String)>, StoreError> {
        self.meddle("read what is parked", self.queue.parked()).await
    }

    async fn depth(&self, lane: &str) -> Result<usize, StoreError> {
        self.meddle("count items", self.queue.depth(lane)).await
    }

    async fn clear(&self) -> Result<(), StoreError> {
        self.meddle("clear the queue", self.queue.clear()).await
    }

    async fn routed(&self) -> Result<Position, StoreError> {
        self.meddle("read how far events were routed", self.queue.routed()).await
    }

    async fn set_routed(&self, position: Position) -> Result<(), StoreError> {
        self.meddle("note how far events were routed", self.queue.set_routed(position)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(seed: u64, rates: Rates) -> Vec<Fate> {
        let fates = Fates { state: AtomicU64::new(seed), rates };
        (0..1000).map(|_| fates.draw()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_faults_again_about_as_often_as_was_said() {
        let rates = Rates { answer_lost: 100, request_lost: 50, unavailable: 0, conflict: 200 };
        let drawn = fates(7, rates);
        assert_eq!(drawn, fates(7, rates));
        assert_ne!(drawn, fates(8, rates));
        let count = |fate| drawn.iter().filter(|drawn| **drawn == fate).count();
        assert!((70..130).contains(&count(Fate::AnswerLost)), "{}", count(Fate::AnswerLost));
        assert!((150..250).contains(&count(Fate::Conflict)), "{}", count(Fate::Conflict));
        assert_eq!(count(Fate::Unavailable), 0);
        assert!(fates(7, Rates::default()).iter().all(|fate| *fate == Fate::Succeeds));
    }
}
