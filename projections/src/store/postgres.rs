//! `PostgreSQL`: readers, whom the server itself shows one organisation's rows only, and the projector.
//!
//! Readers ask the replica, when there is one and it knows what they may expect; otherwise the primary.
//! Whoever writes, and the few who ask for the platform as a whole, talk to the primary as the login of its
//! address.

mod lead;
mod migrate;
mod readers;
mod replica;
mod wall;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, Postgres as Driver};

use super::Row;
use super::error::InvalidUrl;
use super::options::{Options, Pool};
use super::select::{Scope, Select};
use crate::value::Value;

pub(crate) use self::lead::Lead;
pub(super) use self::lead::is_led;
pub use self::replica::Replication;
pub use self::wall::Wall;
pub(super) use self::wall::statements as wall_of;

use self::readers::Readers;
pub(crate) use self::replica::Replica;

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
/// A connection that was idle for longer is asked whether it is still there before it is used.
const TRUST: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 200;

#[derive(Clone, Debug)]
pub(crate) struct Postgres {
    readers: Readers,
    replica: Option<Arc<Replica>>,
    writer: PgPool,
    /// How the writer connects, for connections that are in no pool.
    connect: PgConnectOptions,
    /// How long one of those is waited for.
    wait: Duration,
    role: Arc<str>,
}

impl Postgres {
    pub(super) fn new(url: &str, options: &Options) -> Result<Self, InvalidUrl> {
        if !options.has_plain_role() {
            let source = format!("`{}` is no role: small letters, digits and _", options.role);
            return Err(InvalidUrl { source: source.into() });
        }
        let address = address(url)?;
        let role: Arc<str> = options.role.as_str().into();
        // What a crash of the server takes, rows and checkpoint together, is read from the log again. A
        // replica however gets only what the primary has flushed, and readers wait for it.
        let flushed = if options.replica.is_some() { "local" } else { "off" };
        let connect = address
            .clone()
            .application_name("switchback projector")
            .options(options.writers.limits())
            .options([("synchronous_commit", flushed), ("switchback.projector", "on")])
            .options([("switchback.role", &role)]);
        let readers = |address: PgConnectOptions, name: &str| {
            let connect = address
                .application_name(name)
                .options(options.readers.limits())
                .options([("default_transaction_read_only", "on")]);
            Readers::new(connect, &options.readers, Arc::clone(&role))
        };
        let replica = match &options.replica {
            None => None,
            Some(url) => Some(Replica::new(readers(self::address(url)?, "switchback replica reader"))),
        };
        Ok(Self {
            readers: readers(address, "switchback reader"),
            replica,
            writer: pool(&options.writers).connect_lazy_with(connect.clone()),
            connect,
            wait: options.writers.wait,
            role,
        })
    }

    pub(super) async fn migrate(&self) -> Result<(), MigrateError> {
        migrate::run(&self.connect, self.wait, &self.role).await
    }

    pub(super) async fn fetch(&self, select: Select) -> Result<Vec<Row>, sqlx::Error> {
        if select.scope() == Scope::Platform {
            let (text, binds) = select.into_parts();
            let rows = bound(sqlx::query(AssertSqlSafe(text)), binds).fetch_all(&self.writer).await?;
            return Ok(rows.into_iter().map(Row::Postgres).collect());
        }
        if let Some(replica) = self.replica.as_ref().filter(|replica| replica.may_answer()) {
            match replica.fetch(select.clone()).await {
                Ok(rows) => return Ok(rows),
                Err(error) if replica.is_fault(&error) => replica.away(&error),
                Err(error) => return Err(error),
            }
        }
        self.readers.fetch(select).await
    }

    /// What the server that is to answer the next reader says of how far it is.
    pub(super) async fn fetch_progress(&self, select: Select) -> Result<(Vec<Row>, Server), sqlx::Error> {
        if let Some(replica) = self.replica.as_ref().filter(|replica| replica.is_here()) {
            match replica.fetch(select.clone()).await {
                Ok(rows) => return Ok((rows, Server::Replica)),
                Err(error) if replica.is_fault(&error) => replica.away(&error),
                Err(error) => return Err(error),
            }
        }
        Ok((self.readers.fetch(select).await?, Server::Primary))
    }

    pub(super) async fn fetch_from_primary(&self, select: Select) -> Result<Vec<Row>, sqlx::Error> {
        self.readers.fetch(select).await
    }

    pub(super) const fn replica(&self) -> Option<&Arc<Replica>> {
        self.replica.as_ref()
    }

    pub(super) async fn wall(&self) -> Result<Wall, sqlx::Error> {
        self.readers.wall().await
    }

    pub(super) async fn begin(&self) -> Result<sqlx::Transaction<'static, Driver>, sqlx::Error> {
        self.writer.begin().await
    }

    pub(super) async fn lead(&self) -> Result<Lead, sqlx::Error> {
        Lead::connect(&self.connect).await
    }

    pub(super) async fn close(&self) {
        if let Some(replica) = &self.replica {
            replica.close().await;
        }
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Which server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Primary,
    Replica,
}

fn address(url: &str) -> Result<PgConnectOptions, InvalidUrl> {
    if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
        return Err(InvalidUrl { source: "it does not begin with postgres://".into() });
    }
    let connect = PgConnectOptions::from_str(url).map_err(|source| InvalidUrl { source: source.into() })?;
    Ok(connect.statement_cache_capacity(STATEMENTS_MAX))
}

fn pool(limits: &Pool) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(limits.max)
        .min_connections(limits.min)
        .acquire_timeout(limits.wait)
        .idle_timeout(limits.idle)
        .max_lifetime(limits.lifetime)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUST {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

pub(super) fn bound<'q>(
    mut query: Query<'q, Driver, PgArguments>,
    values: Vec<Value>,
) -> Query<'q, Driver, PgArguments> {
    for value in values {
        query = match value {
            Value::Text(text) => query.bind(text.map(std::borrow::Cow::into_owned)),
            Value::Number(number) => query.bind(number),
        };
    }
    query
}
