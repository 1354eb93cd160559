//! Migrations: run once, whoever starts first. Others wait for their turn, and find nothing to do.
//!
//! A program goes on with the schema of a newer one: what is taken away is taken away one version after
//! nobody used it any more (docs/decisions/0018).

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::time::{Instant, sleep};
use tracing::info;

use super::wall;

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("migrations/postgres");
    migrations.set_ignore_missing(true);
    migrations
});

/// How long a lock is asked for again and again. After that the projector says so, and begins anew.
const LIMIT: Duration = Duration::from_secs(20);
/// How long others get their turn between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// On a connection of its own, closed at the end: a migration that fails leaves the lock of migrations
/// behind.
pub(super) async fn run(connect: &PgConnectOptions, wait: Duration, role: &str) -> Result<(), MigrateError> {
    let connect = connect.clone().application_name("switchback migration");
    let until = Instant::now() + LIMIT;
    loop {
        let alone = PgPoolOptions::new().max_connections(1).acquire_timeout(wait);
        let alone = alone.connect_lazy_with(connect.clone());
        let ran = once(&alone, role).await;
        alone.close().await;
        match ran {
            Err(error) if is_lock(&error) && Instant::now() < until => {
                info!("a migration of the read models waits for a lock and tries again");
                sleep(PAUSE).await;
            }
            ran => return ran,
        }
    }
}

async fn once(alone: &PgPool, role: &str) -> Result<(), MigrateError> {
    MIGRATIONS.run(alone).await?;
    let raised = async { wall::raise(&mut *alone.acquire().await?, role).await };
    raised.await.map_err(MigrateError::Execute)
}

fn is_lock(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}
