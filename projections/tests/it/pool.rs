//! Pools on `PostgreSQL`: their limits are kept, and whoever meets one is told at once.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use switchback_projections::projection;
use switchback_projections::projector::Projector;
use switchback_projections::store::{Options, Pool, QueryError, ReadStore, Select};

use crate::database::{Database, on_postgres, told};
use crate::story::{ACME, Shop};

const SLOW: &str = "SELECT CAST(1 AS BIGINT) FROM pg_sleep(1.5) WHERE $1 <> ''";
const QUICK: &str = "SELECT CAST(1 AS BIGINT) WHERE $1 <> ''";

async fn ask(store: &ReadStore, text: &'static str) -> Result<i64, QueryError> {
    store.one(Select::of(ACME, text)).await
}

fn store(database: &Database, readers: Pool) -> ReadStore {
    let Database::Postgres { url } = database else { unreachable!("it runs on PostgreSQL") };
    ReadStore::postgres(url, Options::default().readers(readers)).unwrap()
}

#[tokio::test]
async fn whoever_gets_no_connection_is_told_at_once_and_the_next_one_gets_it() {
    Box::pin(on_postgres(async |database: Database| {
        let store = store(&database, Pool { max: 2, wait: Duration::from_millis(200), ..Pool::READERS });
        ask(&store, QUICK).await.unwrap();
        let began = Instant::now();
        let late = async {
            while !is_busy(&database).await {}
            let found = ask(&store, QUICK).await;
            assert!(matches!(found, Err(QueryError::Unavailable { .. })), "{found:?}");
            assert!(began.elapsed() < Duration::from_millis(1400), "it waited for the connection");
        };
        let (first, second, ()) = tokio::join!(ask(&store, SLOW), ask(&store, SLOW), late);
        assert_eq!((first.unwrap(), second.unwrap()), (1, 1));
        assert_eq!(ask(&store, QUICK).await.unwrap(), 1);
    }))
    .await;
}

/// Whether both slow queries are under way.
async fn is_busy(database: &Database) -> bool {
    let text = "SELECT CAST(pid AS TEXT) FROM pg_stat_activity WHERE state = 'active' AND query LIKE \
                '%pg_sleep(1.5)%' AND pid <> pg_backend_pid()";
    database.query(text.into(), 1).await.len() >= 2
}

#[tokio::test]
async fn a_query_that_takes_too_long_or_waits_for_a_lock_is_ended_by_the_server() {
    on_postgres(async |database: Database| {
        let shop = Shop::open().await;
        told(&database, &shop.story).await;
        let limits = Pool { statement: Duration::from_millis(100), ..Pool::READERS };
        let found = ask(&store(&database, limits), SLOW).await;
        assert!(matches!(found, Err(QueryError::Unavailable { .. })), "{found:?}");

        let Database::Postgres { url } = &database else { unreachable!("it runs on PostgreSQL") };
        let mut connection = PgConnection::connect(url).await.unwrap();
        let lock = "BEGIN; LOCK TABLE services IN ACCESS EXCLUSIVE MODE";
        sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
        let store = store(&database, Pool { lock: Duration::from_millis(100), ..Pool::READERS });
        let services = "SELECT COUNT(*) FROM services WHERE organization = $1";
        let found = ask(&store, services).await;
        assert!(matches!(found, Err(QueryError::Unavailable { .. })), "{found:?}");
        sqlx::raw_sql("COMMIT").execute(&mut connection).await.unwrap();
        assert_eq!(ask(&store, services).await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn each_role_has_a_name_on_the_server_and_the_limits_of_its_options() {
    on_postgres(async |database: Database| {
        let shop = Shop::open().await;
        let limits = Pool {
            statement: Duration::from_secs(7),
            lock: Duration::from_secs(2),
            idle_in_transaction: Duration::from_secs(9),
            ..Pool::READERS
        };
        let store = store(&database, limits);
        let projector = Projector::new(shop.story.shared(), store.clone(), projection::ALL);
        projector.catch_up().await.unwrap();
        for (name, expected) in [
            ("statement_timeout", "7s"),
            ("lock_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "9s"),
            ("application_name", "switchback reader"),
            ("role", "switchback_reader"),
            ("transaction_read_only", "on"),
        ] {
            let text = format!("SELECT COUNT(*) WHERE current_setting('{name}') = '{expected}' AND $1 <> ''");
            assert_eq!(ask(&store, text.leak()).await.unwrap(), 1, "{name}");
        }
        let Database::Postgres { url } = &database else { unreachable!("it runs on PostgreSQL") };
        let mut connection = PgConnection::connect(url).await.unwrap();
        for name in ["switchback reader", "switchback projector"] {
            let count = format!("SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = '{name}'");
            let count: i64 =
                sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut connection).await.unwrap();
            assert!(count > 0, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_role_that_is_no_plain_name_is_refused() {
    let options = Options::default().role("reader; DROP TABLE services");
    ReadStore::postgres("postgres://ada@127.0.0.1/x", options).unwrap_err();
    let options = Options::default().replica("mysql://x");
    ReadStore::postgres("postgres://ada@127.0.0.1/x", options).unwrap_err();
}
