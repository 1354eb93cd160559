//! The database of the read models: `SQLite` or `PostgreSQL`, behind one text of each query.
//!
//! Queries come from [`Select`], which is put together from fixed texts only and always knows whose rows it
//! may see. Reading and writing have pools of their own: readers cannot write, and cannot keep the projector
//! waiting.

mod error;
mod options;
mod postgres;
pub(crate) mod row;
pub(crate) mod select;
mod sqlite;
mod transaction;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::stream::Position;

pub use self::error::{Class, InvalidUrl, QueryError, classify};
pub use self::options::{Options, Pool, ROLE};
pub(crate) use self::postgres::{Lead, Server};
pub use self::postgres::{Replication, Wall};
pub use self::row::{FromColumn, FromRow, Row};
pub use self::select::Select;
pub(crate) use self::transaction::Transaction;
pub(crate) use self::write::{Rows, Verb};

use self::postgres::{Postgres, Replica};
use self::sqlite::Sqlite;
use crate::projector::checkpoint::{self, Checkpoint};

/// How long one query may take, the wait for a connection included. What takes longer is answered as not
/// available.
pub const QUERY_LIMIT: Duration = Duration::from_secs(10);

/// Checkpoints, and where they were seen.
pub(crate) struct Seen {
    pub(crate) checkpoints: Vec<Checkpoint>,
    pub(crate) server: Server,
}

/// The database of the read models. Clones share their connections.
#[derive(Clone, Debug)]
pub struct ReadStore {
    engine: Engine,
}

#[derive(Clone, Debug)]
pub(crate) enum Engine {
    Sqlite(Sqlite),
    Postgres(Arc<Postgres>),
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
        Ok(Self { engine: Engine::Postgres(Arc::new(Postgres::new(url, &options)?)) })
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
        let rows = match tokio::time::timeout(QUERY_LIMIT, Box::pin(self.fetch(select))).await {
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
        let rows = match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.fetch(select).await,
            Engine::Postgres(postgres) => postgres.fetch(select).await,
        };
        Ok(rows?)
    }

    /// All checkpoints, as the next reader will see the rows that they stand for.
    ///
    /// # Errors
    /// [`QueryError`].
    pub(crate) async fn checkpoints(&self) -> Result<Seen, QueryError> {
        let select = checkpoint::select_all();
        let look = async {
            match &self.engine {
                Engine::Sqlite(sqlite) => sqlite.fetch(select).await.map(|rows| (rows, Server::Primary)),
                Engine::Postgres(postgres) => postgres.fetch_progress(select).await,
            }
        };
        let (rows, server) = match tokio::time::timeout(QUERY_LIMIT, look).await {
            Ok(found) => found?,
            Err(elapsed) => return Err(QueryError::Unavailable { source: elapsed.into() }),
        };
        let checkpoints = checkpoint::read(&rows)?;
        if let Some(replica) = self.replica_of_primary().filter(|_| server == Server::Replica) {
            replica.see(checkpoint::reached(&checkpoints, &[]));
        }
        Ok(Seen { checkpoints, server })
    }

    /// A reader is told that a position is there, after it was seen on `server`. Answers whether that is
    /// still the server that will answer it.
    pub(crate) fn promise(&self, position: Position, server: Server) -> bool {
        match (self.replica_of_primary(), server) {
            (Some(replica), Server::Primary) => replica.promise(position),
            (Some(_), Server::Replica) | (None, _) => true,
        }
    }

    /// A reader waited for a position in vain. When the primary has it, the replica is to blame.
    pub(crate) async fn waited_in_vain(&self, position: Position) {
        let Engine::Postgres(postgres) = &self.engine else { return };
        let Some(replica) = postgres.replica() else { return };
        let Ok(rows) = postgres.fetch_from_primary(checkpoint::select_all()).await else { return };
        if checkpoint::read(&rows).is_ok_and(|known| checkpoint::reached(&known, &[]) >= position) {
            replica.behind(position);
        }
    }

    /// Whether readers may be answered by a server that is behind the one that is written.
    pub(crate) fn has_replica(&self) -> bool {
        self.replica_of_primary().is_some()
    }

    fn replica_of_primary(&self) -> Option<&Arc<Replica>> {
        match &self.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(postgres) => postgres.replica(),
        }
    }

    /// How the replica stands; none, when there is none.
    #[must_use]
    pub fn replica(&self) -> Option<Replication> {
        self.replica_of_primary().map(|replica| replica.state())
    }

    /// Whether the database itself keeps organisations apart.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn wall(&self) -> Result<Wall, QueryError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(Wall::Conditions),
            Engine::Postgres(postgres) => Ok(postgres.wall().await?),
        }
    }

    /// A connection that leads; none where there is nobody to lead.
    pub(crate) async fn lead(&self) -> Result<Option<Lead>, sqlx::Error> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(None),
            Engine::Postgres(postgres) => postgres.lead().await.map(Some),
        }
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
