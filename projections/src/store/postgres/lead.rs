//! Who leads: locks that the server keeps for as long as a connection lives. They say who does the work, so that
//! others need not; what is written is kept apart by the checkpoints, whoever leads.

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

    /// Leads in `name` no more.
    pub(crate) async fn leave(&mut self, name: &str) -> Result<bool, sqlx::Error> {
        self.ask("SELECT pg_advisory_unlock(", name).await
    }

    async fn ask(&mut self, what: &'static str, name: &str) -> Result<bool, sqlx::Error> {
        let text = sqlx::AssertSqlSafe(format!("{what}{KEY})"));
        sqlx::query_scalar(text).bind(name).fetch_one(&mut self.connection).await
    }

    /// Returns when the connection is gone, and with it all that it led in.
    pub(crate) async fn lost(&mut self) -> sqlx::Error {
        loop {
            sleep(ASK).await;
            match timeout(ASK_LIMIT, self.connection.ping()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(_) => return sqlx::Error::PoolTimedOut,
            }
        }
    }
}
