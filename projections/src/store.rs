//! The database of the read models: `SQLite` or `PostgreSQL`, behind one text of each query.
//!
//! Queries come from [`Select`], which is put together from fixed texts only and always knows whose rows it
//! may see. Reading and writing have pools of their own: readers cannot write, and cannot keep the projector
//! waiting.

mod error;
mod postgres;
pub(crate) mod row;
pub(crate) mod select;
mod sqlite;
mod transaction;
mod write;

use std::path::Path;
use std::time::Duration;

use sqlx::AssertSqlSafe;

pub use self::error::{Class, InvalidUrl, QueryError, classify};
pub use self::postgres::Options;
pub use self::row::{FromColumn, FromRow, Row};
pub use self::select::Select;
pub(crate) use self::transaction::Transaction;
pub(crate) use self::write::{Rows, Verb};

use self::postgres::Postgres;
use self::sqlite::Sqlite;

/// How long one query may take, the wait for a connection included. What takes longer is answered as not
/// available.
pub const QUERY_LIMIT: Duration = Duration::from_secs(10);

/// The database of the read models. Clones share their connections.
#[derive(Clone, Debug)]
pub struct ReadStore {
    engine: Engine,
}

#[derive(Clone, Debug)]
pub(crate) enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl ReadStore {
    /// A file, made when it is not there.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] when it cannot be opened.
    pub async fn sqlite(path: &Path) -> Result<Self, QueryError> {
        Ok(Self { engine: Engine::Sqlite(Sqlite::file(path).await?) })
    }

    /// A database that is gone with the store.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] when there is no memory for it.
    pub async fn sqlite_in_memory() -> Result<Self, QueryError> {
        Ok(Self { engine: Engine::Sqlite(Sqlite::memory().await?) })
    }

    /// A `PostgreSQL` server, which need not be there yet: each query finds out anew.
    ///
    /// # Errors
    /// [`InvalidUrl`].
    pub fn postgres(url: &str, options: Options) -> Result<Self, InvalidUrl> {
        Ok(Self { engine: Engine::Postgres(Postgres::new(url, options)?) })
    }

    /// Makes the tables that all projections have in common. Done by the projector; harmless when it was
    /// done.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] when the database is away, [`QueryError::Failed`] when it is that of a
    /// newer version.
    pub async fn migrate(&self) -> Result<(), QueryError> {
        let migrated = match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.migrate().await,
            Engine::Postgres(postgres) => postgres.migrate().await,
        };
        migrated.map_err(error::of_migration)
    }

    /// All rows that a query finds.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn all<T: FromRow>(&self, select: Select) -> Result<Vec<T>, QueryError> {
        let rows = match tokio::time::timeout(QUERY_LIMIT, self.fetch(select)).await {
            Ok(rows) => rows?,
            Err(elapsed) => return Err(QueryError::Unavailable { source: elapsed.into() }),
        };
        rows.iter().map(T::from_row).collect()
    }

    /// The row that a query finds, when it finds one.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn optional<T: FromRow>(&self, select: Select) -> Result<Option<T>, QueryError> {
        Ok(self.all(select).await?.into_iter().next())
    }

    /// The row of a query that always finds one, as counts do.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn one<T: FromRow>(&self, select: Select) -> Result<T, QueryError> {
        self.optional(select).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    async fn fetch(&self, select: Select) -> Result<Vec<Row>, QueryError> {
        let (text, binds) = select.into_parts();
        let text = AssertSqlSafe(text);
        let rows = match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.fetch(text, binds).await,
            Engine::Postgres(postgres) => postgres.fetch(text, binds).await,
        };
        Ok(rows?)
    }

    /// Begins to write. One at a time on `SQLite`.
    pub(crate) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.begin().await.map(Transaction::Sqlite),
            Engine::Postgres(postgres) => postgres.begin().await.map(Transaction::Postgres),
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`].
    pub async fn ping(&self) -> Result<(), QueryError> {
        let _: i64 = self.one(Select::unscoped("SELECT CAST(1 AS BIGINT)")).await?;
        Ok(())
    }

    /// Which database it is, in a word.
    #[must_use]
    pub const fn engine(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite(_) => "sqlite",
            Engine::Postgres(_) => "postgres",
        }
    }

    /// Ends all connections.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            Engine::Postgres(postgres) => postgres.close().await,
        }
    }
}
