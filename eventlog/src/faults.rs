//! Faults on purpose, for tests: a log around a log, and a queue around a queue, that fail as real ones do.
//!
//! What fails is drawn from a seed, so that a test that fails can be run again as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use domain::stream::{Position, StreamId, Version};
use futures::stream::BoxStream;

use crate::commit::{Commit, Head, RecordedCommit};
use crate::error::{AppendError, ReadError};
use crate::log::{EventLog, Filter, Page, SharedLog, Slice};

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
}
