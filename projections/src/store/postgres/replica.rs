//! A streaming replica that answers reads.
//!
//! Whoever waits for a position looks at the server that will answer: the replica while it is here, the
//! primary while it is away. What was promised on the primary is remembered, and a replica that comes back
//! answers nobody before it has that too. So no reader sees the state before a change that it waited for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::stream::Position;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Row;
use super::readers::Readers;
use crate::projector::checkpoint;
use crate::store::error::{Class, classify};
use crate::store::select::Select;

/// How often a replica that is away is asked whether it is back.
const ASK: Duration = Duration::from_secs(1);
/// How long one such question may take.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// How the replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// It answers reads.
    Here,
    /// It is back, and has not come to what readers were promised yet: the primary answers them.
    CatchingUp,
    /// It does not answer, or was too far behind: the primary does its work.
    Away,
}

#[derive(Debug)]
pub(crate) struct Replica {
    readers: Readers,
    state: Mutex<Replication>,
    /// The furthest position that a reader was told is there, while the replica did not answer.
    promised: AtomicU64,
    /// The furthest position that was seen here.
    seen: AtomicU64,
}

impl Replica {
    pub(super) fn new(readers: Readers) -> Arc<Self> {
        let state = Mutex::new(Replication::Here);
        Arc::new(Self { readers, state, promised: AtomicU64::new(0), seen: AtomicU64::new(0) })
    }

    pub(crate) fn state(&self) -> Replication {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it may answer readers.
    pub(super) fn may_answer(self: &Arc<Self>) -> bool {
        if self.state() != Replication::Here {
            return false;
        }
        let has_all = self.seen.load(Ordering::SeqCst) >= self.promised.load(Ordering::SeqCst);
        if !has_all {
            // Something was promised at the very moment when it came back.
            self.leave(Replication::CatchingUp);
        }
        has_all
    }

    /// Whether those who wait look here: they do so before it answers, so that no more is promised elsewhere.
    pub(super) fn is_here(&self) -> bool {
        self.state() != Replication::Away
    }

    /// A reader is told that a position is there, by the primary. Not while it is here: then it is asked.
    pub(crate) fn promise(&self, position: Position) -> bool {
        if self.is_here() {
            return false;
        }
        self.promised.fetch_max(position.0, Ordering::SeqCst);
        true
    }

    /// A position was seen here.
    pub(crate) fn see(&self, position: Position) {
        self.seen.fetch_max(position.0, Ordering::SeqCst);
    }

    pub(super) async fn fetch(&self, select: Select) -> Result<Vec<Row>, sqlx::Error> {
        self.readers.fetch(select).await
    }

    /// Whether the primary has to answer instead: the replica is away, or had to end the query to go on
    /// itself. A query that takes too long would take as long there, and readers too many for one server are
    /// not sent to another one, which has its own.
    pub(super) fn is_fault(&self, error: &sqlx::Error) -> bool {
        const CANCELED: &str = "57014";
        let code = error.as_database_error().and_then(|error| error.code());
        let is_busy = matches!(error, sqlx::Error::PoolTimedOut) && self.readers.are_all_busy();
        classify(error) == Class::Away && code.as_deref() != Some(CANCELED) && !is_busy
    }

    /// It did not answer.
    pub(super) fn away(self: &Arc<Self>, error: &sqlx::Error) {
        if self.leave(Replication::Away) {
            let error: &dyn std::error::Error = error;
            warn!(error, "the replica of the read models does not answer; the primary does until it is back");
        }
    }

    /// It is further behind than readers wait.
    pub(crate) fn behind(self: &Arc<Self>, wanted: Position) {
        self.promised.fetch_max(wanted.0, Ordering::SeqCst);
        if self.leave(Replication::Away) {
            warn!(
                position = wanted.0,
                "the replica of the read models has not come to position {wanted} in time; the primary \
                 answers until it has"
            );
        }
    }

    /// Answers whether it was here before.
    fn leave(self: &Arc<Self>, to: Replication) -> bool {
        let before = std::mem::replace(&mut *self.lock(), to);
        if before == Replication::Here {
            let replica = Arc::downgrade(self);
            tokio::spawn(async move {
                let mut promised = u64::MAX;
                loop {
                    sleep(ASK).await;
                    let Some(replica) = replica.upgrade() else { return };
                    if replica.comes_back(&mut promised).await {
                        return;
                    }
                }
            });
        }
        before == Replication::Here
    }

    /// It is back when it has come to what was promised one question ago: then it is a moment behind at most,
    /// and whoever waits for the rest may wait for it here.
    async fn comes_back(&self, promised: &mut u64) -> bool {
        let seen = match timeout(ASK_LIMIT, self.reached()).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(sqlx::Error::PoolClosed)) => return true,
            Ok(Err(_)) | Err(_) => {
                *self.lock() = Replication::Away;
                return false;
            }
        };
        self.see(seen);
        let now = self.promised.load(Ordering::SeqCst);
        if seen.0 >= now {
            *self.lock() = Replication::Here;
            info!("the replica of the read models answers again, from position {seen}");
            return true;
        }
        if seen.0 >= *promised {
            *self.lock() = Replication::CatchingUp;
        }
        *promised = now;
        false
    }

    async fn reached(&self) -> Result<Position, sqlx::Error> {
        let rows = self.fetch(checkpoint::select_all()).await?;
        let checkpoints = checkpoint::read(&rows).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(checkpoint::reached(&checkpoints, &[]))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Replication> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
    }
}
