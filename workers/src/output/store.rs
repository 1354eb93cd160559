//! The other half of an output: stores what waits, as often as it has to be tried.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eventlog::error::StoreError;
use eventlog::logs::{LogName, NewLine, SharedLogs};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::output::Shared;

/// How many lines are stored at once.
const BATCH_MAX: usize = 500;
/// How far back it is looked for lines of which it is not known whether they were stored.
const LOOK_BACK: usize = 5_000;
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Stores the lines of an output.
pub(super) struct Storing {
    pub(super) logs: SharedLogs,
    pub(super) log: LogName,
    pub(super) origin: Arc<str>,
    pub(super) waiting: mpsc::Receiver<NewLine>,
    pub(super) shared: Arc<Shared>,
    pub(super) away: watch::Sender<Option<Instant>>,
    pub(super) patience: Duration,
}

impl Storing {
    pub(super) async fn run(mut self) {
        let mut batch = Vec::new();
        while self.waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
            self.store(std::mem::take(&mut batch)).await;
        }
        if let Some(note) = self.shared.note(&self.origin) {
            self.store(vec![note]).await;
        }
    }

    /// Stores some lines; gives up only when nobody prints any more and the patience is over.
    async fn store(&mut self, mut batch: Vec<NewLine>) {
        let mut wait = WAIT_MIN;
        loop {
            let Err(error) = self.try_to_store(&mut batch).await else { break };
            let since = self.away.borrow().unwrap_or_else(Instant::now);
            if self.away.send_replace(Some(since)).is_none() {
                let error: &dyn std::error::Error = &error;
                warn!(log = %self.log, error, "lines of {} cannot be stored; they are kept", self.log);
            }
            if self.waiting.is_closed() && since.elapsed() >= self.patience {
                let count = batch.len() + self.waiting.len();
                warn!(log = %self.log, lines = count, "{count} lines of {} are lost", self.log);
                return;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
        if self.away.send_replace(None).is_some() {
            info!(log = %self.log, "lines of {} are stored again", self.log);
        }
    }

    /// Once. Of a try that failed it is not known what was stored, so that is looked up first.
    async fn try_to_store(&self, batch: &mut Vec<NewLine>) -> Result<(), StoreError> {
        if self.away.borrow().is_some() {
            let stored = self.logs.last(self.log, LOOK_BACK).await?;
            let ours = stored.iter().filter(|line| *line.origin == *self.origin);
            let ours: HashSet<_> = ours.map(|line| line.at).collect();
            batch.retain(|line| !ours.contains(&line.at));
        }
        if self.shared.has_other_readers.load(Ordering::Relaxed) {
            self.logs.append_new(self.log, batch.clone()).await
        } else {
            self.logs.append(self.log, batch.clone()).await
        }
    }
}
