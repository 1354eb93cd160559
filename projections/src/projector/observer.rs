//! How the projector stands, seen from a process that has none: from its checkpoints and the end of the log.
//! For `/metrics`, `/ready` and `doctor`.

use std::future::Future;
use std::time::Duration;

use eventlog::log::SharedLog;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use super::status::{Board, Status};
use super::{chain, checkpoint};
use crate::projection::Projection;
use crate::store::ReadStore;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

/// Looks at the read models that a projector somewhere else keeps up.
pub struct Observer {
    log: SharedLog,
    store: ReadStore,
    board: Board,
}

impl Observer {
    /// An observer of `projections`, most often [`crate::projection::ALL`]. Nothing happens until it is run,
    /// or asked to look.
    #[must_use]
    pub fn new(log: SharedLog, store: ReadStore, projections: &[Projection]) -> Self {
        Self { log, store, board: Board::new(projections) }
    }

    /// How far each projection was when it was looked at last, what is rebuilt, and what is stopped.
    #[must_use]
    pub fn status(&self) -> Status {
        self.board.status()
    }

    /// Tells of each change of the status.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.board.watch()
    }

    /// Looks once. What is away is in the status, as trouble.
    pub async fn look(&self) -> Status {
        let looked = async {
            self.board.observed(&checkpoint::all(&self.store).await?, &[]);
            self.board.head(self.log.head().await?);
            Ok::<_, super::ProjectorError>(())
        };
        let trouble = looked.await.err().map(|error| chain(&error));
        let before = self.status().trouble;
        if let Some(trouble) = trouble.as_ref().filter(|_| before.is_none()) {
            warn!("how far the read models are is not known: {trouble}");
        }
        self.board.trouble(trouble);
        self.status()
    }

    /// Looks every second until `shutdown`. It may be dropped at any moment as well.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let look = async {
            loop {
                self.look().await;
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            () = shutdown => {}
            () = look => {}
        }
    }
}
