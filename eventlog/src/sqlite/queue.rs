//! The work queue in one file.
//!
//! The queue itself stands in memory ([`crate::board`]); the file is for the next process. What changes is
//! written down in groups, and whoever changed it waits for that, except a worker that gets an item: of an
//! item that was given out a moment before a crash, at worst one delivery is not counted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::stream::Position;
use serde::Serialize;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnection, SqliteSynchronous};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::warn;

use crate::board::{Board, Dirty, Entry, SharedBoard, State};
use crate::error::{BoxError, OpenError, StoreError};
use crate::lock::FileLock;
use crate::queue::{Item, Lease, WorkQueue};
use crate::sqlite::database::{Database, Format, failed};

const FORMAT: Format = Format {
    name: "work.db",
    application: 0x5362_576b, // "SbWk"
    version: 1,
    schema: include_str!("queue.sql"),
    synchronous: SqliteSynchronous::Normal,
    remedy: "remove it; it is made again from the event log",
};
/// After a group could not be written, the next try waits this long, unless somebody asks for something
/// sooner.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The work queue in one file.
pub struct SqliteQueue {
    shared: Arc<Shared>,
    written: watch::Receiver<Written>,
    close: mpsc::Sender<oneshot::Sender<()>>,
}

struct Shared {
    board: SharedBoard,
    /// Rung when something has changed.
    bell: Notify,
}

/// How far the file is.
#[derive(Clone, Default)]
struct Written {
    /// The last group that was written, or could not be.
    tried: u64,
    /// This group and all before it are in the file.
    done: u64,
    /// Why the last group could not be written.
    error: Option<Arc<sqlx::Error>>,
}

impl SqliteQueue {
    /// Opens the queue in a data directory, or makes it. Items that a dead process had leased wait again.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(dir: &Path) -> Result<Self, OpenError> {
        let mut database = Database::open(dir, &FORMAT).await?;
        let mut board = Board::default();
        let (entries, routed) =
            load(&mut database.connection).await.map_err(|source| failed(&database.path, &FORMAT, source))?;
        board.restore(entries, routed);
        board.dirty = Some(Dirty { group: 1, ..Dirty::default() });
        let shared = Arc::new(Shared { board: SharedBoard::new(board), bell: Notify::new() });
        let (tell, written) = watch::channel(Written::default());
        let (close, closing) = mpsc::channel(1);
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            connection: database.connection,
            written: tell,
            lock: database.lock,
        };
        tokio::spawn(keeper.run(closing));
        Ok(Self { shared, written, close })
    }

    /// Writes what has changed and closes the file. What is asked for later fails.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.close.send(done).await.is_ok() {
            // An error means that the keeper is gone, which is what we wait for.
            let _ = closed.await;
        }
    }

    /// Waits until everything that has changed until now is in the file.
    async fn settle(&self, doing: &'static str) -> Result<(), StoreError> {
        let group = {
            let board = self.shared.board.lock();
            board.dirty.as_ref().map_or(0, |dirty| dirty.group - u64::from(dirty.is_empty()))
        };
        self.shared.bell.notify_one();
        let unavailable = |source: BoxError| StoreError::Unavailable { doing, source };
        let mut written = self.written.clone();
        let written = written
            .wait_for(|written| written.done >= group || written.tried >= group && written.error.is_some())
            .await
            .map_err(|_| unavailable("the queue is closed".into()))?;
        if written.done >= group {
            return Ok(());
        }
        Err(unavailable(written.error.clone().map_or_else(|| "it was not written".into(), Into::into)))
    }
}

/// The task that writes.
struct Keeper {
    shared: Arc<Shared>,
    connection: SqliteConnection,
    written: watch::Sender<Written>,
    lock: FileLock,
}

impl Keeper {
    async fn run(mut self, mut closing: mpsc::Receiver<oneshot::Sender<()>>) {
        let closed = loop {
            let has_failed = self.written.borrow().error.is_some();
            let again = if has_failed { TRY_AGAIN } else { Duration::MAX };
            tokio::select! {
                closed = closing.recv() => break closed,
                () = self.shared.bell.notified() => {}
                () = tokio::time::sleep(again) => {}
            }
            self.write().await;
        };
        self.write().await;
        drop(self.written);
        if let Err(err) = self.connection.close().await {
            warn!(error = %err, "the work queue was not closed cleanly; it is recovered when it is opened");
        }
        drop(self.lock);
        if let Some(closed) = closed {
            // Whoever wanted to know may have gone.
            let _ = closed.send(());
        }
    }

    /// Writes what has changed, if anything has.
    async fn write(&mut self) {
        let (dirty, rows) = {
            let mut board = self.shared.board.lock();
            let Some(dirty) = board.dirty.as_mut().filter(|dirty| !dirty.is_empty()).map(Dirty::take) else {
                return;
            };
            let rows: Vec<Row> = dirty.ids.iter().filter_map(|id| board.entry(id)).map(Row::of).collect();
            (dirty, rows)
        };
        let group = dirty.group;
        match write(&mut self.connection, &dirty, &rows).await {
            Ok(()) => {
                self.written.send_replace(Written { tried: group, done: group, error: None });
            }
            Err(err) => {
                warn!(error = %err, "the work queue was not written; trying again");
                if let Some(since) = &mut self.shared.board.lock().dirty {
                    since.put_back(dirty);
                }
                self.written.send_modify(|written| {
                    written.tried = group;
                    written.error = Some(Arc::new(err));
                });
            }
        }
    }
}

/// An item as the file has it. Leases are not in it.
#[derive(Serialize, sqlx::FromRow)]
struct Row {
    id: String,
    number: i64,
    lane: String,
    payload: String,
    not_before: Option<i64>,
    due: i64,
    deliveries: i64,
    parked: Option<String>,
}

impl Row {
    fn of(entry: &Entry) -> Self {
        let (due, parked) = match &entry.state {
            State::Waiting(due) => (due.timestamp_millis(), None),
            State::Leased { .. } => (Utc::now().timestamp_millis(), None),
            State::Parked(reason) => (0, Some(reason.clone())),
        };
        Self {
            id: entry.item.id.clone(),
            number: entry.number.cast_signed(),
            lane: entry.item.lane.clone(),
            payload: entry.item.payload.to_string(),
            not_before: entry.item.not_before.map(|time| time.timestamp_millis()),
            due,
            deliveries: i64::from(entry.deliveries),
            parked,
        }
    }

    fn entry(self) -> Result<Entry, sqlx::Error> {
        let payload = serde_json::from_str(&self.payload).map_err(|err| sqlx::Error::Decode(err.into()))?;
        let due = DateTime::from_timestamp_millis(self.due).unwrap_or_default();
        Ok(Entry {
            item: Item {
                id: self.id,
                lane: self.lane,
                payload,
                not_before: self.not_before.and_then(DateTime::from_timestamp_millis),
            },
            number: self.number.cast_unsigned(),
            deliveries: u32::try_from(self.deliveries).unwrap_or(u32::MAX),
            state: self.parked.map_or(State::Waiting(due), State::Parked),
        })
    }
}

async fn load(connection: &mut SqliteConnection) -> Result<(Vec<Entry>, Position), sqlx::Error> {
    let columns = "id, number, lane, payload, not_before, due, deliveries, parked";
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT {columns} FROM items")))
        .fetch_all(&mut *connection)
        .await?;
    let entries = rows.into_iter().map(Row::entry).collect::<Result<_, _>>()?;
    let routed: i64 = sqlx::query_scalar("SELECT position FROM routed").fetch_one(connection).await?;
    Ok((entries, Position(routed.cast_unsigned())))
}

/// Writes a group in one transaction.
async fn write(connection: &mut SqliteConnection, dirty: &Dirty, rows: &[Row]) -> Result<(), sqlx::Error> {
    const DELETE: &str = "DELETE FROM items WHERE id IN (SELECT value FROM json_each(?))";
    const INSERT: &str = "INSERT INTO items (id, number, lane, payload, not_before, due, deliveries, parked) \
                          SELECT value->>'id', value->>'number', value->>'lane', value->>'payload', \
                          value->>'not_before', value->>'due', value->>'deliveries', value->>'parked' \
                          FROM json_each(?)";
    let mut transaction = connection.begin().await?;
    if dirty.is_cleared {
        sqlx::query("DELETE FROM items").execute(&mut *transaction).await?;
    } else if !dirty.ids.is_empty() {
        sqlx::query(DELETE).bind(json(&dirty.ids)?).execute(&mut *transaction).await?;
    }
    if !rows.is_empty() {
        sqlx::query(INSERT).bind(json(&rows)?).execute(&mut *transaction).await?;
    }
    if let Some(routed) = dirty.routed {
        let query = sqlx::query("UPDATE routed SET position = ?").bind(routed.0.cast_signed());
        query.execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

fn json(value: &impl Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|err| sqlx::Error::Encode(err.into()))
}

#[async_trait]
impl WorkQueue for SqliteQueue {
    async fn enqueue(&self, item: &Item) -> Result<bool, StoreError> {
        let is_added = self.shared.board.add(item);
        self.settle("enqueue an item").await?;
        Ok(is_added)
    }

    async fn lease(&self, lane: &str, period: Duration) -> Result<Lease, StoreError> {
        let lease = self.shared.board.lease(lane, period).await;
        self.shared.bell.notify_one();
        Ok(lease)
    }

    async fn extend(&self, lease: &Lease, period: Duration) -> Result<(), StoreError> {
        self.shared.board.extend(lease, period)
    }

    async fn delay(&self, lease: &Lease, until: DateTime<Utc>) -> Result<(), StoreError> {
        self.shared.board.delay(lease, until)?;
        self.settle("delay an item").await
    }

    async fn finish(&self, lease: &Lease) -> Result<(), StoreError> {
        self.shared.board.finish(lease)?;
        self.settle("finish an item").await
    }

    async fn park(&self, lease: &Lease, reason: &str) -> Result<(), StoreError> {
        self.shared.board.park(lease, reason)?;
        self.settle("park an item").await
    }

    async fn parked(&self) -> Result<Vec<(Item, String)>, StoreError> {
        Ok(self.shared.board.parked())
    }

    async fn depth(&self, lane: &str) -> Result<usize, StoreError> {
        Ok(self.shared.board.depth(lane))
    }

    async fn clear(&self) -> Result<(), StoreError> {
        self.shared.board.clear();
        self.settle("clear the queue").await
    }

    async fn routed(&self) -> Result<Position, StoreError> {
        Ok(self.shared.board.routed())
    }

    async fn set_routed(&self, position: Position) -> Result<(), StoreError> {
        self.shared.board.set_routed(position);
        self.settle("note how far events were routed").await
    }
}
