//! The adapters on SQLite.

mod disaster;
mod open;

use std::sync::Arc;

use async_trait::async_trait;
use domain::stream::Position;
use eventlog::conformance;
use eventlog::conformance::log::Fixture;
use eventlog::faults::{FaultyLog, Rates};
use eventlog::log::SharedLog;
use eventlog::queue::SharedQueue;
use eventlog::sqlite::{SqliteLog, SqliteQueue};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

struct Sqlite {
    dir: TempDir,
    log: Arc<SqliteLog>,
}

impl Sqlite {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(SqliteLog::open(dir.path()).await.unwrap());
        Self { dir, log }
    }

    /// A connection that is not the log's, as somebody with the `sqlite3` program would have.
    async fn connection(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.dir.path().join("events.db")).connect().await.unwrap()
    }

    async fn execute(&self, sql: &'static str, position: Position) {
        let mut connection = self.connection().await;
        let query = sqlx::query(sql).bind(position.0.cast_signed());
        assert_eq!(query.execute(&mut connection).await.unwrap().rows_affected(), 1);
        connection.close().await.unwrap();
    }
}

#[async_trait]
impl Fixture for Sqlite {
    fn log(&self) -> SharedLog {
        Arc::clone(&self.log) as SharedLog
    }

    async fn reopen(&mut self) {
        self.log.close().await;
        self.log = Arc::new(SqliteLog::open(self.dir.path()).await.unwrap());
    }

    async fn losing_answers(&self, every: u32) -> SharedLog {
        let rate = 1000 / every / 2;
        FaultyLog::new(self.log(), 7, Rates { answer_lost: rate, request_lost: rate, ..Rates::default() })
    }

    async fn tamper(&self, position: Position) {
        self.execute(
            "UPDATE commits SET payload = replace(payload, 'host', 'gost') WHERE position = ?",
            position,
        )
        .await;
    }

    async fn lose(&self, position: Position) {
        self.execute("DELETE FROM commits WHERE position = ?", position).await;
    }
}

struct Queue {
    dir: TempDir,
    queue: Arc<SqliteQueue>,
}

impl Queue {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let queue = Arc::new(SqliteQueue::open(dir.path()).await.unwrap());
        Self { dir, queue }
    }
}

#[async_trait]
impl conformance::queue::Fixture for Queue {
    fn queue(&self) -> SharedQueue {
        Arc::clone(&self.queue) as SharedQueue
    }

    async fn reopen(&mut self) {
        self.queue.close().await;
        self.queue = Arc::new(SqliteQueue::open(self.dir.path()).await.unwrap());
    }
}

mod log {
    eventlog::log_suite!(super::Sqlite::new().await);
}

mod queue {
    eventlog::queue_suite!(super::Queue::new().await);
}
