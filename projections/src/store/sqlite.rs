//! `SQLite`: a file in WAL mode with one writer and several readers, or a database in memory.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Sqlite as Driver};

use super::Row;
use super::error::QueryError;
use super::select::Select;
use crate::value::Value;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

const READERS_MAX: u32 = 4;
/// How long a reader waits for one of the connections.
const READER_WAIT: Duration = Duration::from_secs(5);
/// How long a writer waits for the one before it: a rebuild takes its turn batch by batch.
const WRITER_WAIT: Duration = Duration::from_secs(30);
/// How long a lock of another process is waited for, as of somebody's `sqlite3` on the file.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 200;

#[derive(Clone, Debug)]
pub(crate) struct Sqlite {
    readers: SqlitePool,
    writer: SqlitePool,
}

impl Sqlite {
    /// A power cut may take the last transactions, rows and checkpoint together: they are read from the log
    /// again. That is why it need not be synchronous.
    pub(super) async fn file(path: &Path) -> Result<Self, QueryError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(false)
            .busy_timeout(BUSY_WAIT)
            .statement_cache_capacity(STATEMENTS_MAX);
        let writer = pool(1, WRITER_WAIT).connect_with(options.clone()).await.map_err(QueryError::from)?;
        let readers = pool(READERS_MAX, READER_WAIT)
            .connect_lazy_with(options.create_if_missing(false).pragma("query_only", "1"));
        Ok(Self { readers, writer })
    }

    /// One connection, because each would have a database of its own.
    pub(super) async fn memory() -> Result<Self, QueryError> {
        let options = SqliteConnectOptions::new()
            .in_memory(true)
            .foreign_keys(false)
            .statement_cache_capacity(STATEMENTS_MAX);
        let pool =
            pool(1, WRITER_WAIT).idle_timeout(None).connect_with(options).await.map_err(QueryError::from)?;
        Ok(Self { readers: pool.clone(), writer: pool })
    }

    pub(super) async fn migrate(&self) -> Result<(), MigrateError> {
        MIGRATIONS.run(&self.writer).await
    }

    pub(super) async fn fetch(&self, select: Select) -> Result<Vec<Row>, sqlx::Error> {
        let (text, binds) = select.into_parts();
        let rows = bound(sqlx::query(AssertSqlSafe(text)), binds).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(Row::Sqlite).collect())
    }

    pub(super) async fn begin(&self) -> Result<sqlx::Transaction<'static, Driver>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn pool(max: u32, wait: Duration) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(max)
        .acquire_timeout(wait)
        .max_lifetime(None)
        .test_before_acquire(false)
}

pub(super) fn bound<'q>(
    mut query: Query<'q, Driver, SqliteArguments>,
    values: Vec<Value>,
) -> Query<'q, Driver, SqliteArguments> {
    for value in values {
        query = match value {
            Value::Text(text) => query.bind(text.map(std::borrow::Cow::into_owned)),
            Value::Number(number) => query.bind(number),
        };
    }
    query
}
