//! Waiting for a position: whoever has changed something reads it back, and never sees the state before.
//!
//! One watermark for all projections: the lowest of those that no event has stopped. It is a little more than
//! any one query needs, and no query has to say what it reads. A query that must not come from a stopped
//! projection waits for that projection by name.

use std::fmt;
use std::time::Duration;

use domain::stream::Position;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::projector::Status;
use crate::projector::checkpoint;
use crate::store::ReadStore;

/// How often the checkpoints are read when the projector is in another process: quickly at first, because it
/// most often is there at once.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(200);

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
    /// The projector is in this process.
    Here(watch::Receiver<Status>),
    /// It is somewhere else, and writes checkpoints.
    Elsewhere(ReadStore),
}

impl Watermark {
    pub(crate) fn of(status: watch::Receiver<Status>) -> Self {
        Self { source: Source::Here(status) }
    }

    /// Of read models that a projector in another process writes.
    #[must_use]
    pub fn polling(store: ReadStore) -> Self {
        Self { source: Source::Elsewhere(store) }
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
        if timeout(limit, self.come(names, position)).await.is_ok() {
            return Ok(());
        }
        let reached = timeout(LAST_LOOK, self.look(names)).await.unwrap_or(Position::ZERO);
        if reached >= position { Ok(()) } else { Err(NotYet { wanted: position, reached }) }
    }

    async fn come(&self, names: &[&str], position: Position) {
        match &self.source {
            Source::Here(status) => {
                let come = |status: &Status| reached(status, names) >= position;
                if status.clone().wait_for(come).await.is_err() {
                    std::future::pending::<()>().await; // The projector is gone.
                }
            }
            Source::Elsewhere(_) => {
                let mut pause = FIRST_LOOK;
                while self.look(names).await < position {
                    sleep(pause).await;
                    pause = (pause * 2).min(LAST_LOOK);
                }
            }
        }
    }

    async fn look(&self, names: &[&str]) -> Position {
        match &self.source {
            Source::Here(status) => reached(&status.borrow(), names),
            Source::Elsewhere(store) => {
                let checkpoints = checkpoint::all(store).await.unwrap_or_default();
                checkpoint::reached(&checkpoints, names)
            }
        }
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
