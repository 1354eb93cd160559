//! `PostgreSQL`: a pool for readers, who cannot write, and one for the projector.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, Postgres as Driver};

use super::Row;
use super::error::InvalidUrl;
use crate::value::Value;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
/// The projector's: one for what is live, one for each rebuild that is under way at once.
const WRITERS_MAX: u32 = 4;
/// How long a writer waits for a connection, the making of it included.
const WRITER_WAIT: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is asked whether it is still there before it is used.
const TRUST: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 200;

/// How the server is used.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many connections readers have at most.
    pub readers_max: u32,
    /// How long a reader waits for one of them, the making of it included.
    pub wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { readers_max: 10, wait: Duration::from_secs(3) }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Postgres {
    readers: PgPool,
    writer: PgPool,
}

impl Postgres {
    pub(super) fn new(url: &str, options: Options) -> Result<Self, InvalidUrl> {
        if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
            return Err(InvalidUrl { source: "it does not begin with postgres://".into() });
        }
        let connect =
            PgConnectOptions::from_str(url).map_err(|source| InvalidUrl { source: source.into() })?;
        let connect = connect.statement_cache_capacity(STATEMENTS_MAX);
        let reader = connect.clone().application_name("switchback reader").options([
            ("default_transaction_read_only", "on"),
            ("statement_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "10s"),
        ]);
        // What a crash of the server takes, rows and checkpoint together, is read from the log again.
        let writer = connect.application_name("switchback projector").options([
            ("synchronous_commit", "off"),
            ("lock_timeout", "500ms"),
            ("statement_timeout", "60s"),
            ("idle_in_transaction_session_timeout", "60s"),
        ]);
        Ok(Self {
            readers: pool(options.readers_max, options.wait).connect_lazy_with(reader),
            writer: pool(WRITERS_MAX, WRITER_WAIT).connect_lazy_with(writer),
        })
    }

    pub(super) async fn migrate(&self) -> Result<(), MigrateError> {
        MIGRATIONS.run(&self.writer).await
    }

    /// A server that was restarted leaves dead connections in the pool; a read is tried on another one.
    pub(super) async fn fetch(
        &self,
        text: AssertSqlSafe<String>,
        binds: Vec<Value>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let again = (AssertSqlSafe(text.0.clone()), binds.clone());
        let rows = match bound(sqlx::query(text), binds).fetch_all(&self.readers).await {
            Err(error) if is_stale(&error) => {
                bound(sqlx::query(again.0), again.1).fetch_all(&self.readers).await?
            }
            rows => rows?,
        };
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }

    pub(super) async fn begin(&self) -> Result<sqlx::Transaction<'static, Driver>, sqlx::Error> {
        self.writer.begin().await
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn pool(max: u32, wait: Duration) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(max)
        .acquire_timeout(wait)
        .idle_timeout(Duration::from_secs(600))
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

/// Whether the connection was at fault, or a plan that it had kept from before a swap.
fn is_stale(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(error, sqlx::Error::Io(_)) || matches!(code.as_deref(), Some("57P01" | "57P02" | "0A000"))
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
