//! Waiting for a position: whoever has changed something reads it back, and never sees the state before.
//!
//! One watermark for all projections: the lowest of those that no event has stopped. It is a little more than
//! any one query needs, and no query has to say what it reads. A query that must not come from a stopped
//! projection waits for that projection by name.
//!
//! What counts is what the database shows that answers the next query. Where that is a replica, it is the
//! replica's own checkpoints; `LISTEN` is no way to wait for those, as a replica knows no listeners.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::stream::Position;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::timeout;

use crate::projector::Status;
use crate::projector::checkpoint;
use crate::store::{ReadStore, Seen};

/// How often the checkpoints are read when the projector is in another process: quickly at first, because it
/// most often is there at once. However many wait, one of them reads for all.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(200);
/// How long it may take to find out that a replica is too far behind.
const BLAME_LIMIT: Duration = Duration::from_secs(1);

/// The read models have not come to a position in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the read models have not come to position {wanted} yet; they are at {reached}")]
pub struct NotYet {
    /// What was waited for.
    pub wanted: Position,
    /// Where they are.
    pub reached: Position,
}

/// Tells how far the read models are.
#[derive(Clone)]
pub struct Watermark {
    source: Source,
}

#[derive(Clone)]
enum Source {
    /// The projector is in this process, and readers ask the database that it writes.
    Here(watch::Receiver<Status>),
    /// It writes checkpoints, and these are what counts: it is somewhere else, or a replica answers readers.
    Elsewhere(Arc<Look>),
}

/// The checkpoints as they were seen last.
struct Look {
    store: ReadStore,
    seen: watch::Sender<Option<Arc<Seen>>>,
    /// Held by the one that reads for all.
    turn: Mutex<()>,
    /// Wakes that one: somebody else has come, who most often has not to wait for long.
    newcomer: Notify,
}

impl Watermark {
    pub(crate) fn of(status: watch::Receiver<Status>, store: &ReadStore) -> Self {
        if store.has_replica() {
            return Self::polling(store.clone());
        }
        Self { source: Source::Here(status) }
    }

    /// Of read models that a projector in another process writes.
    #[must_use]
    pub fn polling(store: ReadStore) -> Self {
        let look =
            Look { store, seen: watch::Sender::new(None), turn: Mutex::new(()), newcomer: Notify::new() };
        Self { source: Source::Elsewhere(Arc::new(look)) }
    }

    /// How far the read models are: all that no event has stopped. Zero when that cannot be found out.
    pub async fn reached(&self) -> Position {
        self.look(&[]).await
    }

    /// Waits until all read models have come to a position.
    ///
    /// # Errors
    /// [`NotYet`] when they have not within `limit`.
    pub async fn wait_until(&self, position: Position, limit: Duration) -> Result<(), NotYet> {
        self.wait_for(&[], position, limit).await
    }

    /// Waits until some read models have come to a position, by the names of their projections; all, when
    /// none is named.
    ///
    /// # Errors
    /// [`NotYet`] when they have not within `limit`.
    pub async fn wait_for(&self, names: &[&str], position: Position, limit: Duration) -> Result<(), NotYet> {
        let wait = async {
            match &self.source {
                Source::Here(status) => come(status, names, position).await,
                Source::Elsewhere(look) => look.come(names, position).await,
            }
        };
        if timeout(limit, wait).await.is_ok() {
            return Ok(());
        }
        let last = match &self.source {
            Source::Here(status) => reached(&status.borrow(), names),
            Source::Elsewhere(look) => {
                let last = timeout(LAST_LOOK, look.last(names, position)).await.unwrap_or_default();
                if last < position {
                    // A replica may be to blame: then the primary is asked the next time.
                    let _ = timeout(BLAME_LIMIT, look.store.waited_in_vain(position)).await;
                }
                last
            }
        };
        if last >= position { Ok(()) } else { Err(NotYet { wanted: position, reached: last }) }
    }

    async fn look(&self, names: &[&str]) -> Position {
        match &self.source {
            Source::Here(status) => reached(&status.borrow(), names),
            Source::Elsewhere(look) => {
                let seen = look.store.checkpoints().await;
                seen.map_or(Position::ZERO, |seen| checkpoint::reached(&seen.checkpoints, names))
            }
        }
    }
}

async fn come(status: &watch::Receiver<Status>, names: &[&str], position: Position) {
    let come = |status: &Status| reached(status, names) >= position;
    if status.clone().wait_for(come).await.is_err() {
        std::future::pending::<()>().await; // The projector is gone.
    }
}

impl Look {
    /// Waits until the server that answers the next reader has come to a position.
    async fn come(&self, names: &[&str], position: Position) {
        let mut news = self.seen.subscribe();
        let mut pause = FIRST_LOOK;
        self.newcomer.notify_one();
        loop {
            let seen = news.borrow_and_update().clone();
            if seen.is_some_and(|seen| self.has(&seen, names, position)) {
                return;
            }
            tokio::select! {
                biased;
                changed = news.changed() => changed.expect("the sender is ours"),
                _turn = self.turn.lock() => {
                    // Whoever had the turn before may have seen it meanwhile, and whoever waits next sees
                    // this.
                    if !news.has_changed().unwrap_or(false) {
                        self.read().await;
                        if !self.is_there(names, position) {
                            let is_woken = timeout(pause, self.newcomer.notified()).await.is_ok();
                            pause = if is_woken { FIRST_LOOK } else { (pause * 2).min(LAST_LOOK) };
                        }
                    }
                }
            }
        }
    }

    /// Whoever waited in vain looks once more.
    async fn last(&self, names: &[&str], position: Position) -> Position {
        self.read().await;
        if self.is_there(names, position) {
            return position;
        }
        let seen = self.seen.borrow();
        seen.as_ref().map_or(Position::ZERO, |seen| checkpoint::reached(&seen.checkpoints, names))
    }

    async fn read(&self) {
        if let Ok(seen) = self.store.checkpoints().await {
            self.seen.send_replace(Some(Arc::new(seen)));
        }
    }

    fn is_there(&self, names: &[&str], position: Position) -> bool {
        let seen = self.seen.borrow().clone();
        seen.is_some_and(|seen| self.has(&seen, names, position))
    }

    fn has(&self, seen: &Seen, names: &[&str], position: Position) -> bool {
        checkpoint::reached(&seen.checkpoints, names) >= position && self.store.promise(position, seen.server)
    }
}

fn reached(status: &Status, names: &[&str]) -> Position {
    if names.is_empty() { status.reached() } else { status.reached_by(names) }
}

impl fmt::Debug for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            Source::Here(_) => "Watermark(here)",
            Source::Elsewhere(_) => "Watermark(elsewhere)",
        })
    }
}
