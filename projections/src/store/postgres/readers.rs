//! Readers of one server. Each query is a transaction that says first for whom it reads: one round trip
//! before that of the query itself. The end of the transaction is sent when the connection goes back to its
//! pool, so that nobody waits for it, and nothing of it is left for whoever comes next.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{AssertSqlSafe, Executor as _, Postgres};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::wall::{Standing, Wall};
use super::{Pool, Row, bound, pool};
use crate::store::select::{Scope, Select};

/// How long a login that policies hold back reads as itself before it is asked again whether it may take the
/// role of readers. One that they do not hold back is asked each time: the projector may make the role at any
/// moment, and the first rows come right after.
const AGAIN: Duration = Duration::from_secs(10);

/// How long a server may take to begin a transaction, which costs it nothing: one that takes longer is gone,
/// and only its connections do not know yet.
const OPENING_LIMIT: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub(super) struct Readers {
    pool: PgPool,
    role: Arc<str>,
    known: Arc<Mutex<Option<Known>>>,
}

/// How readers read, and since when we know.
#[derive(Clone, Debug)]
struct Known {
    wall: Wall,
    takes_role: bool,
    since: Instant,
}

impl Readers {
    pub(super) fn new(connect: PgConnectOptions, limits: &Pool, role: Arc<str>) -> Self {
        let pool = pool(limits)
            .after_release(|connection, _| {
                Box::pin(async move {
                    connection.execute("COMMIT").await?;
                    Ok(true)
                })
            })
            .connect_lazy_with(connect);
        Self { pool, role, known: Arc::default() }
    }

    /// A server that was restarted leaves dead connections in the pool; a read is tried on another one.
    pub(super) async fn fetch(&self, select: Select) -> Result<Vec<Row>, sqlx::Error> {
        match self.once(select.clone()).await {
            Err(error) if is_stale(&error) => {
                *self.known() = None;
                self.once(select).await
            }
            rows => rows,
        }
    }

    async fn once(&self, select: Select) -> Result<Vec<Row>, sqlx::Error> {
        let takes_role = self.standing().await?.takes_role;
        let mut connection = self.begin(self.opening(takes_role, select.scope())).await?;
        let (text, binds) = select.into_parts();
        let rows = bound(sqlx::query(AssertSqlSafe(text)), binds).fetch_all(&mut *connection).await?;
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }

    async fn begin(&self, opening: String) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        let opened = timeout(OPENING_LIMIT, connection.execute(AssertSqlSafe(opening))).await;
        if let Ok(opened) = opened {
            opened?;
            return Ok(connection);
        }
        connection.close_on_drop();
        Err(io::Error::from(io::ErrorKind::TimedOut).into())
    }

    /// Several statements in one message, which can have no values bound to them: an id is a UUID, and the
    /// role a plain name.
    fn opening(&self, takes_role: bool, scope: Scope) -> String {
        let mut opening = "BEGIN READ ONLY".to_owned();
        if takes_role {
            opening.push_str("; SET LOCAL ROLE ");
            opening.push_str(&self.role);
        }
        if let Scope::Organization(organization) = scope {
            opening.push_str(&format!("; SET LOCAL switchback.organization = '{organization}'"));
        }
        opening
    }

    pub(super) async fn wall(&self) -> Result<Wall, sqlx::Error> {
        Ok(self.standing().await?.wall)
    }

    /// Whether more are asking than there are connections.
    pub(super) fn are_all_busy(&self) -> bool {
        self.pool.size() >= self.pool.options().get_max_connections() && self.pool.num_idle() == 0
    }

    async fn standing(&self) -> Result<Known, sqlx::Error> {
        if let Some(known) = self.known().clone()
            && (known.takes_role || (known.wall == Wall::Stands && known.since.elapsed() < AGAIN))
        {
            return Ok(known);
        }
        let mut connection = self.begin("BEGIN READ ONLY".to_owned()).await?;
        let standing = Standing::of(&mut connection, &self.role).await?;
        drop(connection);
        let takes_role = standing.has_role && standing.may_read_as;
        let wall =
            if takes_role || !standing.is_free { Wall::Stands } else { Wall::Open { login: standing.login } };
        let known = Known { wall, takes_role, since: Instant::now() };
        let before = self.known().replace(known.clone());
        if let Wall::Open { login } = &known.wall
            && before.is_none_or(|before| before.wall != known.wall)
        {
            let role = &*self.role;
            warn!(
                login,
                role, "readers of PostgreSQL read as {login}, whom row-level security does not hold back"
            );
        }
        Ok(known)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether the connection was at fault, a plan that it had kept from before a swap, or a role that is gone.
fn is_stale(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(error, sqlx::Error::Io(error) if error.kind() != io::ErrorKind::TimedOut)
        || matches!(code.as_deref(), Some("57P01" | "57P02" | "0A000" | "22023" | "42501"))
}
