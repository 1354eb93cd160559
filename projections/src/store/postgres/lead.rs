//! Who leads: locks that the server keeps for as long as a connection lives. They say who does the work, so
//! that others need not; what is written is kept apart by the checkpoints, whoever leads.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::{sleep, timeout};

/// How often the connection is asked whether it is still there.
const ASK: Duration = Duration::from_secs(1);
/// How long the answer may take.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// By these the server notices within seconds that a machine is gone, and gives its locks to others.
const KEEPALIVE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "2"),
    ("tcp_keepalives_interval", "1"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "5000"),
];
/// One number for a name in this schema of this database.
const KEY: &str = "hashtextextended(current_schema() || ' switchback ' || $1, 0)";

/// A connection that leads in some things.
#[derive(Debug)]
pub(crate) struct Lead {
    connection: PgConnection,
}

impl Lead {
    pub(super) async fn connect(connect: &PgConnectOptions) -> Result<Self, sqlx::Error> {
        let connect = connect.clone().application_name("switchback projector lead").options(KEEPALIVE);
        Ok(Self { connection: connect.connect().await? })
    }

    /// Leads in `name`, when nobody else does. Asked once for each name.
    pub(crate) async fn take(&mut self, name: &str) -> Result<bool, sqlx::Error> {
        self.ask("SELECT pg_try_advisory_lock(", name).await
    }

    async fn ask(&mut self, what: &'static str, name: &str) -> Result<bool, sqlx::Error> {
        let text = sqlx::AssertSqlSafe(format!("{what}{KEY})"));
        sqlx::query_scalar(text).bind(name).fetch_one(&mut self.connection).await
    }

    /// Waits a moment, and fails when the connection is gone, and with it all that it led in.
    pub(crate) async fn wait(&mut self) -> Result<(), sqlx::Error> {
        sleep(ASK).await;
        timeout(ASK_LIMIT, self.connection.ping()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Leads in nothing any more.
    pub(crate) async fn end(mut self) {
        let given_back = sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut self.connection);
        let _ = timeout(ASK_LIMIT, given_back).await; // A connection that is gone leads in nothing.
    }
}

/// Whether somebody else leads in `name`. Asked in a transaction, at whose end the answer is out of date.
pub(in crate::store) async fn is_led(connection: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    let text = sqlx::AssertSqlSafe(format!("SELECT NOT pg_try_advisory_xact_lock({KEY})"));
    sqlx::query_scalar(text).bind(name).fetch_one(connection).await
}
