//! Following a log: what is appended is heard of on its subject, as any message of NATS, and then read as
//! everything is, from one place, so that there is no seam.
//!
//! What is heard may get lost, so there is a look now and then, and after each break of the connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Subscriber;
use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::warn;
use uuid::Uuid;

use crate::error::{BoxError, StoreError};
use crate::jetstream::logs::read::Cursor;
use crate::jetstream::logs::{Shared, unavailable};
use crate::lines::{self, Pieces};
use crate::logs::{Line, LogName};

/// A look now and then.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);
/// When nothing could be read for so long, whoever follows is told.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
const DOING: &str = "follow a log";

/// As [`crate::logs::LogStore::follow`].
pub(super) async fn follow(
    shared: Arc<Shared>,
    log: LogName,
    after: u64,
) -> BoxStream<'static, Result<Line, StoreError>> {
    match begin(shared, log, after).await {
        Ok(followed) => followed,
        Err(source) => {
            let failed = Err(unavailable(DOING)(source));
            stream::once(std::future::ready(failed)).boxed()
        }
    }
}

async fn begin(
    shared: Arc<Shared>,
    log: LogName,
    after: u64,
) -> Result<BoxStream<'static, Result<Line, StoreError>>, BoxError> {
    let client = &shared.connection.client;
    // Before anything is read: what comes after the read is heard of.
    let appended = client.subscribe(shared.subject(log)).await?;
    let removed = client.subscribe(shared.removal(log)).await?;
    let life = shared.life(log).await?;
    let (sender, grown) = watch::channel(0);
    let watcher = Watcher { shared: Arc::clone(&shared), log, life, grown: sender, appended, removed };
    tokio::spawn(watcher.run());
    let reader = Reader { shared, log, cursor: Cursor { after, from: None, life } };
    Ok(lines::follow(reader, grown))
}

/// Tells that there may be more lines, and, by ending, that there will be none.
struct Watcher {
    shared: Arc<Shared>,
    log: LogName,
    /// Which log it is; none as long as there is none.
    life: Option<Uuid>,
    grown: watch::Sender<u64>,
    appended: Subscriber,
    removed: Subscriber,
}

impl Watcher {
    async fn run(mut self) {
        let mut made = self.shared.connection.made.clone();
        made.mark_unchanged();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_to_be_looked_at = tokio::select! {
                () = self.grown.closed() => return,
                heard = self.appended.next() => {
                    if heard.is_none() {
                        return;
                    }
                    false
                }
                _ = self.removed.next() => true,
                _ = looks.tick() => true,
                _ = made.changed() => true,
            };
            if is_to_be_looked_at && self.is_over().await {
                return;
            }
            self.grown.send_modify(|count| *count += 1);
        }
    }

    /// Whether the log was removed. When it cannot be told, it is looked at again.
    async fn is_over(&mut self) -> bool {
        let Ok(found) = self.shared.life(self.log).await else { return false };
        match self.life {
            Some(life) => found != Some(life),
            None => {
                self.life = found;
                false
            }
        }
    }
}

struct Reader {
    shared: Arc<Shared>,
    log: LogName,
    cursor: Cursor,
}

#[async_trait]
impl Pieces for Reader {
    async fn next(&mut self, limit: usize) -> Result<Vec<Line>, StoreError> {
        let (begin, mut wait) = (Instant::now(), WAIT_MIN);
        loop {
            let mut cursor = self.cursor;
            let source = match self.shared.read_on(self.log, &mut cursor, limit).await {
                Ok(lines) => {
                    self.cursor = cursor;
                    return Ok(lines);
                }
                Err(source) => source,
            };
            if begin.elapsed() >= GIVE_UP_AFTER {
                return Err(unavailable(DOING)(source));
            }
            warn!(error = %source, "following {} after {} is tried again", self.log, self.cursor.after);
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }
}
